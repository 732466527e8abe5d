"""The filmstrips of the runs: a few fixed target frames with the prediction of every snapshot."""
import json
import os
from dataclasses import dataclass

import numpy as np

from data.errors import InputError
from tools.lib.report.frames import data_uri
from tools.lib.report.run_files import groups
from tools.lib.training.filmstrip import FOLDER, FRAMES, evenly, iterations_in

#: Most snapshots of a strip on the page.
SNAPSHOTS = 8
#: Every PNG begins with these bytes.
PNG = b"\x89PNG\r\n\x1a\n"
#: Bytes of a picture; those of train.py have a twentieth.
LARGEST_PICTURE = 500_000


@dataclass
class Strip:
    """The filmstrip of one run: rows of pictures as data: URIs, None where there is none."""

    run: str
    classes: list           # [(class, (red, green, blue))]
    iterations: list
    rows: list              # [(name of the frame, its image, [prediction of each iteration])]


def filmstrips(runs):
    """[Strip] of the first run of each group that has one.

    Raises InputError for a list of frames that is damaged.
    """
    found = [_strip(members[0]) for members in groups(runs).values()]
    return [strip for strip in found if strip]


def _strip(run):
    folder = os.path.join(run.folder, FOLDER)
    iterations = evenly(iterations_in(folder), SNAPSHOTS)
    if not iterations:
        return None
    path = os.path.join(folder, FRAMES)
    try:
        with open(path, encoding="utf-8") as file:
            described = json.load(file)
        names = [str(name) for name in described["frames"]]
        palette = np.array(described["palette"], np.float64)
        if palette.shape != (len(described["classes"]), 3) or not np.isfinite(palette).all():
            raise ValueError("palette is not one colour, three numbers, for each of the classes")
        classes = [(str(name), tuple(map(int, colour)))
                   for name, colour in zip(described["classes"], palette)]
    except (OSError, OverflowError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise InputError(f"{path} is not the list of a filmstrip's frames: {problem!r}",
                         f"remove the folder {folder}: the report then has no filmstrip of "
                         "this run") from None
    rows = []
    for number, name in enumerate(names):
        image = _picture(os.path.join(folder, f"frame_{number}.png"))
        if image:
            rows.append((name, image, [
                _picture(os.path.join(folder, f"{iteration:06d}_{number}.png"))
                for iteration in iterations]))
    return Strip(run.name, classes, iterations, rows) if rows else None


def _picture(path):
    """data: URI of a PNG; None where there is no such file."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_PICTURE + 1)
    except OSError:
        return None
    if not content.startswith(PNG) or len(content) > LARGEST_PICTURE:
        return None
    return data_uri("image/png", content)
