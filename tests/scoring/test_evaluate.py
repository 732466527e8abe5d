"""A split scored frame by frame: every frame once, and no thread where the net may fork."""
import threading

import numpy as np
import pytest

from data.registry import open_dataset
from tools.lib.scoring.evaluate import evaluate


class FirstClass:
    """In place of a Predictor: every pixel is of class 0; counts the threads that run beside it."""
    classes = 8

    def __init__(self, whole_because):
        self.whole_because = whole_because
        self.threads = []

    def predict(self, image, size, scale):
        self.threads.append(threading.active_count())
        return np.zeros(size, np.uint8)


@pytest.mark.parametrize("whole_because, threads", [(None, 2), ("it has an MVN layer", 1)])
@pytest.mark.parametrize("count", (1, 3))
def test_every_frame_is_counted_and_only_tiles_are_computed_beside_a_thread(
        whole_because, threads, count):
    dataset = open_dataset("toy")
    frames = dataset.frames(f"target_val[:{count}]")
    predictor, kept, before = FirstClass(whole_because), [], threading.active_count()
    found = evaluate(predictor, dataset, frames, keep=lambda frame, _: kept.append(frame))
    assert predictor.threads == [before - 1 + threads] * count and kept == frames
    labels = [dataset.read_label(frame) for frame in frames]
    assert found.counts.sum() == sum((label < 8).sum() for label in labels)
    assert threading.active_count() == before
