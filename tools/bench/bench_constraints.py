"""Time of layers.size_constraints.solve against scipy's L-BFGS-B on the same dual, in one run.

    python3 tools/bench/bench_constraints.py [--height 64 --width 128 --repeats 7 --problems FOLDER]

The opponent is the plain implementation: each variable split in its positive and negative part,
which makes the dual smooth with box bounds, and the exponentials taken at every evaluation. The two
take turns, so that whatever else the machine does hits both. Both are asked for a KKT residual of
1e-8; what each reached is printed. --problems takes the problems from the .npz files of a folder
(scores, present, lower, upper, slack) instead of making them.
At the end: the problems of a batch of 2 and of 4 images, one after the other and in threads.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import argparse
import glob
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.optimize import minimize

from data.errors import InputError
from data.files import write_whole
from layers.box_newton import kkt_residual
from layers.size_constraints import TOLERANCE, attainable_bounds, solve
from tools.bench.constraint_problems import STREET_KINDS, street_problem
from tools.lib.command import count, run_command
from tools.lib.tables import Table, format_of, render


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
        return log_total.mean() - lower @ up + upper @ down, np.concatenate(
            [mass - lower, upper - mass])

    bounds = [(0, slack)] * len(lower) + [(0, None)] * len(lower)
    found = minimize(
        dual, np.zeros(2 * len(lower)), jac=True, method="L-BFGS-B", bounds=bounds,
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


def made_problems(height, width):
    """{kind: problem} of the street problems."""
    return {
        kind: street_problem(kind, height, width, seed)
        for seed, kind in enumerate(STREET_KINDS)
    }


def read_problems(folder):
    """{file name: problem} of the .npz files of a folder. Raises InputError when there is none or
    one lacks an array."""
    problems = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.npz"))):
        try:
            with np.load(path, allow_pickle=False) as file:
                problems[os.path.basename(path)[:-len(".npz")]] = tuple(
                    file[key] for key in ("scores", "present", "lower", "upper", "slack"))
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{path}: not a problem with scores, present, lower, upper and slack "
                             f"({error})") from None
    if not problems:
        raise InputError(f"--problems {folder}: no .npz files there")
    return problems


def compare_solvers(problems, repeats):
    """Rows of the table, one a problem and one for all."""
    rows, ratios, residuals = [], [], []
    for name, problem in problems.items():
        ours, theirs = [], []
        for _ in range(repeats):
            solution, spent = timed(solve, *problem)
            ours.append(spent)
            (_, their_kkt), spent = timed(solve_by_lbfgs, *problem)
            theirs.append(spent)
        ratios.append(np.median(np.array(theirs) / np.array(ours)))
        residuals.append((solution.kkt, their_kkt))
        rows.append([
            name,
            "%d x %d x %d" % problem[0].shape, f"{np.median(ours):.2f}", f"{np.median(theirs):.2f}",
            f"{ratios[-1]:.2f}"
        ] + [f"{residual:.1e}" for residual in residuals[-1]])
    rows.append(["median", "", "", "", f"{np.median(ratios):.2f}", "", ""])
    rows.append(["smallest ratio, largest residuals", "", "", "", f"{min(ratios):.2f}"]
                + [f"{residual:.1e}" for residual in np.max(residuals, axis=0)])
    return rows


def compare_threads(height, width, repeats):
    """Lines on what threads would bring to a batch of images: why the layer has none."""
    lines = []
    for count in (2, 4):
        batch = [
            street_problem(STREET_KINDS[index], height, width, index) for index in range(count)
        ]
        one, many = [], []
        for _ in range(repeats):
            one.append(timed(lambda: [solve(*problem) for problem in batch])[1])
            with ThreadPoolExecutor(min(count, len(os.sched_getaffinity(0)))) as pool:
                many.append(
                    timed(lambda: list(pool.map(lambda problem: solve(*problem), batch)))[1])
        lines.append(f"{count} images: {np.median(one):.2f} ms in turn, {np.median(many):.2f} ms "
                     f"in threads, ratio {np.median(np.array(one) / np.array(many)):.2f}.")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=count, default=64)
    parser.add_argument("--width", type=count, default=128)
    parser.add_argument("--problems", metavar="FOLDER", help="take the problems from the .npz "
                                                             "files of a folder")
    parser.add_argument("--repeats", type=count, default=7, help="turns a problem; medians are "
                                                                 "printed")
    parser.add_argument("--output", help="write the table to this file as well (.txt, .md, .csv or "
                                         ".tex)")
    options = parser.parse_args()
    form = options.output and format_of(options.output)
    made = "--problems FOLDER" if options.problems else f"--height {options.height} --width {options.width}"
    problems = read_problems(options.problems) if options.problems else made_problems(
        options.height, options.width)
    table = Table(
        ["problem", "size", "solve ms", "L-BFGS-B ms", "ratio", "solve KKT", "L-BFGS-B KKT"],
        compare_solvers(problems, options.repeats),
        f"Written by python3 tools/bench/bench_constraints.py {made} --repeats "
        f"{options.repeats}", [len(problems)],
        [f"Medians of {options.repeats} turns; the ratio is the "
         "median of the turns' ratios."] +
        compare_threads(options.height, options.width, options.repeats))
    print(render(table, "text"), end="")
    if form:
        write_whole(options.output, render(table, form))


if __name__ == "__main__":
    run_command(main)
