"""The command line of tools/train.py."""
import argparse
import os
import re

from data.errors import InputError
from tools.lib.command import count, seed

#: What --device may say.
DEVICE = re.compile(r"cpu|gpu(:[0-9]{1,4})?")

DESCRIPTION = """Trains a net as a Caffe solver prototxt says, on the CPU or one GPU.

Everything goes to runs/<solver name>/ (or --output): the solver and the nets as Caffe
was given them, record.json, log.jsonl, plot.png and the snapshots. Ctrl-C finishes the
iteration and snapshots; --resume goes on from there, bit for bit as if never stopped."""


def parse(arguments=None):
    """The options as a namespace; paths absolute, weights a list or None."""
    parser = argparse.ArgumentParser(prog="python3 tools/train.py", description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solver", required=True, metavar="FILE", help="solver prototxt")
    parser.add_argument("--weights", action="append", metavar="FILE[,FILE]",
                        help="initial weights (.caffemodel) instead of the solver's; a later "
                             "file wins where two have the same layer")
    parser.add_argument("--seed", type=seed, metavar="N",
                        help="seed of everything random; default: the solver's random_seed, or 1")
    parser.add_argument("--max-iter", type=count, metavar="N",
                        help="iterations in all, instead of the solver's max_iter")
    parser.add_argument("--data-root", metavar="FOLDER",
                        help="folder that holds the data sets' folders (default: the "
                             "environment's DATA_ROOT, else data/sets)")
    parser.add_argument("--device", type=_device, metavar="cpu|gpu:N",
                        help="default: what the solver's solver_mode says, cpu if nothing")
    parser.add_argument("--output", metavar="FOLDER",
                        help="output folder (default: runs/<solver name>)")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the newest complete snapshot; starts at the beginning "
                             "when there is none yet")
    parser.add_argument("--keep-snapshots", type=count, metavar="N",
                        help="keep the newest N snapshots only (default: all)")
    options = parser.parse_args(arguments)
    options.solver = os.path.abspath(options.solver)
    if options.weights is not None:
        options.weights = [os.path.abspath(name) for entry in options.weights
                           for name in entry.split(",") if name]
    if options.data_root is not None:
        options.data_root = os.path.abspath(options.data_root)
        if not os.path.isdir(options.data_root):
            raise InputError(f"--data-root {options.data_root} is not a folder")
    if options.output is not None:
        options.output = os.path.abspath(options.output)
    return options


def use_data_root(options):
    """Hands --data-root to the data sets, in this process and those it starts."""
    if options.data_root is not None:
        os.environ["DATA_ROOT"] = options.data_root


def _device(text):
    if DEVICE.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text} is neither cpu nor gpu nor gpu:N")
