"""The command line of tools/label_stats.py: counts the labels of a source and draws histograms."""
import functools
import os
import time
from array import array

import numpy as np

from data.cores import usable_cores
from data.errors import InputError
from data.files import write_aside, write_whole
from data.label_statistics import class_fractions, summarise, to_json
from data.parallel import each_result
from data.progress import progress_bar
from data.registry import open_dataset
from tools.lib.command import CommandParser, command_line, count
from tools.lib.dataset_options import add_data_arguments, add_workers_argument
from tools.lib.outputs import require_file

TURNS = 5  # of the benchmark, which prints medians over them
COLUMNS = 4  # of the picture, a histogram each
BINS = 30
#: Lines in a histogram: statistic, colour, style.
LINES = (("alpha", "tab:blue", "--"), ("delta", "black", "-"), ("gamma", "tab:red", "--"))


def parse(arguments=None):
    """The options of tools/label_stats.py."""
    parser = CommandParser(
        prog="python3 tools/label_stats.py",
        description="Counts how much of an image each class fills in the labels of a source.")
    add_data_arguments(parser)
    parser.add_argument("--window", nargs=2, type=count, metavar=("HEIGHT", "WIDTH"),
                        help="count windows of this size, in pixels of the label, for a net that "
                             "is trained on crops (default: whole labels)")
    parser.add_argument("--output", metavar="FILE.json", help="statistics file to write")
    parser.add_argument("--show", metavar="FILE.png",
                        help="picture to write: a histogram of each class with alpha, delta, gamma")
    add_workers_argument(parser)
    parser.add_argument("--benchmark", action="store_true",
                        help="print the time against that of reading the PNGs alone")
    args = parser.parse_args(arguments)
    if not (args.output or args.show or args.benchmark):
        parser.error("nothing to do: give --output, --show or --benchmark")
    if args.show and not args.show.lower().endswith(".png"):
        parser.error(f"--show: expected a name that ends in .png, found {args.show}")
    return args


def main(arguments=None):
    """Counts the labels, or measures the counting, and writes the requested files."""
    args = parse(arguments)
    for flag, path in (("--output", args.output), ("--show", args.show)):
        if path and os.path.exists(path):
            raise InputError(f"{flag} {path} exists", "remove it or name another")
        require_file(path, flag)
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = dataset.frames(args.split)
    if args.benchmark:
        print(f"Printed by `{command_line('tools/label_stats.py', arguments)}`.\n")
        print(benchmark(dataset, frames, args.workers, args.window))
    if not (args.output or args.show):
        return
    occurring, images = count_shares(dataset, frames, args.workers, args.window)
    statistics = summarise(occurring, images, dataset.name, args.split, dataset.space, args.window)
    if args.output:
        write_whole(args.output, to_json(statistics))
        print(f"{args.output}: {len(frames)} images, {statistics.images} counted, "
              f"{np.count_nonzero(statistics.counts)} of {len(statistics.classes)} classes occur")
    if args.show:
        draw_histograms(occurring, statistics, dataset.space.palette, args.show)
        print(args.show)


def count_shares(dataset, frames, workers=None, window=None):
    """Counts labels on all cores; returns (occurring, images).

    occurring: C float64 arrays, for each class its fractions (label_statistics.class_fractions)
    of the images or windows that contain it, in the frames' order.  images: number of images or
    windows.

    window: (height, width) in pixels of the label, or None for whole labels.  Windows with no
    labelled pixel are left out.
    """
    function = functools.partial(dataset.count_windows,
                                 window=window) if window else dataset.count_label
    found = each_result(function, frames, workers)
    # arrays grow in place and hold only what the exact quantiles need: no zeros of absent classes
    occurring = [array("d") for _ in dataset.space.classes]
    images = 0
    for counts in progress_bar(found, "counting", len(frames), unit="image"):
        fractions = class_fractions(counts[counts.any(axis=1)] if window else counts[None])
        images += len(fractions)
        for shares, column in zip(occurring, fractions.T.tolist()):
            shares.extend(filter(None, column))
    return [np.asarray(shares) for shares in occurring], images


def benchmark(dataset, frames, workers=None, window=None):
    """A line with the images a second of counting, and its time over that of reading the PNGs.

    Both are measured in turns.  Raises InputError for a data set whose labels are drawn.
    """
    if dataset.record.read_pair is not None:
        raise InputError(f"--benchmark: the labels of {dataset.name} are drawn, not read")
    ratios, rates = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        for _ in each_result(lambda frame: _only_read(dataset, frame), frames, workers):
            pass
        middle = time.perf_counter()
        count_shares(dataset, frames, workers, window)
        counting = time.perf_counter() - middle
        ratios.append(counting / (middle - start))
        rates.append(len(frames) / counting)
    return (f"{len(frames)} labels, median of {TURNS} turns: {np.median(rates):.0f} images/s, "
            f"{np.median(ratios):.2f} times the time of reading the PNGs alone "
            f"({usable_cores()} cores, load average of the machine {os.getloadavg()[0]:.1f})")


def _only_read(dataset, frame):
    """Reads a frame's label and returns None: sending the label would cost more than reading it."""
    dataset.read_ids(frame)


def draw_histograms(occurring, statistics, palette, path):
    """Writes a picture with one histogram for each class, over the images that contain it.

    occurring: C arrays of fractions, as count_shares returns them; statistics: LabelStatistics of
    them, drawn as lines; palette: (C, 3) uint8 RGB, the colours of the bars.
    """
    # imported here: matplotlib takes long to import
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = len(statistics.classes)
    rows = -(-classes // COLUMNS)
    figure = Figure(figsize=(3.6 * COLUMNS, 2.2 * rows))
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat[classes:]:
        axis.axis("off")
    for index, axis in zip(range(classes), axes.flat):
        _draw_class(axis, 100 * occurring[index], statistics, index, palette[index] / 255.0)
    axes[0, 0].legend(fontsize=7)
    figure.suptitle(
        f"{statistics.dataset} {statistics.split}, {statistics.label_space} classes: "
        "percent of an image's labelled pixels, over the images that contain the class",
        fontsize=10)
    figure.supylabel("images", fontsize=8)
    figure.tight_layout()
    with write_aside(path) as aside:
        canvas.print_figure(aside, dpi=100, format="png")


def _draw_class(axis, percent, statistics, index, colour):
    axis.set_title(f"{statistics.classes[index]} ({statistics.counts[index]} of "
                   f"{statistics.images} images)",
                   fontsize=8)
    axis.tick_params(labelsize=7)
    if not statistics.counts[index]:
        axis.text(0.5, 0.5, "never occurs", ha="center", va="center", transform=axis.transAxes,
                  fontsize=8)
        return
    axis.hist(percent, bins=np.linspace(0, percent.max(), BINS + 1), color=colour)
    for name, line_colour, style in LINES:
        axis.axvline(100 * getattr(statistics, name)[index], color=line_colour, linestyle=style,
                     linewidth=1, label=name)
