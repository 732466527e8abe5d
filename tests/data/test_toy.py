"""The toy: one layout distribution, two looks, and frames that depend on their name alone."""
import time
import zlib

import numpy as np
import pytest

from data.errors import InputError
from data.records.toy import SPLITS, draw_toy
from data.registry import open_dataset

FRAMES = 60


@pytest.fixture(scope="module")
def drawn():
    return {
        split: [draw_toy(split, index) for index in range(FRAMES)]
        for split in ("source_train", "target_train")
    }


def shares(pairs):
    """(frames, 8): each class's share of the labelled pixels."""
    return np.array(
        [np.bincount(label[label < 255], minlength=8) / (label < 255).sum() for _, label in pairs])


def test_sizes_types_and_splits():
    data = open_dataset("toy")
    assert data.space.name == "toy" and len(data.space.classes) == 8
    for split, count in SPLITS.items():
        assert len(data.frames(split)) == count
    frame = data.frames("target_val")[3]
    data.check(frame)
    image, label = data.read_pair(frame)
    assert image.shape == (96, 160, 3) and image.dtype == np.uint8 and label.shape == (
        96, 160) and label.dtype == np.uint8
    assert (data.read_image(frame) == image).all() and (data.read_label(frame) == label).all()
    with pytest.raises(InputError, match="source_val"):
        data.frames("train")


def test_a_frame_is_a_function_of_split_and_index(drawn):
    for split, pairs in drawn.items():
        for index in (59, 0, 17):
            again = draw_toy(split, index)
            assert (again[0] == pairs[index][0]).all() and (again[1] == pairs[index][1]).all()
    assert len({zlib.crc32(image.tobytes())
                for pairs in drawn.values()
                for image, _ in pairs}) == 2 * FRAMES
    assert not (draw_toy("source_val", 0)[1] == drawn["source_train"][0][1]).all()


def test_labels_are_classes_or_ignored_and_some_pixels_are_ignored(drawn):
    labels = np.array([label for pairs in drawn.values() for _, label in pairs])
    assert set(np.unique(labels)) == set(range(8)) | {255}


def test_presence_and_size_of_classes_vary_from_image_to_image(drawn):
    for pairs in drawn.values():
        part = shares(pairs)
        present = (part > 0).mean(axis=0)
        absent_at_times = [1, 3, 5, 6, 7]  # building, sidewalk, car, person, pole
        assert (present[absent_at_times] < 0.97).all() and (present > 0.4).all()
        for index in range(8):
            sizes = part[part[:, index] > 0, index]
            if index != 2:  # there is always much road
                assert np.quantile(sizes, 0.9) > 2 * np.quantile(sizes, 0.1)


def test_both_domains_have_the_same_layouts_and_visibly_different_colours(drawn):
    source, target = (shares(drawn[split]).mean(axis=0)
                      for split in ("source_train", "target_train"))
    assert np.abs(source - target).max() < 0.06
    colours = []
    for split in ("source_train", "target_train"):
        pixels = np.concatenate([image.reshape(-1, 3) for image, _ in drawn[split]]).astype(float)
        labels = np.concatenate([label.ravel() for _, label in drawn[split]])
        colours.append(np.array([pixels[labels == index].mean(axis=0) for index in range(8)]))
    assert (np.abs(colours[0] - colours[1]).max(axis=1) > 15).sum() >= 6


def test_drawing_is_fast_enough_to_be_done_while_training():
    times = []
    for index in range(30):
        start = time.process_time()
        draw_toy("target_train", index)
        times.append(time.process_time() - start)
    assert np.median(times) < 0.012  # 4 ms on an idle core; the rest is for busy machines
