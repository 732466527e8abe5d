"""Random scale and colours: values by hand, ranges, and the meaning of each key."""
import numpy as np
import pytest

from data import ordering
from data.augmentation import NONE, Augmentation, Variation

IMAGE = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)


def variation(brightness=1, contrast=1, saturation=1, channels=(1, 1, 1)):
    return Variation(1, brightness, contrast, saturation, np.array(channels, float))


def draws(augmentation, count=400):
    return [augmentation.draw(ordering.generator(1, "source", position, ordering.AUGMENTATION))
            for position in range(count)]


def test_colours_by_hand():
    # One pixel blue 200, green 100, red 0, one black. Brightness 0.5 gives 100, 50, 0, of grey
    # 0.114 * 100 + 0.587 * 50 = 40.75; the window's mean is 20.375. Contrast 2 gives 179.625,
    # 79.625, -20.375 and -20.375 three times, of grey 61.125 and -20.375. Saturation 0 leaves grey.
    image = np.array([[[200, 100, 0], [0, 0, 0]]], np.uint8)
    found = variation(0.5, 2, 0, (1, 2, 10)).recoloured(image)
    assert found.dtype == np.float32
    assert found.ravel() == pytest.approx([61.125, 122.25, 255, 0, 0, 0])


def test_factors_of_one_change_nothing():
    assert variation().recoloured(IMAGE) == pytest.approx(IMAGE.astype(float), abs=1e-4)


def test_brightness_scales_contrast_keeps_the_mean_and_saturation_keeps_the_grey():
    grey = np.array([0.114, 0.587, 0.299])
    image = IMAGE // 4 + 90                 # so that nothing leaves 0 to 255
    assert variation(0.5).recoloured(image) == pytest.approx(0.5 * image)
    contrasted = variation(contrast=0.7).recoloured(image)
    assert (contrasted @ grey).mean() == pytest.approx((image @ grey).mean())
    assert np.ptp(contrasted) == pytest.approx(0.7 * np.ptp(image))
    saturated = variation(saturation=1.3).recoloured(image)
    assert saturated @ grey == pytest.approx(image @ grey, rel=1e-5)
    assert variation(channels=(1, 0.5, 1.2)).recoloured(image) == pytest.approx(
        image * [1, 0.5, 1.2], rel=1e-6)


def test_draws_fill_their_ranges_and_half_and_double_are_equally_likely():
    found = draws(Augmentation((0.5, 2), 0.4, 0.3, 0.2, 0.1))
    scales = np.array([one.scale for one in found])
    assert 0.5 <= scales.min() < 0.52 and 1.95 < scales.max() <= 2
    assert np.log(scales).mean() == pytest.approx(0, abs=0.05)
    for key, width in (("brightness", 0.4), ("contrast", 0.3), ("saturation", 0.2),
                       ("channels", 0.1)):
        values = np.array([getattr(one, key) for one in found])
        assert 1 - width <= values.min() < 1 - 0.95 * width
        assert 1 + 0.95 * width < values.max() <= 1 + width
    every = np.array([(one.scale, one.brightness, one.contrast, one.saturation, *one.channels)
                      for one in found])
    assert np.abs(np.corrcoef(every.T) - np.eye(7)).max() < 0.2       # each by itself


def test_one_key_leaves_the_draws_of_the_others_as_they_are():
    alone, together = (draws(Augmentation(contrast=0.3, **more), 5)
                       for more in ({}, dict(scale=(0.5, 2), brightness=0.4, channels=0.1)))
    assert [one.contrast for one in alone] == [one.contrast for one in together]


def test_nothing_varies_by_default():
    found = NONE.draw(ordering.generator(1, "target", 3, ordering.AUGMENTATION))
    assert (found.scale, found.brightness, found.contrast, found.saturation) == (1, 1, 1, 1)
    assert (found.channels == 1).all() and not NONE.colours


def test_draws_are_the_same_on_every_numpy_and_apart_from_the_windows():
    # Written down from a run; a change here breaks the resuming of every older run.
    first = ordering.generator(1, "source", 7, ordering.AUGMENTATION).random()
    assert first == pytest.approx(0.49951519028732794, abs=1e-15)
    assert first != ordering.generator(1, "source", 7).random()
