"""SYNTHIA-RAND-CITYSCAPES (Ros et al. 2016): 9,400 drawn frames, 1280 x 760, 19 classes.

RGB/0000000.png, GT/LABELS/0000000.png (16-bit colour PNG, id in the red channel).  A split is a
list file NAME.txt (names without .png).  The data set has no splits of its own: without a list
file, "train" and "all" are every frame.
"""
import os

from data.dataset import DatasetSpec, Frame
from data.frame_lists import listed_splits, split_names
from data.label_spaces import complete

# Void, parking, road work and lane marking are ignored.
_TABLE = complete(
    {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13,
     18: 14, 19: 15, 20: 16, 12: 17, 11: 18}, range(23))


def list_frames(folder, split, options):
    """The frames of a split, each with its label's path."""
    if split == "train" and not os.path.exists(os.path.join(folder, "train.txt")):
        split = "all"
    return [Frame(name, os.path.join(folder, "RGB", name + ".png"),
                  os.path.join(folder, "GT", "LABELS", name + ".png"), line)
            for name, line in split_names(folder, split, "RGB", ".png")]


RECORDS = (
    DatasetSpec(
        name="synthia_rand", folder="synthia_rand", splits=("train", "all"), whole=("all",),
        tables={"cityscapes": _TABLE},
        # a list file of a part should have another name than train
        published={"train": 9400, "all": 9400},
        mean=(72.39, 82.91, 73.16),     # of Cityscapes, the target it was drawn for
        list_frames=list_frames, other_splits=listed_splits(".txt")),)
