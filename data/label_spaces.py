"""The class lists that nets are trained for: names in train-id order, and the colours they are
drawn in."""
from dataclasses import dataclass

import numpy as np

from data.errors import InputError

IGNORED = 255  # the train id of pixels that count neither in the loss nor in the score


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """name; classes: tuple of C names in train-id order; palette: (C, 3) uint8, RGB."""

    name: str
    classes: tuple
    palette: np.ndarray


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
