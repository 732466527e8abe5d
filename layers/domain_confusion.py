"""Pixel-wise domain confusion in numpy: the losses of Eq. 2-5 and the two gradients of Eq. 6 and 7.

Notation. Each unit (image n, row h, column w) has one domain logit s = score_source - score_target,
p = sigmoid(s) is the classifier's probability of SOURCE, y = 1 on source units and 0 on target
units, M is the number of units, source and target together. The paper sums over the units; means
are taken here so that the weight does not depend on the crop.

    L_D    = -1/M sum [ y log p + (1 - y) log(1 - p) ]   (Eq. 2, 3)   dL_D/ds    = (p - y) / M
    L_Dinv = -1/M sum [ (1 - y) log p + y log(1 - p) ]   (Eq. 4, 5)   dL_Dinv/ds = (p - (1 - y)) / M

The classifier minimises L_D (Eq. 6). The features minimise another loss of the same logit s. As the
classifier is made of 1x1 convolutions, s depends on the features R of its own unit only, and both
gradients share the Jacobian ds/dR:

    d(feature loss)/dR = (ds/dR) d(feature loss)/ds = (ds/dR) dL_D/ds * r
    with r = d(feature loss)/ds / (dL_D/ds)

so the gradient that the classifier sends back, times r unit by unit, is the one the features need.
With lambda = weight:

    objective   loss of the features                  r
    confusion   lambda 1/2 (L_D + L_Dinv)  (Eq. 7)    lambda (p - 1/2) / (p - y)
    reversal    -lambda L_D           (Ganin 2015)    -lambda
    inverse     lambda (L_Dinv of the target units)   lambda (p - 1) / p on target units,
                = -lambda/M sum_target log p          0 on source units

Numerics. Everything is float64: with float32 the p of a logit above 17 is 1. p - y is sigmoid(-s)
or sigmoid(s) with a sign, never a difference of two numbers near 1. Where |p - y| < FLOOR (|s| >
46) it is replaced by FLOOR, with its sign, in the gradient and in r alike: their product stays
exact, and float32 holds both. Nothing else is clipped.
"""
import numpy as np

OBJECTIVES = ("confusion", "reversal", "inverse")
FLOOR = 1e-20


def domain_losses(logit, is_source):
    """(L_D, L_Dinv) of Eq. 2-5 in nats, both >= 0: means over all units.

    logit: s, any shape. is_source: bool, broadcastable to it.
    """
    margin = _margin(logit, is_source)
    return np.logaddexp(0, -margin).mean(), np.logaddexp(0, margin).mean()


def domain_accuracies(logit, is_source):
    """Share of source units with p > 1/2 and of target units with p < 1/2, each in [0, 1].

    A unit with p = 1/2 counts half, so that a classifier that knows nothing scores 0.5 on both.
    Both domains must be there: the share of no units at all is nan.
    """
    right = 0.5 * (1 + np.sign(_margin(logit, is_source)))
    source = np.broadcast_to(is_source, right.shape)
    return right[source].mean(), right[~source].mean()


def probability_minus_label(logit, is_source):
    """p - y, which is M dL_D/ds, without cancellation and with FLOOR <= |p - y| <= 1.

    float64 in the shape of logit.
    """
    size = np.maximum(np.exp(-np.logaddexp(0, _margin(logit, is_source))), FLOOR)
    return np.where(is_source, -size, size)


def feature_ratio(logit, is_source, objective, weight):
    """The gradient ratio r of the module's table, unit by unit.

    objective: one of OBJECTIVES. weight: lambda >= 0. Returns float64 in the shape of logit; |r| <=
    weight / FLOOR.
    """
    logit = np.asarray(logit, np.float64)
    if objective == "reversal":
        return np.full(logit.shape, -float(weight))
    if objective == "confusion":
        wanted = 0.5 * np.tanh(0.5 * logit)                                         # p - 1/2
    elif objective == "inverse":
        wanted = np.where(is_source, 0.0, -np.exp(-np.logaddexp(0, logit)))         # p - 1
    else:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, found {objective!r}")
    return weight * wanted / probability_minus_label(logit, is_source)


def ramped_weight(weight, position, ramp):
    """lambda after `position` training passes, rising from 0 (Ganin 2015).

    weight (2 / (1 + exp(-10 position / ramp)) - 1). ramp: passes until lambda is within 1e-4 of
    weight; 0 means the full weight from the start.
    """
    return weight * np.tanh(5.0 * position / ramp) if ramp else weight


def _margin(logit, is_source):
    """s on source units and -s on target units: positive where the classifier is right."""
    logit = np.asarray(logit, np.float64)
    return np.where(is_source, logit, -logit)
