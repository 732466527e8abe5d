"""The command line of tools/constraint_report.py."""
import argparse
import os
import sys

import numpy as np
from tqdm import tqdm

from data.dataset import unlabelled
from data.errors import InputError
from data.files import write_whole
from data.label_statistics import read_statistics
from data.registry import open_dataset
from data.transforms import resize
from layers.category_targets import PRESENCE_FACTOR, predicted_shares
from tools.lib.categories.constraint_report import draw_report, report_table, summarise_prediction
from tools.lib.outputs import require_empty
from tools.lib.scoring.net_options import add_comparison_arguments, checked_titles, make_predictor
from tools.lib.tables import render


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="constraint_report.py",
        description="Sets the class sizes that a model predicts on unlabelled images against those "
                    "of the source's labels.")
    add_comparison_arguments(parser, "caffemodels, one table each",
                             "titles of the tables (default: the caffemodels' names)")
    parser.add_argument("--statistics", required=True, help="label statistics of the source "
                                                            "(tools/label_stats.py)")
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
    args = parse(arguments)
    if args.output:
        require_empty(args.output, "--output")
    statistics = read_statistics(args.statistics)
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = unlabelled(dataset.frames(args.split))
    summaries = []
    for name, weights in zip(args.names, args.weights):
        predictor = make_predictor(args, weights)
        if predictor.classes != len(statistics.classes):
            raise InputError(f"{args.model} gives {predictor.classes} classes, but "
                             f"{args.statistics} has {len(statistics.classes)}",
                             "choose another --model or --statistics")
        shares = predict_shares(predictor, dataset, frames, args.resize)
        summaries.append(summarise_prediction(shares, statistics, args.presence_factor))
    where = f"{dataset.name} {args.split}, {len(frames)} images"
    tables = [
        report_table(summary, statistics, f"{name}: {where}")
        for name, summary in zip(args.names, summaries)
    ]
    print("\n".join(render(table, "text") for table in tables))
    if args.output:
        head = heading(sys.argv[1:] if arguments is None else arguments, args.statistics,
                       statistics)
        write_whole(os.path.join(args.output, "report.md"), "\n".join(
            [head] + [render(table, "markdown") for table in tables] + ["![The same as "
                                                                        "bars](report.png)\n"]))
        draw_report(os.path.join(args.output, "report.png"), dict(zip(args.names, summaries)),
                    statistics, where)
        print(f"written to {args.output}")


def heading(arguments, path, statistics):
    """Which command wrote the page, and what the source's sizes were counted over."""
    seen = "windows of %d x %d pixels of the labels" % statistics.window if statistics.window else "whole labels"
    return f"Written by `python3 tools/constraint_report.py {' '.join(arguments)}`. Sizes of the source, from {path}: over {seen}; of the prediction: over whole " \
           "images.\n"


def predict_shares(predictor, dataset, frames, scale):
    """(images, C) shares of the units that each class wins, at the score map's own resolution,
    which the loss sees."""
    shares = np.empty((len(frames), predictor.classes))
    for index, frame in enumerate(
            tqdm(frames, "predicting", unit="image", disable=None, leave=False)):
        shares[index] = predicted_shares(predictor.scores(resize(dataset.read_image(frame), scale)))
    return shares
