"""The command line of tools/test.py: IoU of each class, for one or several models."""
import functools
import json
import os

from data.errors import InputError
from data.files import write_whole
from data.registry import open_dataset
from tools.lib.command import CommandParser
from tools.lib.dataset_options import add_data_arguments
from tools.lib.outputs import folder_name, require_empty, require_file
from tools.lib.results import comparison, result_record
from tools.lib.scoring.evaluate import ColourFolder, PredictionFolder, evaluate, score_folder
from tools.lib.scoring.net_options import (
    add_net_arguments,
    checked_titles,
    make_predictor,
    require_dataset_classes,
)
from tools.lib.tables import FORMATS, format_of, render


def parse(arguments=None):
    """The options of tools/test.py."""
    parser = CommandParser(
        prog="python3 tools/test.py",
        description="Scores models, or saved predictions, on a labelled split.")
    parser.add_argument("--model", help="deploy prototxt")
    parser.add_argument("--weights", nargs="+", default=[],
                        help="one or several caffemodels; several make one table")
    parser.add_argument("--predictions", nargs="+", default=[], metavar="FOLDER",
                        help="score the label maps <frame name>.png in FOLDER instead of running a "
                             "net")
    parser.add_argument("--ids", choices=("train", "dataset"), default="train",
                        help="ids in the saved predictions: train ids (default), or the data "
                             "set's own ids, which Cityscapes' server reads")
    parser.add_argument("--names", nargs="+", help="titles of the table's columns")
    add_data_arguments(parser)
    add_net_arguments(parser)
    parser.add_argument("--save-predictions", metavar="FOLDER",
                        help="save the label maps as PNG; with several --weights in a folder each")
    parser.add_argument("--save-colours", metavar="FOLDER",
                        help="the same in the data set's colours")
    parser.add_argument("--json", help="write scores and confusion counts to this file")
    parser.add_argument("--output", help="write the table to this file (.txt, .md, .csv or .tex)")
    parser.add_argument("--format", choices=FORMATS,
                        help="format of the table (default: text, or by --output's ending)")
    args = parser.parse_args(arguments)
    if bool(args.weights) == bool(args.predictions):
        parser.error("give either --weights (with --model) or --predictions")
    if args.weights and not args.model:
        parser.error("--weights needs --model, the deploy prototxt")
    if (args.save_predictions or args.save_colours) and args.predictions:
        parser.error("--save-predictions and --save-colours save what a net predicts; with "
                     "--predictions there is no net")
    args.names = checked_titles(parser, args.names, args.weights or args.predictions)
    return args


def main(arguments=None):
    """Scores every model, prints the table and writes the requested files."""
    args = parse(arguments)
    form = format_of(args.output, args.format) if args.output else args.format or "text"
    require_file(args.json, "--json")
    _require_folders(args)
    dataset = open_dataset(args.dataset, args.data_root, args.label_space)
    frames = dataset.frames(args.split)
    for frame in frames:
        dataset.check(frame)
    for path in args.weights + ([args.model] if args.model else []):
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file")
    records = []
    for name, source in zip(args.names, args.weights or args.predictions):
        if args.weights:
            confusion = _score_net(args, name, source, dataset, frames)
            origin = dict(weights=source, model=args.model, score_blob=args.score_blob,
                          resize=args.resize, device=args.device, tf32=args.tf32)
        else:
            confusion = _score_folder(args, source, dataset, frames)
            origin = dict(predictions=source)
        records.append(
            result_record(name, confusion, args.dataset, args.split, dataset.space, **origin))
    text = render(comparison(records, f"{args.dataset} {args.split}, {len(frames)} images"), form)
    print(text, end="")     # first: the scores are not lost when a file cannot be written
    if args.json:
        write_whole(args.json, json.dumps(dict(results=records), indent=1, sort_keys=True) + "\n")
    if args.output:
        write_whole(args.output, text)


def _require_folders(args):
    """Raises InputError unless each model has an empty folder of its own for its predictions."""
    owners = {}
    for name in args.names:
        for flag, folder, _ in _saved(args, name):
            if (flag, folder) in owners:
                raise InputError(f"{flag}: {owners[flag, folder]!r} and {name!r} would both be "
                                 f"saved in {folder}",
                                 "give the models titles of their own with --names")
            owners[flag, folder] = name
            require_empty(folder, flag)


def _saved(args, name):
    """[(flag, folder, class of the folder)] of a model's predictions that are to be saved.

    Several models have a folder each, named after their titles (folder_name).
    """
    labels = functools.partial(PredictionFolder, ids=args.ids)
    kinds = (("--save-predictions", args.save_predictions, labels),
             ("--save-colours", args.save_colours, ColourFolder))
    return [(flag, folder if len(args.weights) == 1 else os.path.join(folder, folder_name(name)),
             kind) for flag, folder, kind in kinds if folder]


def _score_net(args, name, weights, dataset, frames):
    folders = [kind(folder, dataset) for _, folder, kind in _saved(args, name)]

    def keep(frame, prediction):
        for folder in folders:
            folder.write(frame, prediction)

    predictor = make_predictor(args, weights)
    require_dataset_classes(predictor, args, dataset)
    return evaluate(predictor, dataset, frames, args.resize, keep, name)


def _score_folder(args, folder, dataset, frames):
    if not os.path.isdir(folder):
        raise InputError(f"--predictions {folder}: no such folder")
    return score_folder(PredictionFolder(folder, dataset, args.ids), dataset, frames)
