"""Made problems for layers.size_constraints.solve(), for its tests and its benchmark.

Each is a function of its seed: a tuple of scores (C, H, W), present (C,), lower (C,), upper (C,)
and slack, the arguments of solve().
"""
import numpy as np

#: What makes a problem hard.
STREET_KINDS = ("noise", "noise_large", "smooth", "shift", "saturated", "bounds_tight",
                "lower_over_one", "upper_under_one")


def street_problem(kind, height, width, seed):
    """A problem like a street scene of 19 classes: few large, many small ones, 9 to 14 present.

    kind: one of STREET_KINDS.
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


def _smooth_field(rng, classes, height, width, cells):
    """Coarse normal noise, stretched to (classes, height, width), with a little fine noise.

    Stretched bilinearly.  cells: intervals of the coarse grid on each side.
    """
    coarse = rng.normal(scale=3.0, size=(classes, cells + 1, cells + 1))
    rows, columns = np.linspace(0, cells, height), np.linspace(0, cells, width)

    def along(values, axis, places):
        low = np.minimum(places.astype(int), cells - 1)
        part = (places - low).reshape((-1, 1) if axis == 1 else (-1,))
        return np.take(values, low, axis) * (1 - part) + np.take(values, low + 1, axis) * part

    fine = rng.normal(scale=0.3, size=(classes, height, width))
    return along(along(coarse, 1, rows), 2, columns) + fine
