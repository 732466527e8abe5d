"""What threads cost the constraint loss: those of the matrix library, and images side by side.

Everything is measured in one process by turns, so that other work on the machine lengthens all.
The number of the library's threads is set as OPENBLAS_NUM_THREADS would set it; the variable itself
cannot ask OpenBLAS for more threads than the machine has cores.
"""
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from layers.category_targets import (
    MATRIX_LIBRARIES,
    CategoryRule,
    category_target,
    category_targets,
)
from tools.bench.constraint_problems import STREET_KINDS, street_problem

BATCHES = (1, 6)
THREADS = (1, 2, 16)


def thread_lines(height, width, repeats):
    """Sentences with milliseconds of the loss and its gradient, for each of BATCHES and THREADS.

    height, width: of the score maps. repeats: turns; medians are taken over them.
    """
    lines = []
    for images in BATCHES:
        batch = [_scores_and_rule(index, height, width) for index in range(images)]
        ways = {"one thread for the products": _limited, "no limit": _unlimited}
        if images > 1:
            ways["images side by side"] = _side_by_side
        for name, spent in _by_turns(ways, batch, repeats).items():
            medians = [float(np.median(turns)) for turns in spent.values()]
            lines.append(
                f"{images} x 19 x {height} x {width}, {name}: "
                + ", ".join(f"{median:.2f}" for median in medians)
                + f" ms with {', '.join(str(threads) for threads in THREADS)} threads set, at most "
                f"{max(medians) / medians[0]:.2f} times the first.")
    return lines


def _by_turns(ways, batch, repeats):
    """{way: {threads: [milliseconds of each turn]}}.

    In a turn every way is timed once with each number of threads. The first turn is not counted.
    """
    spent = {name: {threads: [] for threads in THREADS} for name in ways}
    for turn in range(repeats + 1):
        for threads in THREADS:
            for name, way in ways.items():
                with MATRIX_LIBRARIES.limit(limits=threads):
                    start = time.perf_counter()
                    way(batch)
                    milliseconds = 1e3 * (time.perf_counter() - start)
                if turn:
                    spent[name][threads].append(milliseconds)
    return spent


def _scores_and_rule(index, height, width):
    """Scores (19, height, width), and a CategoryRule by which its classes are present."""
    scores, present, lower, upper, slack = street_problem(STREET_KINDS[index], height, width, index)
    return scores, CategoryRule(least_share=np.where(present, -1.0, np.inf), lower=lower,
                                upper=upper, slack=slack, channel_weights=np.ones(len(present)))


def _limited(batch):
    for scores, rule in batch:
        category_targets(scores[np.newaxis], rule)


def _unlimited(batch):
    for scores, rule in batch:
        category_target(scores, rule)


def _side_by_side(batch):
    with MATRIX_LIBRARIES.limit(limits=1):
        with ThreadPoolExecutor(min(len(batch), len(os.sched_getaffinity(0)))) as pool:
            list(pool.map(lambda pair: category_target(*pair), batch))
