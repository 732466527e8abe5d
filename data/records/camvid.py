"""CamVid (Brostow et al. 2009) in 11 classes: video from a car, 480 x 360, by day and at dusk.

images/NAME.png, labels/NAME.png (8-bit grey, 0..10 and 11 = void), split lists NAME.txt beside
them.  The training and test splits come without labels.  day_test is of the sequence of day_val;
dusk_val is the labelled part of dusk_train.
"""
import os

from data.dataset import DatasetSpec, Frame
from data.frame_lists import listed_splits, read_names
from data.label_spaces import complete

VOID = 11


def list_frames(folder, split, options):
    """The frames of a split, each with the path where its label would be."""
    return [Frame(name, os.path.join(folder, "images", name + ".png"),
                  os.path.join(folder, "labels", name + ".png"), line)
            for name, line in read_names(os.path.join(folder, split + ".txt"))]


RECORDS = (
    DatasetSpec(
        name="camvid", folder="camvid",
        mean=(119.39, 117.79, 115.56),  # measured over the 153 images of day_train
        splits=("day_train", "day_val", "day_test", "dusk_train", "dusk_val", "dusk_test"),
        unlabelled=("day_train", "day_test", "dusk_train", "dusk_test"),
        # of the lists by day and dusk; SegNet's tutorial has other splits
        published={"day_train": 153, "day_val": 43, "day_test": 64, "dusk_train": 62,
                   "dusk_val": 21, "dusk_test": 62},
        tables={"camvid": complete({number: number for number in range(11)}, range(VOID + 1))},
        list_frames=list_frames, other_splits=listed_splits(".txt")),)
