"""The distribution nearest to the net's own that keeps each class within its size bounds (Eq. 8).

For the scores f of one image (classes x pixels), over distributions P_n of every pixel n that are
zero on the absent classes, with m_c the mean of P_c over the pixels::

    V = min_P  mean_n KL(P_n || softmax(f_n)) + slack * sum_c (lower_c - m_c)+
        subject to  m_c <= upper_c

(Pathak, Kraehenbuehl and Darrell, ICCV 2015; the upper bound is hard, the lower one may be missed
at a price.) The derivative of V by f is (softmax(f) - P) / pixels.

It is solved in the dual, one variable mu_c <= slack a present class. With h_c(x) = lower_c x above
0 and upper_c x below::

    F(mu) = mean_n logsumexp_c(f_nc + mu_c) - sum_c h_c(mu_c)
    P = softmax(f + mu),    V = mean logsumexp(f) - min F

F is convex and has at most as many variables as classes, so projected Newton with the kinks of h
kept exactly (``box_newton``) needs few iterations, and one exponential an entry serves them all
(``size_dual``).  Everything is float64: float32 saves little on easy scores and fails on saturated
ones.  Memory: two arrays of present classes x pixels beside the scores and the result, whatever the
number of iterations.
"""
from dataclasses import dataclass

import numpy as np

from layers.box_newton import kkt_residual, newton_point
from layers.size_dual import SizeDual, logsumexp_columns

TOLERANCE = 1e-8         # on the KKT residual, which is in units of mass (a share of the pixels)
FIRST_ITERATIONS = 25    # then continuation in temperature
STAGE_ITERATIONS = 60    # at each of these temperatures at most
COOLING = 3.0            # ratio of successive temperatures
WARM_RANGE = 12.0        # the first temperature brings the scores' range down to this
# softmax changes by at most a factor e^4 within it; doubled while whole steps reach it
TRUST_RADIUS = 2.0
ARMIJO = 1e-4
HALVINGS = 30
# below this change of F (relative to 1 + |F|) a comparison of values means nothing
ROUNDING = 1e-14


@dataclass(frozen=True)
class SizeSolution:
    """The solution that ``solve`` returns.  Arrays are float64.

    A dual variable is positive where the lower bound acts (``slack`` where the bound is missed),
    negative where the upper bound acts, and 0 for an absent class.
    """

    probabilities: np.ndarray   # (C, H, W) P above; sums to 1 over the classes
    value: float                # V >= 0, in nats a pixel
    mass: np.ndarray            # (C,) mean of P over the pixels
    mu: np.ndarray              # (C,) dual variables
    kkt: float                  # largest KKT residual, in units of mass
    iterations: int             # Newton iterations in all
    relaxed: bool               # upper bounds summed to less than 1: see attainable_bounds


def solve(scores, present, lower, upper, slack):
    """Solve the problem above for one image.

    scores: (C, H, W) finite floats. present: (C,) bool. lower, upper: (C,) shares of the pixels in
    [0, 1]; those of absent classes are ignored.  slack: price of a missing unit of mass, >= 0 and
    finite.  Without a present class P is softmax(scores) and V is 0.  A present class whose upper
    bound is 0 can have no mass, so it is treated as absent.

    Returns a ``SizeSolution``, whose ``kkt`` is at most 1e-8.  Only where scores or slack reach 1e7
    it may be larger, because float64 no longer resolves 1e-8 of a pixel's share.  Raises ValueError
    for arguments outside these ranges.
    """
    scores, present, lower, upper, slack = _checked(scores, present, lower, upper, slack)
    classes, pixels = len(present), scores[0].size
    columns = scores.reshape(classes, pixels)
    if not present.any():
        return _unconstrained(scores, columns)
    lower, upper, relaxed = attainable_bounds(lower[present], upper[present])
    allowed = np.zeros(classes, bool)
    allowed[np.flatnonzero(present)[upper > 0]] = True
    lower, upper = lower[upper > 0], upper[upper > 0]

    dual = SizeDual(columns[allowed])
    mu, residual, iterations = _minimise(dual, lower, upper, slack)
    smallest, mass_allowed = dual.evaluate(mu)
    probabilities = np.zeros((classes, pixels))
    probabilities[allowed] = dual.probabilities()
    log_all = dual.logsumexp
    if not allowed.all():
        log_all = np.logaddexp(log_all, logsumexp_columns(columns[~allowed]))
    # The scores' own size cancels between the two terms below; subtracted pixel by pixel first, it
    # costs no digits.
    value = (log_all - dual.offset).mean() - (smallest - _bound_term(mu, lower, upper))
    mass = np.zeros(classes)
    mass[allowed] = mass_allowed
    multipliers = np.zeros(classes)
    multipliers[allowed] = mu
    return SizeSolution(probabilities.reshape(scores.shape), max(float(value), 0.0), mass,
                        multipliers, residual, iterations, relaxed)


def attainable_bounds(lower, upper):
    """Bounds of the present classes, (K,) each, made attainable: ``(lower, upper, relaxed)``.

    Upper bounds that sum to less than 1 admit no distribution: they are divided by their sum, and
    ``relaxed`` is True. A lower bound above its upper one is brought down to it. Lower bounds that
    sum to more than 1 stay: the slack pays. Raises ValueError when every upper bound is 0.
    """
    total = upper.sum()
    if total <= 0:
        raise ValueError("every present class has upper bound 0: no distribution has any mass")
    relaxed = bool(total < 1 - 1e-12)
    if total < 1:
        upper = upper / total
    return np.minimum(lower, upper), upper, relaxed


def _checked(scores, present, lower, upper, slack):
    scores = np.asarray(scores)
    if scores.ndim != 3 or 0 in scores.shape or scores.dtype.kind != "f":
        raise ValueError(f"scores: expected (classes, height, width) floats, got {scores.shape} "
                         f"{scores.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError("scores: some are not finite")
    present = np.asarray(present)
    if present.shape != scores.shape[:1] or present.dtype != bool:
        raise ValueError(f"present: expected {len(scores)} booleans, got {present.shape} "
                         f"{present.dtype}")
    bounds = []
    for name, bound in (("lower", lower), ("upper", upper)):
        bound = np.asarray(bound, float)
        if bound.shape != present.shape:
            raise ValueError(f"{name}: expected {len(present)} numbers, got shape {bound.shape}")
        inside = bound[present]
        if not np.all((inside >= 0) & (inside <= 1)):
            raise ValueError(f"{name}: the bounds of present classes must lie in [0, 1]")
        bounds.append(bound)
    slack = float(slack)
    if not 0 <= slack < np.inf:
        raise ValueError(f"slack: expected a finite number >= 0, got {slack!r}")
    return scores, present, bounds[0], bounds[1], slack


def _unconstrained(scores, columns):
    columns = columns.astype(float)
    probabilities = np.exp(columns - logsumexp_columns(columns))
    none = np.zeros(len(columns))
    return SizeSolution(probabilities.reshape(scores.shape), 0.0, probabilities.mean(axis=1), none,
                        0.0, 0, False)


def _minimise(dual, lower, upper, slack):
    """Minimiser mu (K,) of F, its KKT residual, and the number of iterations.

    Scores that saturate make F nearly piecewise linear, and Newton steps within the trust radius
    crawl.  Scores divided by a temperature T do not saturate, and F for scores / T and slack / T
    has its minimum at mu / T, near the one for the next lower temperature.  So the minimum is
    followed from a high temperature down to T = 1.  Every stage goes to the full tolerance: with a
    looser one, a class of tiny mass would start the next stage far from its place.  Leaves ``dual``
    at temperature 1.
    """
    mu, residual, iterations = _newton(dual, np.zeros(len(lower)), lower, upper, slack,
                                       FIRST_ITERATIONS)
    if residual <= TOLERANCE:
        return mu, residual, iterations
    best = mu, residual
    temperature = max(dual.range() / WARM_RANGE, COOLING)
    mu = np.zeros(len(lower))
    while True:
        temperature = 1.0 if temperature < COOLING else temperature
        dual.set_temperature(temperature)
        last = temperature == 1.0
        start = np.minimum(mu / temperature, slack / temperature)
        mu, residual, spent = _newton(dual, start, lower, upper, slack / temperature,
                                      STAGE_ITERATIONS)
        iterations += spent
        if last:
            break
        mu = mu * temperature
        temperature /= COOLING
    if residual < best[1]:
        best = mu, residual
    return best[0], best[1], iterations


def _newton(dual, mu, lower, upper, cap, limit):
    """Projected Newton from ``mu`` (K,), at most ``limit`` iterations.

    Returns ``(mu, KKT residual, iterations)``.
    """
    smooth, mass = dual.evaluate(mu)
    value = smooth - _bound_term(mu, lower, upper)
    radius = TRUST_RADIUS
    for iteration in range(limit):
        residual = float(kkt_residual(mu, mass, lower, upper, cap).max())
        if residual <= TOLERANCE:
            return mu, residual, iteration
        target = newton_point(dual.hessian(), mass, mu, lower, upper, cap, radius)
        step = target - mu
        decrease = mass @ step - _bound_term(target, lower, upper) + _bound_term(mu, lower, upper)
        share = 1.0
        for _ in range(HALVINGS):
            trial = target if share == 1.0 else mu + share * step
            smooth, mass = dual.evaluate(trial)
            trial_value = smooth - _bound_term(trial, lower, upper)
            if trial_value <= value + ARMIJO * share * decrease + ROUNDING * (1 + abs(value)):
                break
            share /= 2
        if share < 1:
            radius = TRUST_RADIUS
        elif np.abs(step).max() >= radius:
            radius *= 2
        mu, value = trial, trial_value
    return mu, float(kkt_residual(mu, mass, lower, upper, cap).max()), limit


def _bound_term(mu, lower, upper):
    """sum_c h_c(mu_c)."""
    return float(np.where(mu >= 0, lower, upper) @ mu)
