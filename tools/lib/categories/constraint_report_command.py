"""The command line of tools/constraint_report.py: predicted class sizes beside the source's."""
import os
from dataclasses import dataclass

import numpy as np

from data.dataset import unlabelled
from data.files import write_aside, write_whole
from data.label_statistics import ALPHA_QUANTILE, GAMMA_QUANTILE, read_statistics, summarise_shares
from data.progress import progress_bar
from data.registry import open_dataset
from data.transforms import resize
from layers.category_targets import PRESENCE_FACTOR, category_rule, predicted_shares
from tools.lib.command import CommandParser, command_line
from tools.lib.outputs import require_empty
from tools.lib.scoring.net_options import (
    add_comparison_arguments,
    checked_titles,
    make_predictor,
    require_classes,
)
from tools.lib.tables import Table, render

SMALLEST = 1e-4  # percent: the picture's logarithmic axis draws smaller shares as this


def parse(arguments=None):
    """The options of tools/constraint_report.py."""
    parser = CommandParser(
        prog="python3 tools/constraint_report.py",
        description="Compares the class sizes that a model predicts on unlabelled images with "
                    "those of the source's labels.")
    add_comparison_arguments(parser, "caffemodels, one table each",
                             "titles of the tables (default: the caffemodels' names)")
    parser.add_argument("--statistics", required=True,
                        help="label statistics of the source (tools/label_stats.py)")
    parser.add_argument("--presence-factor", type=float, default=PRESENCE_FACTOR,
                        help="a class counts as predicted in an image above this times its alpha "
                             "(default %(default)s)")
    parser.add_argument("--output", metavar="FOLDER",
                        help="new folder for report.md and report.png")
    args = parser.parse_args(arguments)
    args.names = checked_titles(parser, args.names, args.weights)
    if not 0 <= args.presence_factor < float("inf"):
        parser.error("--presence-factor: expected a number >= 0")
    return args


def main(arguments=None):
    """Predicts the split with every model, prints the tables and writes the requested report."""
    args = parse(arguments)
    if args.output:
        require_empty(args.output, "--output")
    statistics = read_statistics(args.statistics)
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = unlabelled(dataset.frames(args.split))
    summaries = []
    for weights in args.weights:
        predictor = make_predictor(args, weights)
        require_classes(predictor, args, len(statistics.classes), args.statistics,
                        "--model or --statistics")
        shares = predict_shares(predictor, dataset, frames, args.resize)
        summaries.append(summarise_prediction(shares, statistics, args.presence_factor))
    where = f"{dataset.name} {args.split}, {len(frames)} images"
    tables = [report_table(summary, statistics, f"{name}: {where}")
              for name, summary in zip(args.names, summaries)]
    print("\n".join(render(table, "text") for table in tables))
    if args.output:
        page = [heading(command_line("tools/constraint_report.py", arguments), args.statistics,
                        statistics)]
        page += [render(table, "markdown") for table in tables]
        page += ["![The same as bars](report.png)\n"]
        write_whole(os.path.join(args.output, "report.md"), "\n".join(page))
        draw_report(os.path.join(args.output, "report.png"), dict(zip(args.names, summaries)),
                    statistics, where)
        print(f"written to {args.output}")


def heading(command, path, statistics):
    """The page's first paragraph: its command, and the images that the sizes were counted over."""
    if statistics.window:
        height, width = statistics.window
        counted = f"windows of {height} x {width} pixels of the labels"
    else:
        counted = "whole labels"
    return (f"Written by `{command}`. Sizes of the source, from {path}: over {counted}; of the "
            "prediction: over whole images.\n")


def predict_shares(predictor, dataset, frames, scale):
    """(images, C) share of the score map's units that each class wins, as the loss computes it."""
    shares = np.empty((len(frames), predictor.classes))
    for index, frame in enumerate(
            progress_bar(frames, "predicting", unit="image")):
        shares[index] = predicted_shares(predictor.scores(resize(dataset.read_image(frame), scale)))
    return shares


@dataclass(frozen=True)
class PredictedSizes:
    """Sizes of each class in the prediction of one model.

    images: number of images.  present (C,): in how many of them a class is predicted present.
    low, mean, high (C,): 10% quantile, mean and 90% quantile of its predicted share over those
    images; nan where it is never present.
    """

    images: int
    present: np.ndarray
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def summarise_prediction(shares, statistics, presence_factor):
    """PredictedSizes of predicted shares (images, C).

    A class is present where the loss layer takes it to be, by the same presence_factor.
    """
    present = shares > category_rule(statistics, presence_factor=presence_factor).least_share
    counts, low, mean, high = summarise_shares(
        [column[there] for column, there in zip(shares.T, present.T)])
    return PredictedSizes(len(shares), counts, low, mean, high)


def verdict(mean, alpha, gamma):
    """Where a mean share is in the source's range, in words; "" for a class the source lacks."""
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
        shares = (statistics.counts[index] / statistics.images, alpha, delta, gamma,
                  predicted.present[index] / predicted.images, predicted.low[index],
                  predicted.mean[index], predicted.high[index])
        rows.append([name] + [percent(share) for share in shares]
                    + [verdict(predicted.mean[index], alpha, gamma)])
    header = ["class", "source: images", "alpha", "delta", "gamma", "predicted: images", "10%",
              "mean", "90%", "mean is"]
    notes = [
        f"Percent. Source ({statistics.dataset} {statistics.split}): images that contain the "
        f"class, and its share of their labelled pixels: {round(100 * ALPHA_QUANTILE)}% quantile "
        f"alpha, mean delta, {round(100 * GAMMA_QUANTILE)}% quantile gamma.",
        "Predicted: images in which the class is predicted present, and its share of their "
        "prediction. No label was opened."
    ]
    return Table(header, rows, title, notes=notes)


def draw_report(path, summaries, statistics, where):
    """Writes a PNG: the source's range of each class as a bar, and each model's range and mean.

    summaries: {model's name: PredictedSizes}; where: data set and split, for the title.
    """
    # imported here: matplotlib takes long to import
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
    lows = [np.maximum(100 * p.low, SMALLEST) for p in summaries.values()]
    axes.set_xlim(0.7 * np.nanmin([alpha] + lows), 100)
    axes.set_yticks(rows)
    images = next(iter(summaries.values())).images
    present = [", ".join(str(p.present[index]) for p in summaries.values())
               for index in range(classes)]
    axes.set_yticklabels([f"{name} ({counts} of {images} images)"
                          for name, counts in zip(statistics.classes, present)], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("percent of an image, over the images in which the class is present")
    axes.set_title(f"Predicted class sizes on {where}", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="lower center", ncol=2, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.25 * (1 + len(summaries) // 2) / figure.get_figheight(), 1, 1))
    with write_aside(path) as aside:
        canvas.print_figure(aside, dpi=110, format="png")
