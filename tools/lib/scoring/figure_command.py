"""The command line of tools/figure.py: image | one column a model | truth."""
import argparse
import heapq

import numpy as np
from tqdm import tqdm

from data.errors import InputError
from data.registry import open_dataset
from tools.lib.command import count
from tools.lib.outputs import require_file
from tools.lib.scoring.evaluate import check_classes
from tools.lib.scoring.pictures import colour, write_grid
from tools.lib.scoring.score_command import add_comparison_arguments, checked_titles, make_predictor


def parse(arguments=None):
    """The options of tools/figure.py."""
    parser = argparse.ArgumentParser(prog="tools/figure.py",
                                     description="Draws image | prediction of each model | truth "
                                                 "as one PNG.")
    add_comparison_arguments(parser, "caffemodels, one a column, earliest first",
                             'column titles (default for two: "before" and "after")')
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--frames", help="frame names or numbers in the split, separated by commas")
    chosen.add_argument("--most-changed", type=count, metavar="N",
                        help="the N frames with most pixels that the first and the last model "
                             "label differently")
    parser.add_argument("--no-truth", action="store_true", help="leave the truth out; no label is "
                                                                "opened")
    parser.add_argument("--output", required=True, help="PNG file")
    args = parser.parse_args(arguments)
    if args.most_changed and len(args.weights) < 2:
        parser.error("--most-changed compares models: give at least two --weights")
    if not args.output.lower().endswith(".png"):
        parser.error("--output: expected a name that ends in .png")
    pair = ["before", "after"] if len(args.weights) == 2 else None
    args.names = checked_titles(parser, args.names or pair, args.weights)
    return args


def main(arguments=None):
    """Predicts the chosen frames with every model and writes the grid."""
    args = parse(arguments)
    require_file(args.output, "--output")
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = dataset.frames(args.split)
    if args.frames is not None:
        frames = choose(frames, args.frames, args.split)
    truth = not args.no_truth
    if truth:
        _require_labels(dataset, frames)
    predictors = [make_predictor(args, weights) for weights in args.weights]
    check_classes(predictors[0], dataset, args.model)
    found = _predicted(predictors, dataset, frames, args.resize)
    # nlargest keeps N frames in memory, whatever the length of the split
    found = heapq.nlargest(args.most_changed, found,
                           key=lambda entry: entry[0]) if args.most_changed else list(found)
    rows = [(_row_name(frame, changed, maps[0].size, args.most_changed),
             [image] + [colour(m, dataset.space.palette) for m in maps]
             + ([colour(dataset.read_label(frame), dataset.space.palette)] if truth else []))
            for changed, frame, image, maps in found]
    write_grid(args.output, ["image"] + args.names + (["truth"] if truth else []), rows,
               dataset.space)
    for changed, frame, _, maps in found:
        print("%s%s" %
              (frame.name,
               f"  {100.0 * changed / maps[0].size:.1f}% changed" if args.most_changed else ""))
    print(f"written to {args.output}")


def _require_labels(dataset, frames):
    """Raises InputError, naming --no-truth, at the first frame whose label is not there or not of
    its image's size."""
    for frame in frames:
        try:
            dataset.check(frame)
        except InputError as error:
            raise InputError(error.what, error.fix or "where it is the label that will not do, "
                                                      "draw the figure without the "
                                                      "column of the truth: --no-truth") from None


def _predicted(predictors, dataset, frames, scale):
    """Gives (pixels that first and last model label differently, frame, image, label maps) of every
    frame."""
    for frame in tqdm(frames, unit="image", disable=None, leave=False):
        image = dataset.read_image(frame)
        maps = [predictor.predict(image, scale=scale) for predictor in predictors]
        yield int(np.count_nonzero(maps[0] != maps[-1])), frame, image, maps


def choose(frames, wanted, split):
    """The frames whose names, or numbers counted from 0, stand in `wanted`, in that order."""
    by_name = {frame.name: frame for frame in frames}
    chosen = []
    for text in wanted.split(","):
        if text in by_name:
            chosen.append(by_name[text])
        # isdigit is true of a raised 2 too, which is no number
        elif text.isdecimal() and int(text) < len(frames):
            chosen.append(frames[int(text)])
        else:
            raise InputError(f"--frames: {text!r} is neither a name in {split} nor a number below "
                             f"{len(frames)}")
    return chosen


def _row_name(frame, changed, pixels, ranked):
    short = frame.name if len(frame.name) <= 24 else "..." + frame.name[-22:]
    return f"{short}\n{100.0 * changed / pixels:.0f}% changed" if ranked else short
