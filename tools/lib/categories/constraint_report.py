"""Predicted class sizes against label statistics of the source: the table and the picture."""
from dataclasses import dataclass

import numpy as np

from data.files import write_aside
from data.label_statistics import ALPHA_QUANTILE, GAMMA_QUANTILE, summarise_shares
from layers.category_targets import category_rule
from tools.lib.tables import Table

SMALLEST = 1e-4  # percent: smaller shares are drawn as this on the picture's logarithmic axis


@dataclass(frozen=True)
class PredictedSizes:
    """images: how many. Arrays are (C,): present, in how many of them a class is predicted present;
    over those, the 10% quantile, mean and 90% quantile of its predicted share, nan where it never
    is."""

    images: int
    present: np.ndarray
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def summarise_prediction(shares, statistics, presence_factor):
    """PredictedSizes of predicted shares (images, C); presence is that of the loss layer."""
    present = shares > category_rule(statistics, presence_factor=presence_factor).least_share
    counts, low, mean, high = summarise_shares(
        [column[there] for column, there in zip(shares.T, present.T)])
    return PredictedSizes(len(shares), counts, low, mean, high)


def verdict(mean, alpha, gamma):
    """In words, where a mean share lies against the source's range; "" for a class that the source
    lacks."""
    if np.isnan(alpha):
        return ""
    if np.isnan(mean):
        return "never there"
    return "too small" if mean < alpha else "too large" if mean > gamma else "within"


def report_table(predicted, statistics, title):
    """The Table of one model. Shares in percent, three significant digits."""
    def percent(value):
        return "-" if np.isnan(value) else f"{100 * value:.3g}"
    rows = []
    for index, name in enumerate(statistics.classes):
        alpha, delta, gamma = (getattr(statistics, key)[index]
                               for key in ("alpha", "delta", "gamma"))
        rows.append([
            name,
            percent(statistics.counts[index] / statistics.images),
            percent(alpha),
            percent(delta),
            percent(gamma),
            percent(predicted.present[index] / predicted.images),
            percent(predicted.low[index]),
            percent(predicted.mean[index]),
            percent(predicted.high[index]),
            verdict(predicted.mean[index], alpha, gamma)
        ])
    return Table([
        "class", "source: images", "alpha", "delta", "gamma", "predicted: images", "10%", "mean",
        "90%", "mean is"
    ], rows, title, notes=[
        f"Percent. Source ({statistics.dataset} {statistics.split}): images that contain the "
        f"class, and its share of their labelled pixels: {round(100 * ALPHA_QUANTILE)}% "
        "quantile "
        f"alpha, mean delta, {round(100 * GAMMA_QUANTILE)}% quantile gamma.",
        "Predicted: images in which the class is predicted present, and its share of their "
        "prediction. No label was "
        "opened."
    ])


def draw_report(path, summaries, statistics, where):
    """Writes a PNG: for each class the source's range as a bar, and each model's range and mean
    over it.

    summaries: {model's name: PredictedSizes}; where: what was predicted, for the title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = len(statistics.classes)
    rows = np.arange(classes)
    figure = Figure(figsize=(9, 1.6 + classes * (0.25 + 0.12 * len(summaries))), facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    alpha, delta, gamma = (np.maximum(100 * getattr(statistics, key), SMALLEST)
                           for key in ("alpha", "delta", "gamma"))
    axes.barh(rows, gamma - alpha, left=alpha, height=0.8, color="0.85",
              label="source: alpha to gamma")
    axes.plot(delta, rows, "|", color="black", markersize=14, label="source: delta")
    for number, (name, predicted) in enumerate(summaries.items()):
        heights = rows + 0.6 * ((number + 1) / (len(summaries) + 1) - 0.5)
        low, mean, high = (np.maximum(100 * values, SMALLEST)
                           for values in (predicted.low, predicted.mean, predicted.high))
        colour = f"C{number}"
        axes.hlines(heights, low, high, color=colour, linewidth=2)
        axes.plot(mean, heights, "o", color=colour, markersize=4, label=f"{name}: 10% to 90%, mean")
    axes.set_xscale("log")
    axes.set_xlim(
        0.7 * np.nanmin([alpha] + [np.maximum(100 * p.low, SMALLEST) for p in summaries.values()]),
        100)
    axes.set_yticks(rows)
    axes.set_yticklabels([f"{name} ({', '.join(str(p.present[index]) for p in summaries.values())} "
                          f"of {next(iter(summaries.values())).images} images)"
                          for index, name in enumerate(statistics.classes)], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("percent of an image, over the images in which the class is present")
    axes.set_title(f"Predicted class sizes on {where}", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="lower center", ncol=2, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.25 * (1 + len(summaries) // 2) / figure.get_figheight(), 1, 1))
    with write_aside(path) as aside:
        canvas.print_figure(aside, dpi=110, format="png")
