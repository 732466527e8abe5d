"""Counts and scores against values computed by hand."""
import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import CAMVID, CITYSCAPES
from tools.lib import confusion as module
from tools.lib.confusion import Confusion, class_subsets, mean_iou, subset_means


def counted(truth, prediction, classes=3):
    found = Confusion(classes)
    found.add(np.array(truth, np.uint8), np.array(prediction, np.uint8))
    return found


def test_counts_and_iou_of_a_map_worked_out_by_hand():
    found = counted([[0, 0, 0, 1], [1, 1, 255, 255]], [[0, 0, 1, 1], [1, 0, 0, 1]])
    assert found.counts.tolist() == [[2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]]
    # class 0: TP 2, FN 1, FP 1 (the prediction under 255 is no false positive)
    np.testing.assert_allclose(found.iou(), [2 / 4, 2 / 4, np.nan])
    assert found.pixel_accuracy() == 4 / 6
    assert found.support().tolist() == [3, 3, 0]


def test_a_class_never_predicted_scores_zero_and_an_absent_one_is_nan():
    iou = counted([[0, 1]], [[0, 0]]).iou()
    assert iou[0] == 0.5 and iou[1] == 0.0 and np.isnan(iou[2])
    assert mean_iou(iou) == 0.25  # over the two classes that have a score


def test_predicted_where_the_truth_never_is_counts_as_zero_not_nan():
    assert counted([[0, 0]], [[0, 2]]).iou()[2] == 0.0


def test_no_class_predicted_is_a_miss_and_nobodys_false_positive():
    found = counted([[0, 0, 1, 255]], [[0, 255, 1, 255]])
    np.testing.assert_allclose(found.iou()[:2], [0.5, 1.0])
    assert found.pixel_accuracy() == 2 / 3
    assert found.predicted().tolist() == [1, 1, 0]


def test_nothing_labelled_gives_nan_everywhere():
    found = counted([[255, 255]], [[0, 1]])
    assert np.isnan(found.iou()).all() and np.isnan(mean_iou(found.iou()))
    assert np.isnan(found.pixel_accuracy())


def test_counts_are_over_the_set_not_averaged_over_images():
    found = counted([[0, 0, 0, 1]], [[0, 0, 0, 0]], classes=2)
    found.add(np.array([[1]], np.uint8), np.array([[1]], np.uint8))
    np.testing.assert_allclose(found.iou(), [3 / 4, 1 / 2])
    assert found.images == 2


def test_merging_parts_equals_counting_all():
    random = np.random.RandomState(0)
    truth, prediction = random.randint(0, 4, (2, 6, 20, 30)).astype(np.uint8)
    whole, parts = Confusion(4), [Confusion(4), Confusion(4)]
    for i in range(6):
        whole.add(truth[i], prediction[i])
        parts[i % 2].add(truth[i], prediction[i])
    parts[0].merge(parts[1])
    assert (parts[0].counts == whole.counts).all() and parts[0].images == 6


def test_strips_past_the_exact_range_of_float32_are_counted_exactly(monkeypatch):
    monkeypatch.setattr(module, "EXACT_PIXELS", 64)
    truth = np.random.RandomState(1).randint(0, 3, (37, 19)).astype(np.uint8)
    prediction = truth.T.copy().T
    assert counted(truth, prediction).counts[:, :3].trace() == 37 * 19


def test_views_with_strides_are_counted_like_copies():
    both = np.random.RandomState(2).randint(0, 3, (10, 12, 2)).astype(np.uint8)
    strided = counted(both[:, :, 0], both[:, :, 1]).counts
    assert (strided == counted(both[:, :, 0].copy(), both[:, :, 1].copy()).counts).all()


@pytest.mark.parametrize("truth, prediction, message", [
    ([[0, 3]], [[0, 0]], "truth has the values 3"),
    ([[0, 0]], [[0, 254]], "prediction has the values 254"),
    ([[0, 0]], [[0, 0, 0]], "truth is 2 x 1 but the prediction is 3 x 1"),
])
def test_what_cannot_be_counted_is_refused_by_name(truth, prediction, message):
    with pytest.raises(InputError, match="frame 7.*" + message):
        Confusion(3).add(np.array(truth, np.uint8), np.array(prediction, np.uint8), "frame 7")


def test_colour_pictures_are_refused():
    with pytest.raises(InputError, match="one 8-bit channel"):
        Confusion(3).add(np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8))


def test_subsets_leave_out_the_classes_that_synthia_lacks():
    subsets = class_subsets(CITYSCAPES.classes)
    assert list(subsets) == ["mIoU-19", "mIoU-16", "mIoU-13"]
    assert [CITYSCAPES.classes[i] for i in range(19)
            if i not in subsets["mIoU-16"]] == ["terrain", "truck", "train"]
    assert [CITYSCAPES.classes[i] for i in subsets["mIoU-16"]
            if i not in subsets["mIoU-13"]] == ["wall", "fence", "pole"]
    assert list(class_subsets(CAMVID.classes)) == ["mIoU-11"]


def test_seventeen_over_nineteen_with_three_at_zero_is_twenty_over_sixteen():
    # SYNTHIA -> Cityscapes, GA + CA of Table 1, whose last decimals are rounded
    iou = np.array([11.5, 19.6, 30.8, 4.4, 0.0, 20.3, 0.1, 11.7, 42.3, 0.0, 68.7, 51.2, 3.8, 54.0,
                    0.0, 3.2, 0.0, 0.2, 0.6])
    means = subset_means(iou, CITYSCAPES.classes)
    assert means["mIoU-19"] == pytest.approx(17.0, abs=0.05)
    assert means["mIoU-16"] == pytest.approx(20.2, abs=0.051)
