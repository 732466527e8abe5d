"""SYNTHIA-RAND-CITYSCAPES (Ros et al. 2016): 9,400 drawn frames, 1280 x 760, for the 19 Cityscapes
classes.

RGB/0000000.png, GT/LABELS/0000000.png (16-bit colour PNG, id in the red channel). Splits: a list
file NAME.txt (names without .png); without one, "train" and "all" are every frame, since the set
has no split of its own.
"""
import os

from data.listing import listed_splits, split_names
from data.record import Frame, Record
from data.tables import complete

# Void, parking, road work and lane marking are ignored.
_TABLE = complete(
    {
        3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13,
        18: 14, 19: 15, 20: 16, 12: 17, 11: 18
    }, range(23))


def list_frames(folder, split, options):
    """The frames of a split, each with its label's path."""
    if split == "train" and not os.path.exists(os.path.join(folder, "train.txt")):
        split = "all"
    return [
        Frame(name, os.path.join(folder, "RGB", name + ".png"),
              os.path.join(folder, "GT", "LABELS", name + ".png"), line)
        for name, line in split_names(folder, split, "RGB", ".png")
    ]


RECORDS = (
    Record(name="synthia_rand", folder="synthia_rand", splits=("train", "all"), whole=("all",),
           tables={"cityscapes": _TABLE},
           # a part of it is best listed under another name than train
           published={"train": 9400, "all": 9400},
           mean=(72.39, 82.91, 73.16),  # of Cityscapes, the target it was drawn for
           list_frames=list_frames, other_splits=listed_splits(".txt")),)
