"""Toy frames as files: what a user's own data set looks like on disk."""
import os
import shutil

import cv2
from tqdm import tqdm

from data.errors import InputError
from data.label_spaces import IGNORED, TOY
from data.lists import slice_split
from data.registry import open_dataset
from data.toy import SPLITS


def default_splits():
    """All splits of the toy."""
    return list(SPLITS)


def export_toy(output, splits):
    """Writes splits (a slice may follow the name) as images/, labels/, list files and classes.txt;
    returns the frame count.

    The folder appears when it is complete. Raises InputError if it is there already or a split is
    unknown.
    """
    if os.path.exists(output):
        raise InputError(f"{output} is there already; nothing is overwritten",
                         "choose another --output, or remove it")
    toy = open_dataset("toy")
    listed = [(slice_split(split)[0], toy.frames(split)) for split in splits]
    if len({name for name, _ in listed}) < len(listed):
        raise InputError(f"each split can be written once; found {', '.join(splits)}")
    unfinished = os.path.normpath(output) + ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with tqdm(total=sum(len(frames) for _, frames in listed), unit="frame") as progress:
            for name, frames in listed:
                _write_split(toy, unfinished, name, frames, progress)
        _write_lines(unfinished, "classes.txt", [
            "%d %s %d %d %d" % ((index, name) + tuple(colour))
            for index, (name, colour) in enumerate(zip(TOY.classes, TOY.palette))
        ] + [f"{IGNORED} ignored"])
        os.replace(unfinished, output)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from None
    return progress.n


def _write_split(toy, folder, split, frames, progress):
    names = [frame.name + ".png" for frame in frames]
    for kind in ("images", "labels"):
        os.makedirs(os.path.join(folder, kind, split), exist_ok=True)
        _write_lines(folder, f"{split}_{kind}.txt", [f"{kind}/{name}" for name in names])
    for frame, name in zip(frames, names):
        for kind, pixels in zip(("images", "labels"), toy.read_pair(frame)):
            path = os.path.join(folder, kind, name)
            if not cv2.imwrite(path, pixels):
                raise InputError(f"{path}: cannot be written")
        progress.update()


def _write_lines(folder, name, lines):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
