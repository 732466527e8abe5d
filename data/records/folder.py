"""A user's own data set: a folder with list files and a class table (format: data/README.md)."""
import os

import numpy as np

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.frame_lists import listed_splits, read_list, refuse_repeats
from data.label_spaces import IGNORED, LabelSpace

CLASSES_FILE = "classes.txt"

_COLUMNS = "IDS NAME RED GREEN BLUE, as in `7,8 road 128 64 128`, or IDS ignored"
_MEAN = "three numbers from 0 to 255: blue green red"


def list_frames(folder, split, options):
    """The frames of a split: line n of SPLIT_images.txt with line n of SPLIT_labels.txt.

    Without the list of labels, frames without labels.
    """
    images = _paths(os.path.join(folder, split + "_images.txt"))
    names = [_name(image, folder) for image, _ in images]
    refuse_repeats(zip(names, (line for _, line in images)),
                   "list an image once; rename one of two that differ only in their ending or in "
                   ".. before it")
    labels_file = os.path.join(folder, split + "_labels.txt")
    if not os.path.exists(labels_file):
        return [Frame(name, image, None, line) for name, (image, line) in zip(names, images)]
    labels = _paths(labels_file)
    if len(labels) != len(images):
        raise InputError(f"{labels_file} lists {len(labels)} labels for the {len(images)} "
                         f"images of {split}_images.txt; line n belongs to line n")
    return [Frame(name, image, label, line)
            for name, (image, line), (label, _) in zip(names, images, labels)]


def open_space(folder, options):
    """(LabelSpace, table, mean) from classes.txt and mean.txt; mean None without that file."""
    return read_classes(os.path.join(folder, CLASSES_FILE)) + (_mean(folder),)


def read_classes(path):
    """(LabelSpace, table from stored ids to train ids) of a class table.

    Raises InputError naming the file and the line.
    """
    names, colours, table = [], [], {}
    for text, where in read_list(path, "one class a line: " + _COLUMNS):
        ids, train = _class_line(text, where, len(names))
        for stored in ids:
            if table.setdefault(stored, train[0]) != train[0]:
                raise InputError(f"{where}: id {stored} has a class already")
        if train[0] != IGNORED:
            names.append(train[1])
            colours.append(train[2])
    if not 1 <= len(names) <= 250 or len(set(names)) < len(names):
        raise InputError(f"{path}: {len(names)} classes with {len(set(names))} names; 1 to 250 "
                         "different ones are expected")
    return LabelSpace("folder", tuple(names), np.array(colours, np.uint8)), table


def _class_line(text, where, number):
    """(stored ids, (train id, name, colour)) of one line."""
    parts = text.split()
    try:
        ids = [int(part) for part in parts[0].split(",")]
        if parts[1:] == ["ignored"]:
            train = (IGNORED, "ignored", None)
        else:
            colour = [int(part) for part in parts[-3:]]
            train = (number, " ".join(parts[1:-3]), colour)
            if not train[1] or not all(0 <= channel <= 255 for channel in colour):
                raise ValueError
    except (ValueError, IndexError):
        raise InputError(f"{where}: {text!r}; expected {_COLUMNS}") from None
    if not all(0 <= stored <= 255 for stored in ids):
        raise InputError(f"{where}: ids have to be from 0 to 255, found {parts[0]}")
    return ids, train


def _mean(folder):
    path = os.path.join(folder, "mean.txt")
    if not os.path.exists(path):
        return None
    (text, where), = read_list(path, _MEAN)[:1]
    try:
        mean = [float(part) for part in text.split()]
        if len(mean) != 3 or not all(0 <= channel <= 255 for channel in mean):
            raise ValueError
    except ValueError:
        raise InputError(f"{where}: {text!r}; expected {_MEAN}") from None
    return mean


def _paths(list_file):
    """[(path, where)]; relative paths start at the list file's folder."""
    return [(os.path.join(os.path.dirname(list_file), text), where)
            for text, where in read_list(list_file)]


def _name(image, folder):
    """A frame's name, images/val/0000: its image's path from the data set's folder, without ending.

    Predictions are stored under it, so ../ is left out: no name may lead out of their folder.
    """
    parts = os.path.relpath(image, folder).split(os.sep)
    return os.path.splitext("/".join(part for part in parts if part != os.pardir))[0]


RECORDS = (
    DatasetSpec(
        name="folder", folder="folder", tables={}, splits=("train", "val"),
        mean=(103.53, 116.28, 123.675),     # ImageNet's, which the initial weights expect
        options={"path": "folder"}, list_frames=list_frames,
        other_splits=listed_splits("_images.txt"), open_space=open_space),)
