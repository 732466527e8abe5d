"""Random problems that may break ``layers.size_constraints.solve``.

In the form of tools/bench/constraint_problems.py.
"""
import numpy as np

SMALLEST_UPPER = 1e-12


def hostile_problem(seed):
    """A random problem meant to break a solver.

    2 to 19 classes, 16 to 4000 pixels, scores to 1e3 (ties, equal pixels, two values only), from no
    class to all present, upper bounds summing to less than, exactly and hardly more than 1, equal
    bounds, slack from 0 to 1e3.
    """
    rng = np.random.default_rng(seed)
    classes, height, width = int(rng.integers(2, 20)), int(rng.integers(4, 64)), int(
        rng.integers(4, 64))
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
