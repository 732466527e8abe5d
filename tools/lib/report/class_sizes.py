"""Predicted class sizes beside the source's alpha, delta and gamma, on a logarithmic axis."""
import math
import os
from dataclasses import dataclass

import numpy as np

from data.label_statistics import read_statistics
from layers.category_targets import PRESENCE_FACTOR
from tools.lib.categories.constraint_report_command import (
    SMALLEST,
    report_table,
    summarise_prediction,
)
from tools.lib.training.solver import absolute

#: Units of the SVG: the width of the axis, and the height of a class.
WIDTH, ROW = 520, 34


@dataclass
class Sizes:
    """classes: [ClassSizes]. ticks: [(position, text)]. tables: one Table a model."""

    classes: list
    ticks: list
    tables: list
    statistics: str     # the file


@dataclass
class ClassSizes:
    """Positions on the axis, 0 to WIDTH; None where the source lacks the class."""

    name: str
    alpha: float
    delta: float
    gamma: float
    models: list        # [(number of the model, low, mean, high)], where it is ever present


def class_sizes(runs, pictures):
    """Sizes of the predictions of Pictures; None without pictures or statistics of its classes."""
    path = _statistics(runs)
    if path is None or not pictures.shares:
        return None
    statistics = read_statistics(absolute(path))
    if list(statistics.classes) != list(pictures.space.classes):
        return None
    factor = next((run.experiment.category_loss.presence_factor for run in reversed(runs)
                   if run.experiment), PRESENCE_FACTOR)
    summaries = [summarise_prediction(shares, statistics, factor) for shares in pictures.shares]
    smallest = min(np.nanmin(np.concatenate([statistics.alpha, *(s.low for s in summaries)])), 0.01)
    low = math.floor(math.log10(max(smallest, SMALLEST / 100)))

    def place(share):
        if np.isnan(share):
            return None
        return WIDTH * (1 - math.log10(max(share, 10.0 ** low)) / low)

    classes = []
    for index, name in enumerate(statistics.classes):
        models = [(number, *(place(values[index]) for values in (s.low, s.mean, s.high)))
                  for number, s in enumerate(summaries) if s.present[index]]
        classes.append(ClassSizes(name, *(place(values[index]) for values in (
            statistics.alpha, statistics.delta, statistics.gamma)), models))
    ticks = [(place(10.0 ** power), f"{10.0 ** (power + 2):g} %") for power in range(low, 1)]
    tables = [report_table(summary, statistics, title)
              for title, summary in zip(pictures.models, summaries)]
    return Sizes(classes, ticks, tables, path)


def _statistics(runs):
    """Path of the label statistics that a run has read, or that its experiment names."""
    named = [entry.get("file") for run in reversed(runs)
             for name, entry in run.record["data"].items()
             if name.endswith(".statistics") and isinstance(entry, dict)]
    named += [run.experiment.category_loss.statistics for run in reversed(runs) if run.experiment]
    return next((path for path in named if path and os.path.isfile(absolute(path))), None)
