"""Runs a predictor, or reads predictions that are there already, over a labelled split."""
import contextlib
import functools
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
from tqdm import tqdm

from data.errors import InputError
from tools.scoring.confusion import Confusion

#: Frames a worker scores before it reports: small enough for smooth progress.
CHUNK = 4


def check_classes(predictor, dataset, model):
    """Raises InputError unless the net gives one score for each class of the data set."""
    expected = len(dataset.space.classes)
    if predictor.classes != expected:
        raise InputError("%s gives %d classes, but %s in label space %s has %d"
                         % (model, predictor.classes, dataset.name, dataset.space.name, expected),
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

    workers: processes, one a core unless told otherwise.  Memory does not grow with the number
    of frames: every process holds one pair.
    """
    missing = [f for f in frames if not os.path.isfile(predictions.path(f))]
    if missing:
        raise InputError("%d of %d predictions are missing in %s, the first is %s"
                         % (len(missing), len(frames), predictions.folder, predictions.path(missing[0])))
    total = Confusion(len(dataset.space.classes))
    workers = min(workers or len(os.sched_getaffinity(0)), -(-len(frames) // CHUNK))
    chunks = [frames[i:i + CHUNK] for i in range(0, len(frames), CHUNK)]
    job = _FolderJob(predictions, dataset)
    with _progress(frames, "scoring") as progress, _pool(workers, job) as each:
        for part in each(chunks):
            if isinstance(part, InputError):
                raise part
            total.merge(part)
            progress.update(part.images)
    return total


class _FolderJob:
    """Scores one chunk of frames.  Workers inherit it by forking: data sets need not be picklable."""

    in_this_process = None

    def __init__(self, predictions, dataset):
        self.predictions, self.dataset = predictions, dataset

    def __call__(self, frames):
        part = Confusion(len(self.dataset.space.classes))
        try:
            for frame in frames:
                part.add(self.dataset.read_label(frame), self.predictions.read(frame), str(frame))
        except InputError as problem:
            return problem
        return part


def _begin(job):
    _FolderJob.in_this_process = job


def _run(frames):
    return _FolderJob.in_this_process(frames)


@contextlib.contextmanager
def _pool(workers, job):
    """Gives a function chunks -> results of `job` in any order, over forked processes when more than one is asked for."""
    if workers <= 1:
        yield functools.partial(map, job)
        return
    # in the parent: OpenCV's threads do not survive a fork, and a child that touches them hangs
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with multiprocessing.get_context("fork").Pool(workers, initializer=_begin, initargs=(job,)) as pool:
            yield functools.partial(pool.imap_unordered, _run)
    finally:
        cv2.setNumThreads(threads)


def _progress(frames, title):
    return tqdm(total=len(frames), desc=title, unit="image", disable=None, leave=False)
