"""Cityscapes (Cordts et al. 2016): 19 classes, 2048 x 1024.

    leftImg8bit/SPLIT/CITY/CITY_SEQ_FRAME_leftImg8bit.png
    gtFine/SPLIT/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png
Splits: train, val, test (published without labels); "train/aachen" is one city.
"""
import os

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.folders import files_of
from data.label_spaces import CITYSCAPES_IDS

_IMAGE, _LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"


def list_frames(folder, split, options):
    """The frames of a split or of one of its cities, sorted by name.

    Each has the path where its label would be.
    """
    if os.path.isabs(split) or ".." in split.split("/"):
        raise InputError(f"cityscapes: {split!r} is not a split; expected train, val, test or "
                         "SPLIT/CITY")
    names = files_of(os.path.join(folder, "leftImg8bit", split), (_IMAGE.lower(),), below=True)
    frames = []
    for name in names:
        stem = os.path.join(split, name[:-len(_IMAGE)])
        frames.append(Frame(os.path.basename(stem),
                            os.path.join(folder, "leftImg8bit", stem + _IMAGE),
                            os.path.join(folder, "gtFine", stem + _LABEL)))
    return frames


def other_splits(folder, options):
    """Every folder of images, such as the coarsely labelled train_extra."""
    return [(name, options) for name in sorted(os.listdir(os.path.join(folder, "leftImg8bit")))]


RECORDS = (
    DatasetSpec(
        name="cityscapes", folder="cityscapes", splits=("train", "val", "test"),
        unlabelled=("test",), tables={"cityscapes": CITYSCAPES_IDS},
        published={"train": 2975, "val": 500, "test": 1525},
        mean=(72.39, 82.91, 73.16),     # Yu and Koltun's
        list_frames=list_frames, other_splits=other_splits),)
