"""BDDS / BDD100K (Yu et al. 2018): dash-cam frames, 1280 x 720, 19 Cityscapes classes.

Both layouts are read, the older first:
    seg/images/SPLIT/X.jpg    seg/labels/SPLIT/X_train_id.png
    images/10k/SPLIT/X.jpg    labels/sem_seg/masks/SPLIT/X.png
Labels hold train ids, 255 = unknown.  Splits: train, val, test.  Other frames, such as those of a
city's unlabelled videos, are read with the data set `frames`.
"""
import os

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.folders import files_of
from data.label_spaces import IGNORED

# images, labels, ending of a label
_LAYOUTS = ((("seg", "images"), ("seg", "labels"), "_train_id.png"),
            (("images", "10k"), ("labels", "sem_seg", "masks"), ".png"))


def list_frames(folder, split, options):
    """The frames of a split, each with the path where its label would be."""
    if split not in ("train", "val", "test"):
        raise InputError(f"bdds has no split {split!r}; it has train, val, test")
    for images, labels, ending in _LAYOUTS:
        place = os.path.join(folder, *images, split)
        if os.path.isdir(place):
            return [Frame(name[:-4], os.path.join(place, name),
                          os.path.join(folder, *labels, split, name[:-4] + ending))
                    for name in files_of(place, (".jpg",))]
    older, newer = (os.path.join(*images, split) for images, _, _ in _LAYOUTS)
    raise InputError(f"{folder}: neither {older} nor {newer} in it")


RECORDS = (
    DatasetSpec(
        name="bdds", folder="bdds", splits=("train", "val", "test"), unlabelled=("test",),
        published={"train": 7000, "val": 1000, "test": 2000},
        tables={"cityscapes": {number: number for number in (*range(19), IGNORED)}},
        mean=(72.39, 82.91, 73.16),     # of Cityscapes, the source of the paper's Figure 4
        list_frames=list_frames),)
