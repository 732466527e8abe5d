"""Statistics of a source's labels, P_LS: how much of an image each class fills, where it is
present.

For class c, over the images that contain c, the fraction of labelled (not ignored) pixels that are
c: its 10% quantile alpha, its mean delta, its 90% quantile gamma. The quantiles are those of the
exact fractions, with linear interpolation between neighbours (numpy's default, method 7 of Hyndman
and Fan 1996), not of a histogram, which would destroy the small classes. Images without class c say
nothing about c.

A net that is trained on crops never sees an image's shares but those of a crop, which reach much
further: then the statistics are those of windows of the crop's size, evenly spaced over each label,
and "images" counts windows. Without "window" they are those of whole labels.

The file is JSON::

    {"dataset": "toy", "split": "source_train", "label_space": "toy", "window": [80, 144], "images":
    1600,
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
    """dataset, split, label_space: names of what was counted. images: how many labels, or how many
    windows of `window` (height, width) pixels of the label; None: whole labels.

    classes: tuple of C names in train-id order. counts: (C,) int, images that contain each class.
    alpha, delta, gamma: (C,) float64 fractions in [0, 1], nan for a class that never occurs.
    """

    dataset: str
    split: str
    label_space: str
    images: int
    classes: tuple
    counts: np.ndarray
    alpha: np.ndarray
    delta: np.ndarray
    gamma: np.ndarray
    window: tuple = None


def class_fractions(counts):
    """Fractions (..., C) float64 of the labelled pixels from pixel counts (..., C), ignored pixels
    not among them.

    They sum to 1, or are all 0 where nothing is labelled.
    """
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def summarise(occurring, images, dataset, split, space, window=None):
    """LabelStatistics of C arrays of class_fractions, each those of the images or windows that
    contain the class.

    images: how many there are in all; space: the LabelSpace.
    """
    return LabelStatistics(dataset, split, space.name, images, space.classes,
                           *summarise_shares(occurring), window=window)


def summarise_shares(occurring):
    """(counts, 10% quantile, mean, 90% quantile), (C,) each, of C arrays: a class's shares of the
    images it is present in.

    nan for a class that is present in no image.
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
        '  {"name": %s, "images": %d, "alpha": %s, "delta": %s, "gamma": %s}' %
        (json.dumps(name), count, shown(alpha), shown(delta), shown(gamma)) for name, count, alpha,
        delta, gamma in zip(statistics.classes, statistics.counts, statistics.alpha,
                            statistics.delta, statistics.gamma)
    ]
    return "%s,\n \"classes\": [\n%s\n ]}\n" % (head[:-1], ",\n".join(rows))


def read_statistics(path):
    """LabelStatistics from a file of this format. The file is not trusted.

    Raises InputError, naming the file and what is wrong, unless every key is there and no other,
    numbers are finite and in range, alpha <= gamma, counts agree, and the classes are those of the
    label space where it is a known one.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"label statistics {path}: cannot be read "
                         f"({getattr(error, 'strerror', None) or error})",
                         "make them: python3 tools/label_stats.py --dataset NAME --split SPLIT "
                         "--label-space SPACE --window "
                         f"HEIGHT WIDTH --output {path}, with the net's source and the size of its "
                         "crop before source_resize; an "
                         "experiment of this repository does it itself: python "
                         "tools/run_experiment.py NAME") from None
    where = f"label statistics {path}"
    if len(data) > LARGEST_FILE:
        raise InputError(f"{where}: larger than {LARGEST_FILE} bytes")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{where}: not a text file in UTF-8") from None
    found = parse_object(where, content, {
        "dataset": text(), "split": text(), "label_space": text(), "images": integer(1),
        "classes": list_of(mapping())}, {"window": (_WINDOW, None)})
    rows = [_read_class(f"{where}: class {index}", row, found["images"])
            for index, row in enumerate(found["classes"])]
    names = tuple(row["name"] for row in rows)
    _check_names(where, names, found["label_space"])
    alpha, delta, gamma = (np.array([np.nan if row[key] is None else row[key]
                                     for row in rows], float)
                           for key in ("alpha", "delta", "gamma"))
    return LabelStatistics(found["dataset"], found["split"],
                           found["label_space"], found["images"], names,
                           np.array([row["images"] for row in rows], int), alpha, delta, gamma,
                           found["window"] and tuple(found["window"]))


def _read_class(where, row, images):
    share = number(0, 1)
    optional_share = Field("a number from 0 to 1, or null when no image contains the class",
                           lambda value: value is None or share.accepts(value))
    row = check_params(
        where, row, {
            "name": text(), "images": integer(0, images), "alpha": optional_share,
            "delta": optional_share, "gamma": optional_share
        }, {})
    shares = [row["alpha"], row["delta"], row["gamma"]]
    if row["images"] == 0:
        if shares != [None, None, None]:
            raise InputError(f"{where}: no image contains it, but it has shares {shares}")
    elif None in shares or not 0 < row["alpha"] <= row["gamma"] or row["delta"] == 0:
        raise InputError("%s: expected 0 < alpha <= gamma and 0 < delta, found alpha %s, delta %s, "
                         "gamma %s"
                         % ((where,) + tuple(shares)))
    return row


def _check_names(where, names, space):
    if len(set(names)) != len(names):
        raise InputError(f"{where}: two classes have one name: {', '.join(names)}")
    try:
        expected = label_space(space).classes
    except InputError:  # a user's own classes
        return
    if names != expected:
        raise InputError(f"{where}: the classes are {', '.join(names)}; those of label space "
                         f"{space} are {', '.join(expected)}")
