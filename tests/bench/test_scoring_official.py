"""The same predictions through Cityscapes' own evaluation, fetched when a test needs it."""
import math
from dataclasses import replace

import numpy as np
import pytest

from data.errors import InputError
from tools.bench.official import official_package, official_scores
from tools.bench.sample_labels import write_sample
from tools.lib.confusion import mean_iou
from tools.lib.scoring.evaluate import PredictionFolder, score_folder


@pytest.fixture(scope="module")
def package():
    try:
        return official_package(timeout=45)
    except InputError as problem:
        pytest.skip(str(problem))


def test_iou_of_every_class_and_the_mean_agree_to_1e_9(package, tmp_path):
    dataset, frames, folder = write_sample(str(tmp_path), 4, height=128, width=256, shapes=120)
    store = PredictionFolder(folder, dataset, "dataset")
    official = official_scores([(store.path(f), f.label) for f in frames], package)
    ours = score_folder(store, dataset, frames).iou()
    assert 0 < mean_iou(ours) < 1
    for name, value in zip(dataset.space.classes, ours):
        assert official["iou"][name] == pytest.approx(value, abs=1e-9)
    assert official["mean"] == pytest.approx(mean_iou(ours), abs=1e-9)


def test_train_ids_and_label_ids_of_one_prediction_score_alike_and_absent_classes_agree(
        package, tmp_path):
    dataset, frames, folder = write_sample(str(tmp_path), 1, height=64, width=64, shapes=4)
    by_label = PredictionFolder(folder, dataset, "dataset")
    by_train = PredictionFolder(str(tmp_path / "train"), dataset)
    for frame in frames:
        by_train.write(frame, by_label.read(frame))
    ours = score_folder(by_train, dataset, frames)
    assert (ours.counts == score_folder(by_label, dataset, frames).counts).all()
    official = official_scores([(by_label.path(f), f.label) for f in frames], package)
    absent = [name for name, value in zip(dataset.space.classes, ours.iou()) if math.isnan(value)]
    assert absent and absent == [n for n in dataset.space.classes if official["iou"][n] is None]


def test_label_ids_that_are_written_map_back_to_the_same_train_ids(tmp_path):
    dataset, frames, _ = write_sample(str(tmp_path), 1, height=8, width=8)
    store = PredictionFolder(str(tmp_path / "out"), dataset, "dataset")
    labels = np.array([list(range(19)) + [255]], np.uint8)
    store.write(frames[0], labels)
    assert (store.read(frames[0]) == labels).all()
    stored = dataset.record.tables["cityscapes"]
    raw = PredictionFolder(str(tmp_path / "out"), dataset).read(frames[0])
    assert [stored[int(i)] for i in raw[0]] == labels[0].tolist()


def test_forked_workers_count_what_one_process_counts(tmp_path):
    dataset, frames, folder = write_sample(str(tmp_path), 9, height=32, width=48)
    store = PredictionFolder(folder, dataset, "dataset")
    assert (score_folder(store, dataset, frames,
                         3).counts == score_folder(store, dataset, frames, 1).counts).all()


@pytest.mark.parametrize("workers", (1, 2))
def test_a_bad_prediction_is_named_from_every_worker(tmp_path, workers):
    dataset, frames, folder = write_sample(str(tmp_path), 6, height=16, width=16)
    (tmp_path / "predictions" / "frame_0004.png").write_bytes(b"no picture")
    for _ in range(30):  # often: with Python 3.9's pool, the end after an error did not always come
        with pytest.raises(InputError, match="frame_0004"):
            score_folder(PredictionFolder(folder, dataset, "dataset"), dataset, frames, workers)


def test_missing_predictions_are_counted_before_anything_is_scored(tmp_path):
    dataset, frames, folder = write_sample(str(tmp_path), 2, height=16, width=16)
    frames.append(replace(frames[0], name="gone"))
    with pytest.raises(InputError, match="1 of 3 predictions are missing.*gone.png"):
        score_folder(PredictionFolder(folder, dataset, "dataset"), dataset, frames)
