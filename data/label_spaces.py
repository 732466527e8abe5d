"""Label spaces: the classes that nets are trained for, in train-id order, with their colours.

Also the tables from stored ids to train ids that several data sets share.
"""
from dataclasses import dataclass

import numpy as np

from data.errors import InputError

IGNORED = 255  # the train id of pixels that count neither in the loss nor in the score


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """C classes."""

    name: str
    classes: tuple          # C names, in train-id order
    palette: np.ndarray     # (C, 3) uint8, RGB


def _space(name, *rows):
    """A label space from rows (class name, red, green, blue)."""
    return LabelSpace(name, tuple(row[0] for row in rows),
                      np.array([row[1:] for row in rows], np.uint8))


CITYSCAPES = _space(
    "cityscapes", ("road", 128, 64, 128), ("sidewalk", 244, 35, 232), ("building", 70, 70, 70),
    ("wall", 102, 102, 156), ("fence", 190, 153, 153), ("pole", 153, 153, 153),
    ("traffic light", 250, 170, 30), ("traffic sign", 220, 220, 0), ("vegetation", 107, 142, 35),
    ("terrain", 152, 251, 152), ("sky", 70, 130, 180), ("person", 220, 20, 60),
    ("rider", 255, 0, 0), ("car", 0, 0, 142), ("truck", 0, 0, 70), ("bus", 0, 60, 100),
    ("train", 0, 80, 100), ("motorcycle", 0, 0, 230), ("bicycle", 119, 11, 32))

# CamVid's 11 classes in CamVid's own order, in the Cityscapes colours of the same things.
CAMVID = _space("camvid", ("sky", 70, 130, 180), ("building", 70, 70, 70), ("pole", 153, 153, 153),
                ("road", 128, 64, 128), ("pavement", 244, 35, 232), ("tree", 107, 142, 35),
                ("sign", 220, 220, 0), ("fence", 190, 153, 153), ("car", 0, 0, 142),
                ("pedestrian", 220, 20, 60), ("bicyclist", 119, 11, 32))

# The 13 classes of the paper's Table 2, in its order. Lane marking has no Cityscapes colour.
SYNTHIA_SEQS = _space("synthia_seqs", ("sky", 70, 130, 180), ("building", 70, 70, 70),
                      ("road", 128, 64, 128), ("sidewalk", 244, 35, 232), ("fence", 190, 153, 153),
                      ("vegetation", 107, 142, 35), ("pole", 153, 153, 153), ("car", 0, 0, 142),
                      ("traffic sign", 220, 220, 0), ("pedestrian", 220, 20, 60),
                      ("bicycle", 119, 11, 32), ("lane marking", 255, 255, 255),
                      ("traffic light", 250, 170, 30))

TOY = _space("toy", ("sky", 70, 130, 180), ("building", 70, 70, 70), ("road", 128, 64, 128),
             ("sidewalk", 244, 35, 232), ("vegetation", 107, 142, 35), ("car", 0, 0, 142),
             ("person", 220, 20, 60), ("pole", 153, 153, 153))

SPACES = {space.name: space for space in (CITYSCAPES, CAMVID, SYNTHIA_SEQS, TOY)}


def label_space(name):
    """The label space of that name. Raises InputError for an unknown one."""
    if name not in SPACES:
        raise InputError(f"unknown label space {name!r}; there are {', '.join(SPACES)}")
    return SPACES[name]


def complete(pairs, stored):
    """{stored id: train id} for all ids in `stored`: those of `pairs`, the others ignored (255)."""
    return {number: pairs.get(number, IGNORED) for number in stored}


# Cityscapes labelIds, which GTA5 shares: 0..33.
CITYSCAPES_IDS = complete(
    {
        7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12,
        26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18
    }, range(34))

# The same ids to CamVid's 11 classes: walls are buildings, terrain is tree, lights are signs, all
# motor vehicles but motorcycles are cars, and every rider or two-wheeler is a bicyclist.
CITYSCAPES_IDS_TO_CAMVID = complete(
    {
        7: 3, 8: 4, 11: 1, 12: 1, 13: 7, 17: 2, 19: 6, 20: 6, 21: 5, 22: 5, 23: 0, 24: 9, 25: 10,
        32: 10, 33: 10, 26: 8, 27: 8, 28: 8, 31: 8
    }, range(34))
