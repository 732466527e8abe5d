"""Stored ids to train ids, where several data sets share a coding. 255 is ignored."""
from data.label_spaces import IGNORED


def complete(pairs, stored):
    """A table for all ids in `stored`: those of `pairs` mapped, the others known but ignored."""
    return {number: pairs.get(number, IGNORED) for number in stored}


# Cityscapes labelIds, which GTA5 shares: 0..33.
CITYSCAPES_IDS = complete(
    {
        7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12,
        26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18
    }, range(34))

# The same ids to CamVid's 11 classes: walls are buildings, terrain is tree, lights are signs, all
# motor vehicles are cars, and whoever rides is a bicyclist.
CITYSCAPES_IDS_TO_CAMVID = complete(
    {
        7: 3, 8: 4, 11: 1, 12: 1, 13: 7, 17: 2, 19: 6, 20: 6, 21: 5, 22: 5, 23: 0, 24: 9, 25: 10,
        32: 10, 33: 10, 26: 8, 27: 8, 28: 8, 31: 8
    }, range(34))
