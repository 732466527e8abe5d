"""Writes toy frames as files, in the form of a user's own data set (data/README.md)."""
import os

import cv2

from data.errors import InputError
from data.files import folder_aside
from data.frame_lists import slice_split
from data.label_spaces import IGNORED, TOY
from data.progress import progress_bar
from data.records.toy import SPLITS
from data.registry import open_dataset


def default_splits():
    """All splits of the toy."""
    return list(SPLITS)


def export_toy(output, splits):
    """Writes splits as images/, labels/, list files and classes.txt; returns the frame count.

    splits: names, which a slice may follow.  The folder appears when it is complete.  Raises
    InputError if it exists already or a split is unknown.
    """
    if os.path.exists(output):
        raise InputError(f"{output} exists already; nothing is overwritten",
                         "choose another --output, or remove it")
    toy = open_dataset("toy")
    listed = [(slice_split(split)[0], toy.frames(split)) for split in splits]
    if len({name for name, _ in listed}) < len(listed):
        raise InputError(f"each split can be written once; found {', '.join(splits)}")
    classes = [f"{index} {name} {red} {green} {blue}"
               for index, (name, (red, green, blue)) in enumerate(zip(TOY.classes, TOY.palette))]
    try:
        with folder_aside(output) as aside:
            total = sum(len(frames) for _, frames in listed)
            with progress_bar(desc="drawing", total=total, unit="frame") as progress:
                for name, frames in listed:
                    _write_split(toy, aside, name, frames, progress)
            _write_lines(aside, "classes.txt", classes + [f"{IGNORED} ignored"])
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
            # not cv2.imwrite, which ends the process where the path is not UTF-8
            with open(path, "wb") as file:
                file.write(cv2.imencode(".png", pixels)[1].tobytes())
        progress.update()


def _write_lines(folder, name, lines):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
