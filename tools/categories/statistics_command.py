"""The command line of tools/label_stats.py."""
import argparse
import os
import time

import numpy as np
from tqdm import tqdm

from data.errors import InputError
from data.parallel import each_result
from data.reading import read_ids
from data.registry import open_dataset
from data.statistics import class_fractions, summarise, to_json
from tools.datasets.options import add_data_arguments, add_workers_argument
from tools.scoring.files import write_text

TURNS = 5  # of the benchmark; its medians are printed


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="label_stats.py", description="Counts how much of an image each class fills in the labels of a source.")
    add_data_arguments(parser)
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
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = dataset.frames(args.split)
    if args.benchmark:
        print(benchmark(dataset, frames, args.workers))
    if not (args.output or args.show):
        return
    fractions = count_fractions(dataset, frames, args.workers)
    statistics = summarise(fractions, dataset.name, args.split, dataset.space)
    if args.output:
        write_text(args.output, to_json(statistics))
        print("%s: %d images, %d of %d classes occur" % (
            args.output, statistics.images, np.count_nonzero(statistics.counts), len(statistics.classes)))
    if args.show:
        from tools.categories.histograms import draw_histograms  # only here: matplotlib is slow to import

        draw_histograms(fractions, statistics, dataset.space.palette, args.show)
        print(args.show)


def count_fractions(dataset, frames, workers=None):
    """Fractions (images, C) as data.statistics.class_fractions gives them, in the frames' order, on all cores."""
    fractions = np.empty((len(frames), len(dataset.space.classes)))
    counts = each_result(dataset.count_label, frames, workers)
    for index, row in enumerate(tqdm(counts, "counting", len(frames), unit="image", disable=None, leave=False)):
        fractions[index] = class_fractions(row)
    return fractions


def benchmark(dataset, frames, workers=None):
    """A line with the images a second of counting, and its time over that of reading the PNGs alone, in turns."""
    if frames[0].label is None:
        raise InputError("--benchmark: the labels of %s are drawn, not read" % dataset.name)
    ratios, rates = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        for _ in each_result(_only_read, frames, workers):
            pass
        middle = time.perf_counter()
        count_fractions(dataset, frames, workers)
        counting = time.perf_counter() - middle
        ratios.append(counting / (middle - start))
        rates.append(len(frames) / counting)
    return "%d labels, median of %d turns: %.0f images/s, %.2f times the time of reading the PNGs alone" % (
        len(frames), TURNS, np.median(rates), np.median(ratios))


def _only_read(frame):
    read_ids(frame.label)
