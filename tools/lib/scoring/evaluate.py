"""Runs a predictor, or reads predictions that are there already, over a labelled split."""
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from data.errors import InputError
from data.parallel import each_result
from tools.lib.confusion import Confusion

#: Frames a worker scores before it reports: small enough for smooth progress.
CHUNK = 4


def check_classes(predictor, dataset, model):
    """Raises InputError unless the net gives one score for each class of the data set."""
    expected = len(dataset.space.classes)
    if predictor.classes != expected:
        raise InputError(f"{model} gives {predictor.classes} classes, but {dataset.name} in "
                         f"label space {dataset.space.name} has {expected}",
                         "choose another --model or --label-space")


def evaluate(predictor, dataset, frames, scale=1.0, keep=None, title=None):
    """Confusion of a Predictor over labelled frames; scores are brought to each label's own size.

    scale: images are resized by this factor before the net.  keep: called with (frame,
    prediction (H, W) uint8) for every frame.  title: of the progress bar.
    """
    confusion = Confusion(predictor.classes)
    with ThreadPoolExecutor(1) as reader, _progress(frames, title) as progress:
        # one pair is read ahead while the net runs
        ahead = reader.submit(dataset.read_pair, frames[0])
        for number, frame in enumerate(frames):
            image, label = ahead.result()
            if number + 1 < len(frames):
                ahead = reader.submit(dataset.read_pair, frames[number + 1])
            prediction = predictor.predict(image, label.shape, scale)
            confusion.add(label, prediction, str(frame))
            if keep is not None:
                keep(frame, prediction)
            progress.update()
    return confusion


def score_folder(predictions, dataset, frames, workers=None):
    """Confusion of predictions that lie in a PredictionFolder, counted on all cores.

    workers: processes, one a usable core unless told otherwise.  Memory does not grow with the number
    of frames: every process holds one pair.
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
    return tqdm(total=len(frames), desc=title, unit="image", disable=None, leave=False)
