"""Confusion counts of label maps, and scores from them as in the Cityscapes evaluation.

IoU_c = TP_c / (TP_c + FP_c + FN_c), counted over the whole set, not averaged over images.
Pixels whose truth is ignored (255) count nowhere, neither as FN nor as FP.
"""
import cv2
import numpy as np

from data.errors import InputError
from data.label_spaces import IGNORED

#: Largest number of pixels to count in one call: cv2.calcHist returns float32, exact up to 2**24.
EXACT_PIXELS = 1 << 24
#: Classes that mIoU-16 leaves out: SYNTHIA-RAND-CITYSCAPES never shows them.
NOT_IN_16 = ("terrain", "truck", "train")
#: Classes that mIoU-13 leaves out: also those that are thin and rare.
NOT_IN_13 = NOT_IN_16 + ("wall", "fence", "pole")


class Confusion:
    """Pixel counts[t, p]: truth t was predicted as p; the last column is "no class" (255).

    A pixel predicted 255 where the truth has a class is a miss (FN) of that class and a
    false positive of none, as in the Cityscapes evaluation.
    """

    def __init__(self, classes):
        """classes: how many classes there are (1 to 255)."""
        if not 1 <= classes <= IGNORED:
            raise ValueError(f"1 to 255 classes can be counted, not {classes!r}")
        self.classes = classes
        self.counts = np.zeros((classes, classes + 1), np.int64)
        self.images = 0

    def add(self, truth, prediction, name="the image"):
        """Counts one image: truth and prediction (H, W) uint8, 0..classes-1 or 255.

        Raises InputError, naming `name`, when the sizes differ or a value is out of range.
        """
        _check_pair(truth, prediction, name)
        table = np.zeros((256, 256), np.int64)
        rows = max(1, EXACT_PIXELS // max(1, truth.shape[1]))
        for top in range(0, truth.shape[0], rows):
            pair = [np.ascontiguousarray(a[top:top + rows]) for a in (truth, prediction)]
            table += cv2.calcHist(pair, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
        self._check_values("truth", table.sum(1), name)
        self._check_values("prediction", table.sum(0), name)
        self.counts[:, :-1] += table[:self.classes, :self.classes]
        self.counts[:, -1] += table[:self.classes, IGNORED]
        self.images += 1

    def _check_values(self, what, pixels, name):
        wrong = [v for v in range(self.classes, IGNORED) if pixels[v]]
        if wrong:
            raise InputError(f"{name}: the {what} has the values {', '.join(map(str, wrong[:5]))} "
                             f"({pixels[wrong].sum()} pixels); expected classes "
                             f"0..{self.classes - 1} or 255 for none")

    def merge(self, other):
        """Adds the counts of another Confusion over the same classes."""
        self.counts += other.counts
        self.images += other.images

    def iou(self):
        """(classes,) float64 in 0..1; nan for a class found in neither truth nor prediction."""
        hits = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(1) + self.counts[:, :-1].sum(0) - np.diagonal(self.counts)
        return np.divide(hits, union, out=np.full(self.classes, np.nan), where=union > 0)

    def support(self):
        """(classes,) int64: pixels of each class in the truth."""
        return self.counts.sum(1)

    def predicted(self):
        """(classes,) int64: pixels predicted as each class where the truth is not ignored."""
        return self.counts[:, :-1].sum(0)

    def pixel_accuracy(self):
        """Share of the labelled pixels that are right (0..1); nan when none is labelled."""
        total = self.counts.sum()
        return float(np.diagonal(self.counts).sum() / total) if total else float("nan")


def _check_pair(truth, prediction, name):
    for what, array in (("truth", truth), ("prediction", prediction)):
        if array.ndim != 2 or array.dtype != np.uint8:
            raise InputError(f"{name}: the {what} must be one 8-bit channel, found shape "
                             f"{array.shape} of {array.dtype}")
    if truth.shape != prediction.shape:
        raise InputError(f"{name}: the truth is {truth.shape[1]} x {truth.shape[0]} but the "
                         f"prediction is {prediction.shape[1]} x {prediction.shape[0]} "
                         "(width x height)")


def mean_iou(iou, members=None):
    """Mean of the IoU values that are not nan, over all classes or those numbered in `members`.

    A class in neither truth nor prediction (nan) has no score and is left out; a class that
    occurs in the truth and is never predicted scores 0 and counts. nan when nothing is left.
    """
    values = np.asarray(iou, np.float64)
    if members is not None:
        values = values[list(members)]
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def class_subsets(classes):
    """{title: class numbers}: mIoU over all; for the 19 Cityscapes classes also the 16 and the 13.

    classes: class names in order.
    """
    classes = list(classes)
    subsets = {f"mIoU-{len(classes)}": list(range(len(classes)))}
    if len(classes) == 19 and set(NOT_IN_13) <= set(classes):
        for left_out in (NOT_IN_16, NOT_IN_13):
            members = [i for i, name in enumerate(classes) if name not in left_out]
            subsets[f"mIoU-{len(members)}"] = members
    return subsets


def subset_means(iou, classes):
    """{title: mean IoU over the subset} for each of class_subsets(classes)."""
    return {title: mean_iou(iou, members) for title, members in class_subsets(classes).items()}
