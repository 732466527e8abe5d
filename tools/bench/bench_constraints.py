"""Time of layers.size_constraints.solve against scipy's L-BFGS-B on the same dual, in one run.

    python3 tools/bench/bench_constraints.py [--height 64 --width 128 --repeats 7 --problems FOLDER]

L-BFGS-B solves the dual in its plain form: each variable is split into its positive and negative
part, which makes the dual smooth with box bounds, and every evaluation takes all exponentials. The
two solvers take turns, so that other work on the machine lengthens both. Both are asked for a KKT
residual of 1e-8; the table shows the residual that each reached. --problems takes the problems from
the .npz files of a folder (scores, present, lower, upper, slack) instead of making them.
The last lines time the whole loss of 1 and of 6 images with 1, 2 and 16 threads set for the matrix
library, and the 6 images side by side.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import glob
import os
import time

import numpy as np
from scipy.optimize import minimize

from data.errors import InputError
from layers.box_newton import kkt_residual
from layers.size_constraints import TOLERANCE, attainable_bounds, solve
from tools.bench.constraint_problems import STREET_KINDS, street_problem
from tools.bench.constraint_threads import thread_lines
from tools.lib.command import CommandParser, count, run_command
from tools.lib.tables import Table, format_of, print_and_write


def solve_by_lbfgs(scores, present, lower, upper, slack):
    """solve() by L-BFGS-B; the arguments are those of solve().

    Returns (probabilities (C, H, W), largest KKT residual).
    """
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
    """(function(*arguments), milliseconds it took)."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, 1e3 * (time.perf_counter() - start)


def made_problems(height, width):
    """{kind: problem} of the street problems."""
    return {kind: street_problem(kind, height, width, seed)
            for seed, kind in enumerate(STREET_KINDS)}


def read_problems(folder):
    """{file name: problem} of the .npz files of a folder.

    InputError when the folder has none or an array is missing in one.
    """
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
    """Rows of the table: one for each problem and two for all.

    problems: {name: arguments of solve()}; repeats: turns a problem.
    """
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
        size = " x ".join(str(side) for side in problem[0].shape)
        rows.append([name, size, f"{np.median(ours):.2f}", f"{np.median(theirs):.2f}",
                     f"{ratios[-1]:.2f}", f"{solution.kkt:.1e}", f"{their_kkt:.1e}"])
    ours, theirs = np.max(residuals, axis=0)
    return rows + [
        ["median", "", "", "", f"{np.median(ratios):.2f}", "", ""],
        ["smallest ratio, largest residuals", "", "", "", f"{min(ratios):.2f}", f"{ours:.1e}",
         f"{theirs:.1e}"],
    ]


def main():
    """Measures, prints the table and writes it to --output."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=count, default=64)
    parser.add_argument("--width", type=count, default=128)
    parser.add_argument("--problems", metavar="FOLDER",
                        help="take the problems from the .npz files of a folder")
    parser.add_argument("--repeats", type=count, default=7,
                        help="turns a problem; medians are printed")
    parser.add_argument("--output",
                        help="write the table to this file as well (.txt, .md, .csv or .tex)")
    options = parser.parse_args()
    form = options.output and format_of(options.output)
    if options.problems:
        source, problems = "--problems FOLDER", read_problems(options.problems)
    else:
        source = f"--height {options.height} --width {options.width}"
        problems = made_problems(options.height, options.width)
    notes = [f"Medians of {options.repeats} turns; the ratio is the median of the turns' ratios."]
    table = Table(
        ["problem", "size", "solve ms", "L-BFGS-B ms", "ratio", "solve KKT", "L-BFGS-B KKT"],
        compare_solvers(problems, options.repeats),
        f"Written by python3 tools/bench/bench_constraints.py {source} --repeats {options.repeats}",
        [len(problems)], notes + thread_lines(options.height, options.width, options.repeats))
    print_and_write([table], options.output, form)


if __name__ == "__main__":
    run_command(main)
