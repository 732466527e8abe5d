"""Category-specific adaptation (section 3.2 of the paper, Eq. 8) of one target image's scores.

    1. p = argmax of the scores; class c is present when its share of the pixels exceeds
       presence_factor alpha_c
    2. P = the distribution nearest to softmax(scores) with a mass from delta_c to gamma_c for each
       present class and none for the others (layers/size_constraints.py); V is its distance
    3. dV/dscores = (softmax(scores) - P) / pixels, the channels of large classes scaled down

alpha, delta and gamma are the source's label statistics (data/label_statistics.py).  Plain numpy,
apart from Caffe.
"""
from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from layers.size_constraints import solve

BOUNDS = ("both", "lower", "upper", "none")
PRESENCE_FACTOR = 0.1  # the paper's
#: The matrix libraries that numpy has loaded. Looking for them takes long, limiting them 5 us.
MATRIX_LIBRARIES = ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True)
class CategoryRule:
    """The constraints that follow from the source's label statistics."""

    least_share: np.ndarray     # (C,) a class is present above this share (inf: never)
    lower: np.ndarray           # (C,) bounds of a present class's mass
    upper: np.ndarray           # (C,)
    slack: float                # price of a missing unit of mass
    channel_weights: np.ndarray     # (C,) factor of each channel's gradient


@dataclass(frozen=True)
class CategoryTarget:
    """The loss of one image, its gradient, and numbers for the log."""

    value: float            # V in nats a pixel, before the scaling of channels
    gradient: np.ndarray    # (C, h, w) float32, after the scaling of channels
    present: int            # number of present classes
    active: int             # number of bounds that act on them
    relaxed: bool           # whether the upper bounds were unattainable and were scaled up


def category_rule(statistics, slack=2.0, presence_factor=PRESENCE_FACTOR, down_weight_threshold=0.1,
                  down_weight_factor=0.1, bounds="both"):
    """The CategoryRule of a data.label_statistics.LabelStatistics.

    A class without statistics, because it never occurs in the source, is never present.  Classes
    whose alpha exceeds down_weight_threshold are large in every image and would drown the others;
    their gradient is scaled by down_weight_factor.  bounds: one of BOUNDS; "none" only forbids
    absent classes.
    """
    known = statistics.counts > 0
    alpha = np.where(known, statistics.alpha, 0.0)
    with_lower = known & (bounds in ("both", "lower"))
    with_upper = known & (bounds in ("both", "upper"))
    return CategoryRule(
        least_share=np.where(known, presence_factor * alpha, np.inf),
        lower=np.where(with_lower, statistics.delta, 0.0),
        upper=np.where(with_upper, statistics.gamma, 1.0),
        slack=slack,
        channel_weights=np.where(alpha > down_weight_threshold, down_weight_factor, 1.0))


def predicted_shares(scores):
    """(C,) share of the pixels at which each class has the largest of the scores (C, h, w)."""
    return np.bincount(scores.argmax(axis=0).ravel(), minlength=len(scores)) / scores[0].size


def category_targets(scores, rule):
    """The CategoryTarget of every image of scores (N, C, h, w), matrix products on one thread.

    The products are small: more threads gain nothing in OpenBLAS and take 25 times as long in MKL,
    which spreads them. The limit holds for the process until this returns.
    """
    with MATRIX_LIBRARIES.limit(limits=1):
        # One image after the other: with threads, array operations as short as these wait for
        # Python's lock and take longer (tools/bench/bench_constraints.py prints both).
        return [category_target(image, rule) for image in scores]


def category_target(scores, rule):
    """The CategoryTarget of one image's scores (C, h, w), float.

    Without a present class, value and gradient are 0.  Scores that are not all finite give nan for
    both, as any loss of Caffe does, so that the guards of the training see it.
    """
    if not np.isfinite(scores).all():
        return CategoryTarget(np.nan, np.full(scores.shape, np.nan, np.float32), 0, 0, False)
    present = predicted_shares(scores) > rule.least_share
    if not present.any():
        return CategoryTarget(0.0, np.zeros(scores.shape, np.float32), 0, 0, False)
    solution = solve(scores, present, rule.lower, rule.upper, rule.slack)
    gradient = softmax(scores)
    gradient -= solution.probabilities
    gradient *= (rule.channel_weights / scores[0].size)[:, None, None]
    return CategoryTarget(solution.value, gradient.astype(np.float32), int(present.sum()),
                          int(np.count_nonzero(solution.mu)), solution.relaxed)


def softmax(scores):
    """Shares (C, h, w) of scores (C, h, w), float64."""
    shares = np.subtract(scores, scores.max(axis=0), dtype=float)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=0)
    return shares
