"""Made problems for ``layers.size_constraints.solve``, for its tests and its benchmark. Each is a function of its seed.

A problem is (scores (C, H, W), present (C,), lower (C,), upper (C,), slack), the arguments of ``solve``.
"""
import numpy as np

STREET_KINDS = ("noise", "noise_large", "smooth", "shift", "saturated", "bounds_tight", "lower_over_one", "upper_under_one")
SMALLEST_UPPER = 1e-12


def street_problem(kind, height, width, seed):
    """A problem shaped like a street scene of 19 classes: a few large classes, many small ones, 9 to 14 present.

    kind: what is hard about it, one of STREET_KINDS.
    """
    rng = np.random.default_rng(seed)
    classes = 19
    typical = np.sort(rng.lognormal(sigma=1.3, size=classes))[::-1]
    lower = 0.9 * typical / typical.sum()
    upper = np.minimum(lower * rng.uniform(1.3, 2.5, classes), 1.0)
    present = np.zeros(classes, bool)
    count = rng.integers(9, 15)
    present[:5] = True
    present[rng.choice(np.arange(5, classes), count - 5, replace=False)] = True
    scores = _smooth_field(rng, classes, height, width, cells=8) + np.log(lower)[:, None, None]
    if kind in ("noise", "noise_large"):
        scores = rng.normal(size=scores.shape) * (2.0 if kind == "noise" else 8.0)
    elif kind == "shift":      # the classifier has moved: it prefers the wrong classes
        scores = 3 * scores + rng.normal(scale=4.0, size=(classes, 1, 1))
    elif kind == "saturated":  # nearly one-hot everywhere, and shifted
        scores = 12 * scores + rng.normal(scale=20.0, size=(classes, 1, 1))
    elif kind == "bounds_tight":
        upper = np.minimum(lower / lower[present].sum() * 1.02, 1.0)
        lower = 0.8 * upper
    elif kind == "lower_over_one":
        lower = lower * 1.6 / lower[present].sum()
        upper = np.minimum(1.2 * lower, 1.0)
    elif kind == "upper_under_one":
        upper = lower * 0.9 / lower[present].sum()
        lower = 0.8 * upper
    return scores.astype(np.float32), present, lower, upper, 2.0


def hostile_problem(seed):
    """A random problem meant to break a solver.

    2 to 19 classes, 16 to 4000 pixels, scores to 1e3 (ties, equal pixels, two values only), from no class to all
    present, upper bounds summing to less than, exactly and hardly more than 1, equal bounds, slack from 0 to 1e3.
    """
    rng = np.random.default_rng(seed)
    classes, height, width = int(rng.integers(2, 20)), int(rng.integers(4, 64)), int(rng.integers(4, 64))
    scores = rng.normal(size=(classes, height, width))
    shape = rng.integers(6)
    if shape == 1:
        scores = scores.round()
    elif shape == 2:
        scores += 3 * rng.normal(size=(classes, 1, 1))
    elif shape == 3:
        scores = np.broadcast_to(scores[:, :1, :1], scores.shape)
    elif shape == 4:
        scores = np.sign(scores)
    elif shape == 5:
        scores = scores.cumsum(axis=1).cumsum(axis=2)
    scores = scores / max(np.abs(scores).max(), 1e-6) * 10 ** rng.uniform(-1, 3)
    present = rng.random(classes) < rng.choice([0.1, 0.5, 1.0])
    upper = rng.dirichlet(np.full(classes, rng.choice([0.2, 1.0, 5.0]))) + SMALLEST_UPPER
    total = max(upper[present].sum(), SMALLEST_UPPER)
    factor = rng.choice([1 / total, (1 + 1e-9) / total, rng.uniform(0.1, 1), rng.uniform(1, 4)])
    upper = np.clip(upper * factor, SMALLEST_UPPER, 1.0)
    lower = rng.choice([0.0, 0.5, 1.0, 2.0]) * upper * rng.choice([1.0, rng.random()])
    slack = float(rng.choice([0.0, 1e-12, 1e-6, 1e-2, 2.0, 50.0, 1000.0]))
    return scores.astype(rng.choice(["f4", "f8"])), present, np.minimum(lower, 1.0), upper, slack


def _smooth_field(rng, classes, height, width, cells):
    """Unit normal noise on a coarse grid, stretched bilinearly to (classes, height, width), plus a little fine noise."""
    coarse = rng.normal(scale=3.0, size=(classes, cells + 1, cells + 1))
    rows, columns = np.linspace(0, cells, height), np.linspace(0, cells, width)
    def along(values, axis, places):
        low = np.minimum(places.astype(int), cells - 1)
        part = (places - low).reshape((-1, 1) if axis == 1 else (-1,))
        return np.take(values, low, axis) * (1 - part) + np.take(values, low + 1, axis) * part
    return along(along(coarse, 1, rows), 2, columns) + rng.normal(scale=0.3, size=(classes, height, width))
