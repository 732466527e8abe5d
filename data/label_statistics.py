"""Statistics of a source's labels, P_LS: the share of an image that each class fills.

Class c has a fraction of the labelled (not ignored) pixels of each image that contains it.  Over
these images, alpha is the 10% quantile of the fraction, delta its mean, gamma its 90% quantile;
images without class c do not count.  The quantiles are those of the exact fractions, with linear
interpolation between neighbours (numpy's default, method 7 of Hyndman and Fan 1996); a histogram
would be too coarse for the small classes.

A net that is trained on crops sees the shares of crops, which spread much wider than those of whole
images.  For such a net the statistics are those of windows of the crop's size, evenly spaced over
each label, and "images" counts windows.  Without "window" they are those of whole labels.

The file is JSON::

    {"dataset": "toy", "split": "source_train", "label_space": "toy", "window": [80, 144],
     "images": 1600,
     "classes": [{"name": "sky", "images": 1600, "alpha": 0.1, "delta": 0.2, "gamma": 0.3},
                 {"name": "train", "images": 0, "alpha": null, "delta": null, "gamma": null}]}
"""
import json
from dataclasses import dataclass

import numpy as np

from data.errors import InputError
from data.label_spaces import label_space
from data.params import Field, check_params, integer, list_of, mapping, number, parse_object, text

ALPHA_QUANTILE, GAMMA_QUANTILE = 0.1, 0.9
_SIDES = list_of(integer(1), 2)
_WINDOW = Field("[height, width] in pixels", _SIDES.accepts)
LARGEST_FILE = 1 << 20  # bytes; a file of 19 classes has 2,000


@dataclass(frozen=True)
class LabelStatistics:
    """P_LS of C classes; alpha, delta and gamma are nan for a class that never occurs."""

    dataset: str            # whose labels were counted
    split: str
    label_space: str
    images: int             # number of labels, or of windows
    classes: tuple          # C names in train-id order
    counts: np.ndarray      # (C,) int: images that contain each class
    alpha: np.ndarray       # (C,) float64 in [0, 1]: 10% quantile
    delta: np.ndarray       # (C,) float64 in [0, 1]: mean
    gamma: np.ndarray       # (C,) float64 in [0, 1]: 90% quantile
    window: tuple = None    # (height, width) in pixels of the label; None: whole labels


def class_fractions(counts):
    """Fractions (..., C) float64 from pixel counts (..., C) without the ignored pixels.

    They sum to 1, or are all 0 where nothing is labelled.
    """
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def summarise(occurring, images, dataset, split, space, window=None):
    """LabelStatistics from C arrays: each class's fractions of the images that contain it.

    images: number of all images (or windows).  space: the LabelSpace.
    """
    return LabelStatistics(dataset, split, space.name, images, space.classes,
                           *summarise_shares(occurring), window=window)


def summarise_shares(occurring):
    """(counts, 10% quantile, mean, 90% quantile), (C,) each, of C arrays of shares.

    occurring: for each class its shares of the images that contain it.  Quantiles and mean are nan
    for a class that is present in no image.
    """
    counts = np.array([len(shares) for shares in occurring])
    low, mean, high = (np.full(len(counts), np.nan) for _ in range(3))
    for index in np.flatnonzero(counts):
        low[index], high[index] = np.quantile(occurring[index], (ALPHA_QUANTILE, GAMMA_QUANTILE))
        mean[index] = occurring[index].mean()
    return counts, low, mean, high


def to_json(statistics):
    """The text of the file, one class a line, six significant digits."""
    def shown(value):
        return json.dumps(None if np.isnan(value) else float(f"{value:.6g}"))
    window = {"window": statistics.window} if statistics.window else {}
    head = json.dumps({
        "dataset": statistics.dataset, "split": statistics.split,
        "label_space": statistics.label_space, **window, "images": statistics.images
    })
    rows = [
        f'  {{"name": {json.dumps(name)}, "images": {count}, "alpha": {shown(alpha)}, '
        f'"delta": {shown(delta)}, "gamma": {shown(gamma)}}}'
        for name, count, alpha, delta, gamma in zip(
            statistics.classes, statistics.counts, statistics.alpha, statistics.delta,
            statistics.gamma)]
    return head[:-1] + ',\n "classes": [\n' + ",\n".join(rows) + "\n ]}\n"


def read_statistics(path):
    """LabelStatistics from a file of this format, which is not trusted.

    Raises InputError, naming the file and the mistake, unless every key is there and no other,
    numbers are finite and in range, alpha <= gamma, counts agree, and the classes are those of the
    label space, where it is a known one.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"label statistics {path}: cannot be read ({reason})",
            "make them: python3 tools/label_stats.py --dataset NAME --split SPLIT --label-space "
            f"SPACE --window HEIGHT WIDTH --output {path}, with the net's source and the size of "
            "its crop before source_resize; for an experiment of this repository "
            "python3 tools/run_experiment.py NAME makes them") from None
    where = f"label statistics {path}"
    if len(data) > LARGEST_FILE:
        raise InputError(f"{where}: larger than {LARGEST_FILE} bytes")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{where}: not a text file in UTF-8") from None
    found = parse_object(
        where, content,
        {"dataset": text(), "split": text(), "label_space": text(), "images": integer(1),
         "classes": list_of(mapping())},
        {"window": (_WINDOW, None)})
    rows = [_read_class(f"{where}: class {index}", row, found["images"])
            for index, row in enumerate(found["classes"])]
    names = tuple(row["name"] for row in rows)
    _check_names(where, names, found["label_space"])
    alpha, delta, gamma = (np.array([np.nan if row[key] is None else row[key]
                                     for row in rows], float)
                           for key in ("alpha", "delta", "gamma"))
    return LabelStatistics(
        found["dataset"], found["split"], found["label_space"], found["images"], names,
        np.array([row["images"] for row in rows], int), alpha, delta, gamma,
        found["window"] and tuple(found["window"]))


def _read_class(where, row, images):
    share = number(0, 1)
    optional_share = Field("a number from 0 to 1, or null when no image contains the class",
                           lambda value: value is None or share.accepts(value))
    row = check_params(where, row, {
        "name": text(), "images": integer(0, images), "alpha": optional_share,
        "delta": optional_share, "gamma": optional_share}, {})
    shares = [row["alpha"], row["delta"], row["gamma"]]
    if row["images"] == 0:
        if shares != [None, None, None]:
            raise InputError(f"{where}: no image contains it, but it has shares {shares}")
    elif None in shares or not 0 < row["alpha"] <= row["gamma"] or row["delta"] == 0:
        raise InputError(f"{where}: expected 0 < alpha <= gamma and 0 < delta, found alpha "
                         f"{row['alpha']}, delta {row['delta']}, gamma {row['gamma']}")
    return row


def _check_names(where, names, space):
    if len(set(names)) != len(names):
        raise InputError(f"{where}: two classes have one name: {', '.join(names)}")
    try:
        expected = label_space(space).classes
    except InputError:  # the classes of a user's own data set
        return
    if names != expected:
        raise InputError(f"{where}: the classes are {', '.join(names)}; those of label space "
                         f"{space} are {', '.join(expected)}")
