"""Predicted class sizes beside the source's alpha, delta and gamma, on a logarithmic axis."""
import math
import os
from dataclasses import dataclass
from typing import Optional

import numpy as np

from data.label_statistics import read_statistics
from layers.category_targets import PRESENCE_FACTOR
from tools.lib.categories.constraint_report_command import (
    SMALLEST,
    report_table,
    summarise_prediction,
)
from tools.lib.training.solver import from_display_path


@dataclass
class Sizes:
    """classes: [ClassSizes]. ticks: [(percent of the axis, text)]. tables: one Table a model."""

    classes: list
    ticks: list
    tables: list
    statistics: str     # the file


@dataclass
class ClassSizes:
    """Positions in percent of the axis's length, and the same in words.

    source: (alpha, delta, gamma), None where the source lacks the class.  models: of each model
    (10% quantile, mean, 90% quantile), None where it never predicts the class.
    """

    name: str
    source: Optional[tuple]
    models: list
    words: str


def class_sizes(runs, pictures):
    """Sizes of the predictions of Pictures; None without pictures or statistics of its classes."""
    path = _statistics(runs)
    if path is None or not pictures.shares:
        return None
    statistics = read_statistics(from_display_path(path))
    if list(statistics.classes) != list(pictures.space.classes):
        return None
    factor = next((run.experiment.category_loss.presence_factor for run in reversed(runs)
                   if run.experiment), PRESENCE_FACTOR)
    summaries = [summarise_prediction(shares, statistics, factor) for shares in pictures.shares]
    shares = np.concatenate([statistics.alpha, *(summary.low for summary in summaries)])
    least = max(np.nanmin(np.append(shares, 0.01)), SMALLEST / 100)
    low = math.floor(math.log10(least))

    def place(values):
        """Positions of shares on the axis, None where they are nan."""
        if np.isnan(values).any():
            return None
        return tuple(100 * (1 - math.log10(max(value, 10.0 ** low)) / low) for value in values)

    classes = []
    for index, name in enumerate(statistics.classes):
        source = tuple(getattr(statistics, key)[index] for key in ("alpha", "delta", "gamma"))
        sizes = [(s.low[index], s.mean[index], s.high[index]) for s in summaries]
        words = [f"source {_percent(source)}"] + [f"{title} {_percent(size)}" for title, size
                                                  in zip(pictures.models, sizes)]
        classes.append(ClassSizes(name, place(source), list(map(place, sizes)), "; ".join(words)))
    ticks = [(100 * (1 - power / low), f"{10.0 ** (power + 2):g} %") for power in range(low, 1)]
    tables = [report_table(summary, statistics, title)
              for title, summary in zip(pictures.models, summaries)]
    return Sizes(classes, ticks, tables, path)


def _percent(size):
    """A range and its mean in words."""
    low, mean, high = (100 * value for value in size)
    return "never" if np.isnan(mean) else f"{low:.2g} to {high:.2g} %, mean {mean:.2g} %"


def _statistics(runs):
    """Path of the label statistics that a run has read, or that its experiment names."""
    named = [entry.get("file") for run in reversed(runs)
             for name, entry in run.record["data"].items()
             if name.endswith(".statistics") and isinstance(entry, dict)]
    named += [run.experiment.category_loss.statistics for run in reversed(runs) if run.experiment]
    return next((path for path in named if path and os.path.isfile(from_display_path(path))), None)
