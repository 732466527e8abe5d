"""Confusion counts over a labelled split: of a net, or of predictions that were saved before."""
import contextlib
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from data.errors import InputError
from data.parallel import each_result
from data.progress import progress_bar
from data.reading import read_ids
from tools.lib.confusion import Confusion
from tools.lib.scoring.pictures import colour, write_image

#: Frames that a process scores before it reports: few, for smooth progress.
CHUNK = 4


def evaluate(predictor, dataset, frames, scale=1.0, keep=None, title=None):
    """Confusion of a Predictor over labelled frames; scores are resized to each label's own size.

    scale: images are resized by this factor before the net.  keep: called with (frame,
    prediction (H, W) uint8) for every frame.  title: of the progress bar.
    """
    confusion = Confusion(predictor.classes)
    # A net that is computed whole forks for every new size, and a fork must not meet a thread.
    pairs = _each_pair(dataset, frames, ahead=predictor.whole_because is None)
    with _progress(frames, title) as progress, contextlib.closing(pairs):
        for frame, (image, label) in zip(frames, pairs):
            prediction = predictor.predict(image, label.shape, scale)
            confusion.add(label, prediction, str(frame))
            if keep is not None:
                keep(frame, prediction)
            progress.update()
    return confusion


def _each_pair(dataset, frames, ahead):
    """Image and label of each frame; ahead: the next ones are read while the caller computes."""
    if not ahead:
        yield from map(dataset.read_pair, frames)
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(dataset.read_pair, frames[0])
        for frame in frames[1:]:
            pair, coming = coming.result(), reader.submit(dataset.read_pair, frame)
            yield pair
        yield coming.result()


def score_folder(predictions, dataset, frames, workers=None):
    """Confusion of the predictions in a PredictionFolder, counted on all cores.

    workers: number of processes, by default one for each usable core.  Every process holds one
    pair, and so memory does not grow with the number of frames.  Raises InputError when a
    prediction is missing or unreadable.
    """
    missing = [f for f in frames if not os.path.isfile(predictions.path(f))]
    if missing:
        raise InputError(f"{len(missing)} of {len(frames)} predictions are missing in "
                         f"{predictions.folder}, the first is {predictions.path(missing[0])}")
    total = Confusion(len(dataset.space.classes))
    chunks = [frames[i:i + CHUNK] for i in range(0, len(frames), CHUNK)]
    score = functools.partial(_score_chunk, predictions, dataset)
    with _progress(frames, "scoring") as progress:
        for part in each_result(score, chunks, workers, chunk=1):
            total.merge(part)
            progress.update(part.images)
    return total


def _score_chunk(predictions, dataset, frames):
    part = Confusion(len(dataset.space.classes))
    for frame in frames:
        part.add(dataset.read_label(frame), predictions.read(frame), str(frame))
    return part


def _progress(frames, title):
    return progress_bar(total=len(frames), desc=title, unit="image")


class PredictionFolder:
    """A folder of label maps, one PNG for each frame: <folder>/<frame name>.png.

    ids: "train" for train ids (255 none), "dataset" for the data set's own stored ids (labelIds of
    Cityscapes, which its evaluation server reads).
    """

    def __init__(self, folder, dataset, ids="train"):
        self.folder, self.dataset, self.ids = os.fspath(folder), dataset, ids
        self._stored = _stored_ids(dataset) if ids == "dataset" else None

    def path(self, frame):
        """Path of a frame's prediction."""
        return os.path.join(self.folder, frame.name + ".png")

    def write(self, frame, prediction):
        """Saves a (H, W) uint8 map of train ids as PNG in this folder's ids."""
        write_image(self.path(frame),
                    prediction if self._stored is None else self._stored[prediction])

    def read(self, frame):
        """(H, W) uint8 train ids of a frame's prediction; InputError without a readable file."""
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
    """A folder of label maps as colour pictures in the data set's palette, named like above."""

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
