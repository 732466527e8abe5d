"""The command line of tools/test.py."""
import argparse
import functools
import json
import os

from data.errors import InputError
from data.files import write_whole
from data.registry import open_dataset
from data.transforms import FACTORS
from tools.lib.command import positive
from tools.lib.dataset_options import add_data_arguments
from tools.lib.outputs import folder_name, require_empty, require_file
from tools.lib.results import comparison, result_record
from tools.lib.scoring.evaluate import check_classes, evaluate, score_folder
from tools.lib.scoring.prediction_folder import ColourFolder, PredictionFolder
from tools.lib.tables import FORMATS, format_of, render


def add_net_arguments(parser):
    """Adds the options of a Predictor apart from model and weights."""
    parser.add_argument("--resize", type=factor, default=1.0, metavar="FACTOR",
                        help="resize images by this before the net, %g to %g; scores return to the "
                             "label's size" % FACTORS)
    parser.add_argument("--mean", type=_level, nargs=3, metavar=("B", "G", "R"),
                        help="values to subtract (default: those of the deploy net)")
    parser.add_argument("--device", type=device, default="cpu", metavar="cpu|gpu:N")
    parser.add_argument("--memory", type=positive, metavar="GB",
                        help="what one forward pass may hold; larger images are computed in tiles "
                             "(default: a quarter of the machine's)")


def add_comparison_arguments(parser, weights, names):
    """Adds a deploy net, one or several caffemodels for it, the split to run them on, and the
    options of a Predictor.

    weights, names: what their help says.
    """
    parser.add_argument("--model", required=True, help="deploy prototxt")
    parser.add_argument("--weights", nargs="+", required=True, help=weights)
    parser.add_argument("--names", nargs="+", help=names)
    add_data_arguments(parser)
    add_net_arguments(parser)


def make_predictor(args, weights):
    """The Predictor that the options ask for."""
    from tools.lib.scoring.predictor import Predictor
    return Predictor(args.model, weights, args.device, args.mean,
                     args.memory and args.memory * 2 ** 30)


def factor(text):
    """A number within data.transforms.FACTORS, for argparse."""
    value = float(text)
    if not FACTORS[0] <= value <= FACTORS[1]:
        raise argparse.ArgumentTypeError(
            "expected a number from %g to %g, found %s" % (*FACTORS, text))
    return value


def _level(text):
    value = float(text)
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError(f"expected 0 to 255, found {text}")
    return value


def device(text):
    """argparse type: "cpu", or "gpu:N" as the number N."""
    if text == "cpu":
        return text
    kind, _, number = text.partition(":")
    if kind != "gpu" or not number.isdigit():
        raise argparse.ArgumentTypeError(f"expected cpu or gpu:N, found {text}")
    return int(number)


def titles(paths):
    """Short, distinct names of weight files: file names, with their folders where those repeat."""
    stems = [os.path.splitext(os.path.basename(os.path.normpath(p)))[0] for p in paths]
    if len(set(stems)) < len(stems):
        stems = [os.path.splitext(os.path.normpath(p))[0] for p in paths]
    return stems


def checked_titles(parser, names, paths):
    """`names`, or titles(paths) where there are none; a title a path and no two alike, else the
    parser ends with its error."""
    names = names or titles(paths)
    if len(names) != len(paths):
        parser.error(f"--names: {len(names)} titles for {len(paths)} models")
    if len(set(names)) < len(names):
        parser.error("--names: two have the same title")
    return names


def parse(arguments=None):
    """The options of tools/test.py."""
    parser = argparse.ArgumentParser(
        prog="tools/test.py", description="Scores models, or predictions that are there already, "
                                          "on a labelled split.")
    parser.add_argument("--model", help="deploy prototxt")
    parser.add_argument("--weights", nargs="+", default=[], help="one or several caffemodels; "
                                                                 "several make one table")
    parser.add_argument("--predictions", nargs="+", default=[], metavar="FOLDER",
                        help="score the label maps <frame name>.png in FOLDER instead of running a "
                             "net")
    parser.add_argument("--ids", choices=("train", "dataset"), default="train",
                        help="coding of saved predictions: train ids (default) or the data set's "
                             "own, as "
                             "Cityscapes' server wants them")
    parser.add_argument("--names", nargs="+", help="titles of the table's columns")
    add_data_arguments(parser)
    add_net_arguments(parser)
    parser.add_argument("--save-predictions", metavar="FOLDER",
                        help="keep the label maps as PNG; with several --weights in a folder each")
    parser.add_argument("--save-colours", metavar="FOLDER", help="the same in the data set's "
                                                                 "colours")
    parser.add_argument("--json", help="write scores and confusion counts to this file")
    parser.add_argument("--output", help="write the table to this file (.txt, .md, .csv or .tex)")
    parser.add_argument("--format", choices=FORMATS, help="format of the table (default: text, or "
                                                          "by --output's ending)")
    args = parser.parse_args(arguments)
    if bool(args.weights) == bool(args.predictions):
        parser.error("give either --weights (with --model) or --predictions")
    if args.weights and not args.model:
        parser.error("--weights needs --model, the deploy prototxt")
    if (args.save_predictions or args.save_colours) and args.predictions:
        parser.error("--save-predictions and --save-colours keep what a net predicts; with "
                     "--predictions there is no net")
    args.names = checked_titles(parser, args.names, args.weights or args.predictions)
    return args


def main(arguments=None):
    """Scores, prints the table and writes the files that were asked for."""
    args = parse(arguments)
    form = format_of(args.output, args.format) if args.output else args.format or "text"
    require_file(args.json, "--json")
    kept = {}
    for name in args.names:
        for flag, folder, _ in _kept(args, name):
            if (flag, folder) in kept:
                raise InputError(f"{flag}: {kept[flag, folder]!r} and {name!r} would both be kept "
                                 f"in {folder}",
                                 "give the models titles of their own with --names")
            kept[flag, folder] = name
            require_empty(folder, flag)
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = dataset.frames(args.split)
    for frame in frames:
        dataset.check(frame)
    for path in args.weights + ([args.model] if args.model else []):
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file")
    records = []
    for name, source in zip(args.names, args.weights or args.predictions):
        confusion = (_score_net if args.weights else _score_folder)(args, name, source, dataset,
                                                                    frames)
        origin = dict(weights=source, model=args.model,
                      resize=args.resize) if args.weights else dict(predictions=source)
        records.append(
            result_record(name, confusion, args.dataset, args.split, dataset.space, **origin))
    text = render(comparison(records, f"{args.dataset} {args.split}, {len(frames)} images"), form)
    print(text, end="")     # first: when a file cannot be written, what was computed is not lost
    if args.json:
        write_whole(args.json, json.dumps(dict(results=records), indent=1, sort_keys=True) + "\n")
    if args.output:
        write_whole(args.output, text)


def _kept(args, name):
    """[(flag, folder, maker of a store from folder and data set)] of what is kept of a model's
    predictions.

    Several models have a folder each, named after their titles (folder_name).
    """
    labels = functools.partial(PredictionFolder, ids=args.ids)
    stores = (("--save-predictions", args.save_predictions, labels),
              ("--save-colours", args.save_colours, ColourFolder))
    return [(flag, folder if len(args.weights) == 1 else os.path.join(folder, folder_name(name)),
             store) for flag, folder, store in stores if folder]


def _score_net(args, name, weights, dataset, frames):
    stores = [store(folder, dataset) for _, folder, store in _kept(args, name)]

    def keep(frame, prediction):
        for store in stores:
            store.write(frame, prediction)

    predictor = make_predictor(args, weights)
    check_classes(predictor, dataset, args.model)
    return evaluate(predictor, dataset, frames, args.resize, keep, name)


def _score_folder(args, name, folder, dataset, frames):
    if not os.path.isdir(folder):
        raise InputError(f"--predictions {folder}: no such folder")
    return score_folder(PredictionFolder(folder, dataset, args.ids), dataset, frames)
