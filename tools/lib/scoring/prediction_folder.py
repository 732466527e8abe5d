"""Folders of predictions: label maps to score later, or colours to look at."""
import os
from dataclasses import replace

import numpy as np

from data.errors import InputError
from data.reading import read_ids
from tools.lib.scoring.pictures import colour, write_image


class PredictionFolder:
    """A folder of label maps, one PNG a frame: <folder>/<frame name>.png.

    ids: "train" for train ids (255 none), "dataset" for the data set's own stored ids (Cityscapes
    labelIds, as its evaluation server wants them).
    """

    def __init__(self, folder, dataset, ids="train"):
        self.folder, self.dataset, self.ids = os.fspath(folder), dataset, ids
        self._stored = _stored_ids(dataset) if ids == "dataset" else None

    def path(self, frame):
        """Where the prediction of a frame lies."""
        return os.path.join(self.folder, frame.name + ".png")

    def write(self, frame, prediction):
        """Saves a (H, W) uint8 map of train ids as PNG in this folder's ids."""
        write_image(self.path(frame),
                    prediction if self._stored is None else self._stored[prediction])

    def read(self, frame):
        """(H, W) uint8 train ids of a frame's prediction; InputError when it is missing or
        unreadable."""
        path = self.path(frame)
        if not os.path.isfile(path):
            raise InputError(f"no prediction for {frame.name}: {path} does not exist")
        if self.ids == "dataset":
            return self.dataset.read_label(replace(frame, label=path))
        labels = read_ids(path)
        if labels.dtype != np.uint8:
            raise InputError(f"{path}: {labels.dtype} values; a prediction holds 8-bit train ids")
        return labels


class ColourFolder:
    """A folder of colour pictures of label maps, <folder>/<frame name>.png, in the data set's
    palette."""

    def __init__(self, folder, dataset):
        self.folder, self.palette = os.fspath(folder), dataset.space.palette

    def write(self, frame, prediction):
        """Saves a (H, W) uint8 map of train ids as a colour PNG."""
        write_image(os.path.join(self.folder, frame.name + ".png"),
                    colour(prediction, self.palette))


def _stored_ids(dataset):
    """(256,) uint8: train id -> the data set's own id, the first where several share one."""
    stored = np.zeros(256, np.uint8)
    table = dataset.record.tables.get(dataset.space.name, {})
    if not set(range(len(dataset.space.classes))) <= set(table.values()):
        raise InputError(f"--ids dataset: {dataset.name} has no ids of its own for the classes of "
                         f"{dataset.space.name}", "use --ids train")
    for number in sorted(table, reverse=True):
        if number < 256:
            stored[table[number]] = number
    return stored
