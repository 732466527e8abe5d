"""The command line of tools/label_stats.py."""
import argparse
import functools
import os
import sys
import time

import numpy as np
from tqdm import tqdm

from data.errors import InputError
from data.parallel import each_result
from data.reading import read_ids
from data.registry import open_dataset
from data.statistics import class_fractions, summarise, to_json
from data.transforms import even_windows
from tools.argument_types import count
from tools.datasets.options import add_data_arguments, add_workers_argument
from tools.runtime.files import write_whole
from tools.runtime.outputs import require_file

TURNS = 5  # of the benchmark; its medians are printed


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="label_stats.py", description="Counts how much of an image each class fills in the labels of a source.")
    add_data_arguments(parser)
    parser.add_argument("--window", nargs=2, type=count, metavar=("HEIGHT", "WIDTH"),
                        help="count windows of this size, in pixels of the label: what a net trained on crops sees "
                             "(default: whole labels)")
    parser.add_argument("--output", metavar="FILE.json", help="statistics file to write")
    parser.add_argument("--show", metavar="FILE.png", help="picture to write: a histogram a class with alpha, delta, gamma")
    add_workers_argument(parser)
    parser.add_argument("--benchmark", action="store_true", help="print the time against that of reading the PNGs alone")
    args = parser.parse_args(arguments)
    if not (args.output or args.show or args.benchmark):
        parser.error("nothing to do: give --output, --show or --benchmark")
    return args


def main(arguments=None):
    args = parse(arguments)
    for flag, path in (("--output", args.output), ("--show", args.show)):
        if path and os.path.exists(path):
            raise InputError("%s %s exists" % (flag, path), "remove it or name another")
        require_file(path, flag)
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = dataset.frames(args.split)
    if args.benchmark:
        print("Printed by `python tools/label_stats.py %s`.\n" % " ".join(sys.argv[1:] if arguments is None else arguments))
        print(benchmark(dataset, frames, args.workers, args.window))
    if not (args.output or args.show):
        return
    fractions = count_fractions(dataset, frames, args.workers, args.window)
    statistics = summarise(fractions, dataset.name, args.split, dataset.space, args.window)
    if args.output:
        write_whole(args.output, to_json(statistics))
        print("%s: %d images, %d counted, %d of %d classes occur" % (
            args.output, len(frames), statistics.images, np.count_nonzero(statistics.counts), len(statistics.classes)))
    if args.show:
        from tools.categories.histograms import draw_histograms  # only here: matplotlib is slow to import

        draw_histograms(fractions, statistics, dataset.space.palette, args.show)
        print(args.show)


def count_fractions(dataset, frames, workers=None, window=None):
    """Fractions (images or windows, C) as data.statistics.class_fractions gives them, in the frames' order, on all cores.

    window: (height, width) in pixels of the label, or None for whole labels.
    """
    function = functools.partial(count_windows, dataset, window=window) if window else dataset.count_label
    counts = each_result(function, frames, workers)
    rows = [class_fractions(row) for image in tqdm(counts, "counting", len(frames), unit="image", disable=None, leave=False)
            for row in np.atleast_2d(image)]
    return np.array(rows).reshape(-1, len(dataset.space.classes))


def count_windows(dataset, frame, window):
    """(windows, C) pixels of each class in the windows of even_windows; a window with no labelled pixel is left out."""
    label = dataset.read_label(frame)
    counts = np.array([np.bincount(label[top:top + window[0], left:left + window[1]].ravel(), minlength=256)
                       for top, left in even_windows(label.shape, window)])[:, :len(dataset.space.classes)]
    return counts[counts.any(axis=1)]


def benchmark(dataset, frames, workers=None, window=None):
    """A line with the images a second of counting, and its time over that of reading the PNGs alone, in turns."""
    if frames[0].label is None:
        raise InputError("--benchmark: the labels of %s are drawn, not read" % dataset.name)
    ratios, rates = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        for _ in each_result(_only_read, frames, workers):
            pass
        middle = time.perf_counter()
        count_fractions(dataset, frames, workers, window)
        counting = time.perf_counter() - middle
        ratios.append(counting / (middle - start))
        rates.append(len(frames) / counting)
    return ("%d labels, median of %d turns: %.0f images/s, %.2f times the time of reading the PNGs alone "
            "(%d cores, load average of the machine %.1f)" % (
                len(frames), TURNS, np.median(rates), np.median(ratios), len(os.sched_getaffinity(0)), os.getloadavg()[0]))


def _only_read(frame):
    read_ids(frame.label)
