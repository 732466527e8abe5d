"""The command line of tools/figure.py: image | one column for each model | truth."""
import heapq

import numpy as np

from data.errors import InputError
from data.progress import progress_bar
from data.registry import open_dataset
from tools.lib.command import CommandParser, count
from tools.lib.outputs import require_file
from tools.lib.scoring.net_options import (
    add_comparison_arguments,
    checked_titles,
    make_predictor,
    require_dataset_classes,
)
from tools.lib.scoring.pictures import colour, write_grid


def parse(arguments=None):
    """The options of tools/figure.py."""
    parser = CommandParser(
        prog="python3 tools/figure.py",
        description="Draws image | prediction of each model | truth as one PNG.")
    add_comparison_arguments(parser, "caffemodels, one for each column, earliest first",
                             'column titles (default for two: "before" and "after")')
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--frames", help="frame names or numbers in the split, separated by commas")
    chosen.add_argument("--most-changed", type=count, metavar="N",
                        help="the N frames with most pixels that the first and the last model "
                             "label differently")
    parser.add_argument("--no-truth", action="store_true",
                        help="draw no truth; no label is opened")
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
    require_dataset_classes(predictors[0], args, dataset)
    found = _predicted(predictors, dataset, frames, args.resize)
    if args.most_changed:
        # nlargest holds N frames in memory, however long the split is
        found = heapq.nlargest(args.most_changed, found, key=lambda entry: entry[0])
    palette = dataset.space.palette
    rows, listed = [], []
    for changed, frame, image, maps in found:
        share = 100.0 * changed / maps[0].size
        panels = [image] + [colour(labels, palette) for labels in maps]
        panels += [colour(dataset.read_label(frame), palette)] if truth else []
        name = _short(frame.name)
        rows.append((f"{name}\n{share:.0f}% changed" if args.most_changed else name, panels))
        listed.append(f"{frame.name}  {share:.1f}% changed" if args.most_changed else frame.name)
    titles = ["image"] + args.names + (["truth"] if truth else [])
    write_grid(args.output, titles, rows, dataset.space)
    print("\n".join(listed))
    print(f"written to {args.output}")


def _require_labels(dataset, frames):
    """Raises InputError, naming --no-truth, for the first frame without a usable label."""
    for frame in frames:
        try:
            dataset.check(frame)
        except InputError as error:
            raise InputError(error.what, error.fix or "if the label is missing or wrong, draw the "
                                                      "figure without it: --no-truth") from None


def _predicted(predictors, dataset, frames, scale):
    """Yields (changed, frame, image, label maps) of every frame.

    changed: number of pixels that the first and the last model label differently.
    """
    for frame in progress_bar(frames, "predicting", unit="image"):
        image = dataset.read_image(frame)
        maps = [predictor.predict(image, scale=scale) for predictor in predictors]
        yield int(np.count_nonzero(maps[0] != maps[-1])), frame, image, maps


def choose(frames, wanted, split):
    """The frames named in `wanted`, by name or by number from 0, in that order."""
    by_name = {frame.name: frame for frame in frames}
    chosen = []
    for text in wanted.split(","):
        if text in by_name:
            chosen.append(by_name[text])
        # isdigit is true of a raised 2 too, which int() refuses
        elif text.isdecimal() and int(text) < len(frames):
            chosen.append(frames[int(text)])
        else:
            raise InputError(f"--frames: {text!r} is neither a name in {split} nor a number below "
                             f"{len(frames)}")
    return chosen


def _short(name):
    return name if len(name) <= 24 else "..." + name[-22:]
