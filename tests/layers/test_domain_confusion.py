"""layers/domain_confusion.py alone: values by hand, in 50 decimal digits, and by differences."""
from decimal import Decimal, getcontext

import numpy as np
import pytest

from layers.domain_confusion import (
    FLOOR,
    OBJECTIVES,
    domain_accuracies,
    domain_losses,
    feature_ratio,
    probability_minus_label,
    ramped_weight,
)

LN3 = np.log(3.0)   # sigmoid(ln 3) = 3/4
SOURCE_THEN_TARGET = np.array([True, True, False, False])


def test_losses_by_hand():
    # source: p = 3/4, 1/4; target: p = 3/4, 1/2
    losses = domain_losses(np.array([LN3, -LN3, LN3, 0.0]), SOURCE_THEN_TARGET)
    right = -np.log([3 / 4, 1 / 4, 1 / 4, 1 / 2]).mean()
    swapped = -np.log([1 / 4, 3 / 4, 3 / 4, 1 / 2]).mean()
    assert losses == pytest.approx((right, swapped), rel=1e-14)


def test_probability_minus_label_by_hand():
    found = probability_minus_label(np.array([LN3, -LN3, LN3, 0.0]), SOURCE_THEN_TARGET)
    assert found == pytest.approx([-1 / 4, -3 / 4, 3 / 4, 1 / 2], rel=1e-14)


@pytest.mark.parametrize("objective, ratio", [
    ("confusion", [-1, 1 / 3, 1 / 3, -1]),
    ("reversal", [-1, -1, -1, -1]),
    ("inverse", [0, 0, -1 / 3, -3]),
])
def test_ratio_by_hand(objective, ratio):
    found = feature_ratio(np.array([LN3, -LN3, LN3, -LN3]), SOURCE_THEN_TARGET, objective, 0.1)
    assert found == pytest.approx(0.1 * np.array(ratio), rel=1e-14)


def test_a_classifier_in_doubt_gives_the_features_no_gradient_of_confusion():
    assert not feature_ratio(np.zeros(4), SOURCE_THEN_TARGET, "confusion", 1.0).any()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_ratio_times_gradient_is_the_derivative_of_the_features_loss(objective):
    logit = np.random.RandomState(1).randn(5, 1, 3, 7) * 3
    source = (np.arange(5) < 2).reshape(5, 1, 1, 1)

    def features_loss(s):
        loss, inverse_loss = domain_losses(s, source)
        if objective == "confusion":
            return 0.3 * 0.5 * (loss + inverse_loss)
        if objective == "reversal":
            return -0.3 * loss
        target = s[2:]
        return 0.3 * domain_losses(target, np.ones(target.shape, bool))[0] * target.size / s.size

    found = probability_minus_label(logit, source) / logit.size * feature_ratio(
        logit, source, objective, 0.3)
    for index in [(0, 0, 0, 0), (1, 0, 2, 6), (2, 0, 1, 3), (4, 0, 2, 0)]:
        step = np.zeros_like(logit)
        step[index] = 1e-4
        slope = (features_loss(logit + step) - features_loss(logit - step)) / 2e-4
        assert found[index] == pytest.approx(slope, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("logit", [-45.0, -40.0, -17.5, -1e-9, 1e-9, 0.3, 17.5, 40.0, 45.0])
@pytest.mark.parametrize("source", [True, False])
def test_against_fifty_digits(logit, source):
    getcontext().prec = 50
    p = 1 / (1 + (-Decimal(logit)).exp())
    error = float(p - (1 if source else 0))
    assert probability_minus_label(logit, source) == pytest.approx(error, rel=1e-13)
    ratio = float((p - Decimal("0.5")) / (p - (1 if source else 0)))
    assert feature_ratio(logit, source, "confusion", 1.0) == pytest.approx(ratio, rel=1e-13)
    ratio = 0.0 if source else float((p - 1) / p)
    assert feature_ratio(logit, source, "inverse", 1.0) == pytest.approx(ratio, rel=1e-13)


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("logit", [-3e38, -800.0, -60.0, 60.0, 800.0, 3e38])
def test_saturated_logits_are_finite_and_the_floor_cancels(logit, source):
    with np.errstate(all="raise", under="ignore"):
        gradient = probability_minus_label(logit, source)
        ratio = feature_ratio(logit, source, "confusion", 0.1)
        assert np.isfinite(domain_losses(logit, source)).all()
    assert abs(gradient) == (1.0 if (logit > 0) != source else FLOOR)
    assert gradient * ratio == pytest.approx(0.1 * 0.5 * np.sign(logit), rel=1e-15)
    for each in OBJECTIVES:
        assert np.isfinite(np.float32(feature_ratio(logit, source, each, 0.1)))
    assert np.float32(FLOOR) != 0


def test_accuracies_by_hand_and_ties_count_half():
    assert domain_accuracies(np.array([2.0, -1.0, -3.0, 0.0]), SOURCE_THEN_TARGET) == (0.5, 0.75)


def test_accuracies_of_unequal_numbers_of_images():
    logit = np.array([1.0, -1.0, 1.0]).reshape(3, 1, 1, 1) * np.ones((3, 1, 2, 2))
    assert domain_accuracies(logit,
                             np.array([True, False, False]).reshape(3, 1, 1, 1)) == (1.0, 0.5)


def test_float32_logits_are_computed_in_float64():
    assert probability_minus_label(np.float32([30]), np.array([True])).dtype == np.float64


def test_ramp_starts_at_zero_and_is_off_by_default():
    assert ramped_weight(0.1, 0, 0) == 0.1
    assert ramped_weight(0.1, 0, 1000) == 0
    assert ramped_weight(0.1, 100, 1000) == pytest.approx(0.1 * (2 / (1 + np.exp(-1)) - 1),
                                                          rel=1e-12)
    assert ramped_weight(0.1, 1000, 1000) == pytest.approx(0.1, rel=1e-4)


def test_unknown_objective():
    with pytest.raises(ValueError, match="confusion, reversal, inverse"):
        feature_ratio(np.zeros(1), np.array([True]), "confuse", 1.0)
