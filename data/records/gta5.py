"""GTA5 (Richter et al. 2016): frames of a game with Cityscapes label ids, as palette PNGs.

images/00001.png, labels/00001.png.  A split is a list file NAME.txt of the data set's folder (names
without .png); "all" is every file of images/; train, val and test may also come from the published
split.mat.
"""
import os
from dataclasses import replace

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.frame_lists import listed_splits, split_names
from data.label_spaces import CITYSCAPES_IDS, CITYSCAPES_IDS_TO_CAMVID, IGNORED

LICENCE_PLATE = 34  # beside the Cityscapes ids


def list_frames(folder, split, options):
    """The frames of a split, each with its label's path."""
    published, list_file = os.path.join(folder, "split.mat"), os.path.join(folder, split + ".txt")
    if split in ("train", "val", "test") and not os.path.exists(list_file):
        if not os.path.exists(published):
            raise InputError(f"{folder}: neither {split}.txt nor the published split.mat in it",
                             'docs/datasets.md says where split.mat is; the split "all" needs '
                             'neither')
        names = _published(published, split)
    else:
        names = split_names(folder, split, "images", ".png")
    return [Frame(name, os.path.join(folder, "images", name + ".png"),
                  os.path.join(folder, "labels", name + ".png"), line) for name, line in names]


def _published(path, split):
    """[(name, where it is listed)] of a split in the published split.mat."""
    from scipy.io import loadmat  # only here: it is slow to import

    try:
        numbers = loadmat(path)[split + "Ids"].ravel()
        return [(f"{number:05d}", f"{path}:{row}") for row, number in enumerate(numbers, 1)]
    except Exception as error:  # loadmat raises many kinds on hostile files
        raise InputError(f"{path}: not the published split file ({error})") from None


_TABLES = {"cityscapes": dict(CITYSCAPES_IDS), "camvid": dict(CITYSCAPES_IDS_TO_CAMVID)}
for _table in _TABLES.values():
    _table[LICENCE_PLATE] = IGNORED

GTA5 = DatasetSpec(
    name="gta5", folder="gta5", splits=("train", "val", "test", "all"), whole=("all",),
    tables=_TABLES, published={"train": 12403, "val": 6382, "test": 6181, "all": 24966},
    mean=(118.50, 128.23, 132.64),      # measured over the 60 frames of gta5_half
    list_frames=list_frames, other_splits=listed_splits(".txt"))

# The same format at half size, a small set for experiments.
GTA5_HALF = replace(GTA5, name="gta5_half", folder="gta5_half", splits=("train", "all"),
                    published={"train": 60, "all": 60})

RECORDS = (GTA5, GTA5_HALF)
