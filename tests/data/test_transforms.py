"""Windows, margins and orders, against plain loops and numpy's own padding."""
import numpy as np
import pytest

from data import ordering, transforms

IMAGE = np.random.RandomState(0).randint(0, 256, (13, 17, 3)).astype(np.uint8)
LABEL = np.random.RandomState(1).randint(0, 19, (13, 17)).astype(np.uint8)


@pytest.mark.parametrize("margin", [0, 3, 12, 40])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_cut_is_a_window_of_the_reflected_image(margin, mirror):
    padded = np.pad(IMAGE, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    top, left, (height, width) = 2, 5, (6, 8)
    wanted = padded[top:top + height + 2 * margin, left:left + width + 2 * margin]
    cut = transforms.cut_image(IMAGE, (top, left, mirror), (height, width), margin)
    assert (cut == (wanted[:, ::-1] if mirror else wanted)).all()


def test_the_margin_of_a_window_inside_shows_the_real_surroundings():
    cut = transforms.cut_image(IMAGE, (4, 4, False), (3, 3), 2)
    assert (cut == IMAGE[2:9, 2:9]).all()


def test_mirroring_keeps_image_and_label_together():
    window = (3, 2, True)
    image = np.repeat(LABEL[:, :, None], 3, axis=2)
    assert (transforms.cut_image(image, window, (7, 9))[:, :, 0] == transforms.cut_label(
        LABEL, window, (7, 9))).all()


def test_an_image_smaller_than_the_crop_is_reflected_and_its_outside_ignored():
    window = (-2, -3, False)
    label = transforms.cut_label(LABEL, window, (17, 22))
    assert (label[2:15, 3:20] == LABEL).all()
    outside = np.ones((17, 22), bool)
    outside[2:15, 3:20] = False
    assert (label[outside] == 255).all()
    wanted = np.pad(IMAGE, ((2, 2), (3, 2), (0, 0)), mode="reflect")
    assert (transforms.cut_image(IMAGE, window, (17, 22)) == wanted).all()


def test_windows_lie_inside_and_reach_every_corner():
    generator = np.random.Generator(np.random.PCG64(0))
    seen = {transforms.random_window((5, 6, 3), (4, 4), generator) for _ in range(400)}
    assert seen == {(top, left, mirror)
                    for top in (0, 1)
                    for left in (0, 1, 2)
                    for mirror in (False, True)}


def test_even_windows_lie_where_random_ones_do_on_average():
    shape, crop = (13, 17), (6, 8)
    even = np.array(transforms.even_windows(shape, crop))
    assert len(even) == 3 * 3 and (even >= 0).all() and (even <= (7, 9)).all()
    generator = np.random.default_rng(0)
    drawn = np.array([transforms.random_window(shape, crop, generator)[:2] for _ in range(4000)])
    assert np.abs(even.mean(axis=0) - drawn.mean(axis=0)).max() < 0.5
    # between the extremes, where only the corners would be: a third of the places each
    assert sorted(set(even[:, 0])) == [1, 4, 6]
    assert transforms.even_windows(crop, crop) == transforms.even_windows((5, 3), crop) == [(0, 0)]


def test_small_images_lie_inside_the_window():
    generator = np.random.Generator(np.random.PCG64(0))
    seen = {transforms.random_window((4, 4), (5, 6), generator)[:2] for _ in range(400)}
    assert seen == {(-top, -left) for top in (0, 1) for left in (0, 1, 2)}


def test_reflection_of_a_single_row_or_column():
    assert (transforms.reflected(np.arange(-3, 4), 1) == 0).all()
    assert transforms.reflected(np.arange(-3, 5), 2).tolist() == [1, 0, 1, 0, 1, 0, 1, 0]


def test_the_margin_of_a_whole_image_is_numpys_reflection():
    assert (transforms.cut_image(IMAGE, (0, 0, False), IMAGE.shape[:2], 5) == np.pad(
        IMAGE, ((5, 5), (5, 5), (0, 0)), mode="reflect")).all()


@pytest.mark.parametrize("factor", [0.5, 0.37, 1.0, 2.0])
def test_image_and_label_are_resized_to_the_same_size_without_new_ids(factor):
    image, label = transforms.resize(IMAGE, factor), transforms.resize_label(LABEL, factor)
    assert image.shape[:2] == label.shape == (round(13 * factor), round(17 * factor))
    assert set(
        np.unique(transforms.resize_label(np.where(LABEL > 9, 255, 3).astype(np.uint8),
                                          factor))) == {3, 255}


def test_halving_a_label_takes_pixels_from_their_own_two_by_two():
    rows, columns = np.mgrid[:12, :16]
    small = transforms.resize_label((rows // 2 * 16 + columns // 2).astype(np.uint8), 0.5)
    assert (small == np.mgrid[:6, :8][0] * 16 + np.mgrid[:6, :8][1]).all()


def test_blobs_are_channels_first_bgr_minus_the_mean():
    blob = transforms.to_blob(IMAGE, (1.5, 2, 3))
    assert blob.shape == (3, 13, 17) and blob.dtype == np.float32
    assert blob[1, 4, 5] == float(IMAGE[4, 5, 1]) - 2 and blob[0, 0,
                                                               0] == float(IMAGE[0, 0, 0]) - 1.5


def test_an_epoch_shows_every_frame_once_and_the_next_in_another_order():
    epochs = [[ordering.frame_index(3, "source", epoch * 50 + step, 50) for step in range(50)]
              for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50)) and epochs[0] != epochs[1]


def test_orders_differ_between_seeds_and_between_source_and_target():
    orders = [
        tuple(ordering.epoch_order(seed, stream, 0, 30)) for seed in (1, 2)
        for stream in ("source", "target")
    ]
    assert len(set(orders)) == 4


def test_the_order_is_the_same_on_every_numpy():
    # Written down from a run; a change here breaks the resuming of every older run.
    assert ordering.epoch_order(1, "source", 0, 6).tolist() == ORDER
    assert ordering.generator(1, "target", 7).random() == pytest.approx(DRAW, abs=1e-15)


ORDER, DRAW = [3, 1, 4, 5, 0, 2], 0.6496796048755417
