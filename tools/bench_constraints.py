"""Time of layers.size_constraints.solve against scipy's L-BFGS-B on the same dual, in one run.

    tools/caffe_python tools/bench_constraints.py [--height 64 --width 128 --repeats 7]

The opponent is the plain implementation: each variable split in its positive and negative part, which makes the dual
smooth with box bounds, and the exponentials taken at every evaluation. The two take turns, so that whatever else the
machine does hits both. Both are asked for a KKT residual of 1e-8; what each reached is printed.
"""
import _init_paths  # noqa: F401
from tools.runtime.enter import enter_runtime

enter_runtime()

import argparse
import time

import numpy as np
from scipy.optimize import minimize

from layers.box_newton import kkt_residual
from layers.size_constraints import TOLERANCE, attainable_bounds, solve
from tools.command import run_command
from tools.categories.problems import STREET_KINDS, street_problem


def solve_by_lbfgs(scores, present, lower, upper, slack):
    """The same problem by L-BFGS-B: ``(probabilities, kkt)``."""
    lower, upper, _ = attainable_bounds(lower[present], upper[present])
    table = scores[present].reshape(len(lower), -1).astype(float)

    def shares_at(mu):
        shares = table + mu[:, None]
        largest = shares.max(axis=0)
        shares = np.exp(shares - largest)
        total = shares.sum(axis=0)
        return shares / total, np.log(total) + largest

    def dual(split):
        up, down = np.split(split, 2)
        shares, log_total = shares_at(up - down)
        mass = shares.mean(axis=1)
        return log_total.mean() - lower @ up + upper @ down, np.concatenate([mass - lower, upper - mass])

    bounds = [(0, slack)] * len(lower) + [(0, None)] * len(lower)
    found = minimize(dual, np.zeros(2 * len(lower)), jac=True, method="L-BFGS-B", bounds=bounds,
                     options={"gtol": TOLERANCE, "ftol": 0, "maxiter": 5000, "maxfun": 10000, "maxcor": 20})
    up, down = np.split(found.x, 2)
    both = np.minimum(up, down)  # the split is not unique: the same mu without the common part
    mu = (up - both) - (down - both)
    shares, _ = shares_at(mu)
    probabilities = np.zeros(scores.shape)
    probabilities[present] = shares.reshape((-1,) + scores.shape[1:])
    return probabilities, float(kkt_residual(mu, shares.mean(axis=1), lower, upper, slack).max())


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7, help="turns a problem; medians are printed")
    options = parser.parse_args()

    print("19 x %d x %d, median of %d turns" % (options.height, options.width, options.repeats))
    print("%-16s %9s %9s %7s %10s %10s" % ("problem", "solve ms", "lbfgs ms", "ratio", "solve kkt", "lbfgs kkt"))
    ratios, residuals = [], []
    for seed, kind in enumerate(STREET_KINDS):
        problem = street_problem(kind, options.height, options.width, seed)
        ours, theirs = [], []
        for _ in range(options.repeats):
            solution, spent = timed(solve, *problem)
            ours.append(spent)
            (_, their_kkt), spent = timed(solve_by_lbfgs, *problem)
            theirs.append(spent)
        ratio = np.median(np.array(theirs) / np.array(ours))
        ratios.append(ratio)
        residuals.append((solution.kkt, their_kkt))
        print("%-16s %9.2f %9.2f %7.2f %10.1e %10.1e"
              % (kind, np.median(ours), np.median(theirs), ratio, solution.kkt, their_kkt))
    worst = np.max(residuals, axis=0)
    print("ratio: median %.2f, smallest %.2f; worst residual: solve %.1e, lbfgs %.1e"
          % (np.median(ratios), min(ratios), worst[0], worst[1]))


if __name__ == "__main__":
    run_command(main)
