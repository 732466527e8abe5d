"""The options of commands that run a deploy net, and the Predictor that they describe."""
import os
import sys

from data.errors import InputError
from data.transforms import FACTORS
from tools.lib.command import number_between, positive
from tools.lib.dataset_options import add_data_arguments
from tools.lib.device_options import add_tf32_argument, asks_for_tf32, device, gpu_number


def add_net_arguments(parser):
    """Adds the options of a Predictor apart from model and weights."""
    least, most = FACTORS
    parser.add_argument("--resize", type=number_between(least, most), default=1.0, metavar="FACTOR",
                        help=f"resize images by this before the net, {least:g} to {most:g}; scores "
                             "are resized to the label's size")
    parser.add_argument("--mean", type=number_between(0, 255), nargs=3, metavar=("B", "G", "R"),
                        help="values to subtract (default: those of the deploy net)")
    parser.add_argument("--device", type=device, default="cpu", metavar="cpu|gpu:N",
                        help="where the net is computed (default: cpu)")
    add_tf32_argument(parser)
    parser.add_argument("--memory", type=positive, metavar="GB",
                        help="limit of one forward pass; larger images are computed in tiles, or "
                             "refused where the net does not allow tiles (default: a quarter of "
                             "the machine's memory for a tile, all of it for a whole image)")
    parser.add_argument("--score-blob", metavar="NAME",
                        help="the net's output with the scores, where it has several outputs")


def add_comparison_arguments(parser, weights, names):
    """Adds the options of commands that compare caffemodels of one deploy net on one split.

    weights, names: help texts of --weights and --names.
    """
    parser.add_argument("--model", required=True, help="deploy prototxt")
    parser.add_argument("--weights", nargs="+", required=True, help=weights)
    parser.add_argument("--names", nargs="+", help=names)
    add_data_arguments(parser)
    add_net_arguments(parser)


def make_predictor(args, weights):
    """The Predictor that the options describe, with this caffemodel.

    Sets args.tf32 to whether it computes in TF32. Raises InputError for --tf32 on the CPU.
    """
    args.tf32 = asks_for_tf32(args.tf32, gpu_number(args.device) is not None)
    # imported here: a wrong option is reported before Caffe is loaded
    from tools.lib.checking.device import use_precision
    from tools.lib.scoring.predictor import Predictor
    use_precision(args.tf32)
    predictor = Predictor(args.model, weights, args.device, args.mean,
                          args.memory and args.memory * 2 ** 30, args.score_blob)
    stride = predictor.geometry.stride
    if predictor.whole_because and stride > 1:
        print(f"{args.model}: a unit of its scores stands for {stride} x {stride} pixels, the "
              "first for those at the image's corner; a net that means another place gives labels "
              f"up to {float(stride / 2):g} pixels off (docs/scoring.md)", file=sys.stderr)
    return predictor


def require_classes(predictor, args, count, owner, options):
    """Raises InputError unless the net of --model has `count` classes.

    owner: who has that many classes, in words; options: the options that can be changed.
    """
    if predictor.classes != count:
        raise InputError(f"{args.model} gives {predictor.classes} classes, but {owner} has {count}",
                         f"choose another {options}")


def require_dataset_classes(predictor, args, dataset):
    """Raises InputError unless the net has one score for each class of the data set."""
    require_classes(predictor, args, len(dataset.space.classes),
                    f"{dataset.name} in label space {dataset.space.name}",
                    "--model or --label-space")


def titles(paths):
    """Short, distinct names of weight files: file names, with their folders where those repeat."""
    stems = [os.path.splitext(os.path.basename(os.path.normpath(p)))[0] for p in paths]
    if len(set(stems)) < len(stems):
        stems = [os.path.splitext(os.path.normpath(p))[0] for p in paths]
    return stems


def checked_titles(parser, names, paths):
    """`names`, or titles(paths) when there are none.

    The parser ends the command when there is not one title for each path, or two are the same.
    """
    names = names or titles(paths)
    if len(names) != len(paths):
        parser.error(f"--names: {len(names)} titles for {len(paths)} models")
    if len(set(names)) < len(names):
        parser.error("--names: two have the same title")
    return names
