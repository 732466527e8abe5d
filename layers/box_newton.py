"""One projected Newton step for a convex function with a kink at 0 and a cap in each variable.

The function has the form ``F(mu) = smooth(mu) - sum_c h_c(mu_c)`` with ``mu_c <= cap``, where
``h_c(x) = lower_c x`` for ``x >= 0`` and ``upper_c x`` for ``x < 0``, ``lower_c <= upper_c``: the
dual of a problem with two-sided bounds (``size_constraints``), one variable a class.  Splitting
each variable in two would make the problem smooth, but twice as large and with a singular Hessian.
Here the kink is kept exactly, so a variable that should be 0 is 0.
"""
import numpy as np

RIDGE = 1e-9             # of the diagonal, plus FLOOR: the Hessian is singular along (1, ..., 1)
FLOOR = 1e-12
ACTIVE_SET_ROUNDS = 30   # usually 2 to 4 suffice; beyond, the active set is cycling
DESCENT_SWEEPS = 60
LEVEL = 1e-12            # a slope along (1, ..., 1) below this is rounding

# Where a variable stands in its interval [low, high], with the kink between.
AT_LOW, BELOW_KINK, AT_KINK, ABOVE_KINK, AT_HIGH = range(5)


def kkt_residual(mu, gradient, lower, upper, cap):
    """Distance of 0 from the subdifferential of F in each variable: (K,) floats >= 0, optimal at 0.

    ``gradient`` is that of the smooth part.  All arrays are (K,); ``cap`` >= 0 is a number, and
    ``mu <= cap``.
    """
    left = gradient - np.where(mu > 0, lower, upper)
    right = np.where(mu < cap, gradient - np.where(mu < 0, upper, lower), np.inf)
    return np.maximum(np.maximum(left, -right), 0.0)


def newton_point(hessian, gradient, mu, lower, upper, cap, radius):
    """Minimiser (K,) of the quadratic model of F at ``mu``, within ``radius`` of mu and the cap.

    ``hessian`` (K, K) is symmetric, positive semi-definite, with off-diagonal entries <= 0.  With
    such an M-matrix the primal-dual active set (Hintermueller, Ito and Kunisch 2003) ends after a
    few linear systems of at most K unknowns.  If it cycles all the same, coordinate descent takes
    over: slower, but it always descends.
    """
    model = hessian.copy()
    model.flat[::len(mu) + 1] *= 1 + RIDGE
    model.flat[::len(mu) + 1] += FLOOR
    low = mu - radius
    high = np.minimum(mu + radius, cap)
    kink = np.clip(0.0, low, high)
    x = _active_set(model, gradient, mu, lower, upper, low, kink, high)
    if x is None:
        x = _coordinate_descent(model, gradient, mu, lower, upper, low, kink, high)
    return x


def _active_set(model, gradient, mu, lower, upper, low, kink, high):
    """The minimiser, or None when the active set does not settle."""
    count = len(mu)
    columns = np.arange(count)
    # row: state; a free variable's row is not used
    places = np.array([low, low, kink, high, high])
    slopes = np.array([upper, upper, lower, lower, lower])
    # A state is left upwards when its mark exceeds `above`, downwards when it is under `below`. The
    # mark of a free variable is its place, that of a fixed one minus its derivative.
    none = np.full(count, np.inf)
    above = np.array([-upper, kink, np.where(kink < high, -lower, none), high, none])
    below = np.array([-none, low, np.where(low < kink, -upper, -none), kink, -lower])
    state = AT_KINK + np.sign(mu - kink).astype(int)
    state[(mu == high) & (kink < high)] = AT_HIGH
    for _ in range(ACTIVE_SET_ROUNDS):
        free = state % 2 == 1
        if free.all() and abs((slopes[state, columns] - gradient).sum()) > LEVEL:
            state += _slide(model, slopes[state, columns] - gradient,
                            below[state, columns] - mu, above[state, columns] - mu)
            continue
        move = np.where(free, 0.0, places[state, columns] - mu)
        derivative = gradient + model @ move
        if free.any():
            indices = free.nonzero()[0]
            wanted = slopes[state, columns][indices] - derivative[indices]
            move[indices] = _solve_positive(model[indices][:, indices], wanted)
            derivative = gradient + model @ move
        x = mu + move
        mark = np.where(free, x, -derivative)
        change = (mark > above[state, columns]).astype(int) - (mark < below[state, columns])
        if not change.any():
            return np.where(free, x, places[state, columns])
        state += change
    return None


def _slide(model, wanted, lowest, highest):
    """The states' changes (K,) when every variable is free, from the bounds (K,) of their moves.

    The model is then flat along (1, ..., 1) but for the ridge, and its minimum is far outside.  So
    all variables slide together, in the direction that descends, until the first one reaches the
    end of its interval and stays there.
    """
    move = _solve_positive(model + 1.0, wanted)
    gaps = highest - move if wanted.sum() > 0 else lowest - move
    first = gaps.argmin() if wanted.sum() > 0 else gaps.argmax()
    move += gaps[first]
    change = (move > highest).astype(int) - (move < lowest)
    change[first] = 1 if wanted.sum() > 0 else -1
    return change


def _solve_positive(matrix, right):
    """x with matrix x = right, for a small symmetric positive definite matrix.

    The matrix is scaled to a unit diagonal first.  np.linalg.solve would be three times faster on
    one thread, but OpenBLAS (0.3.23) runs it on all threads, however small it is: measured on a
    busy machine, 8 ms for 13 unknowns instead of 5 microseconds.
    """
    scale = 1.0 / np.sqrt(np.diagonal(matrix))
    values, vectors = np.linalg.eigh(matrix * (scale[:, None] * scale))
    return scale * (vectors @ ((scale * right) @ vectors / np.maximum(values, RIDGE)))


def _coordinate_descent(model, gradient, mu, lower, upper, low, kink, high):
    """The same minimiser, approached one variable at a time from ``mu``."""
    x = mu.copy()
    for _ in range(DESCENT_SWEEPS):
        before = x.copy()
        for i in range(len(x)):
            curvature = model[i, i]
            rest = gradient[i] + model[i] @ (x - mu) - curvature * (x[i] - mu[i])
            below = np.clip(mu[i] + (upper[i] - rest) / curvature, low[i], kink[i])
            above = np.clip(mu[i] + (lower[i] - rest) / curvature, kink[i], high[i])
            x[i] = below if below < kink[i] else above
        if np.abs(x - before).max() <= 1e-12:
            break
    return x
