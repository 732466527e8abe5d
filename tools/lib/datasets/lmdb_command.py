"""The command line of tools/make_lmdb.py: packs a split into LMDB."""
import os

from data.lmdb_writer import pack
from data.progress import progress_bar
from data.registry import open_dataset
from tools.lib.command import CommandParser
from tools.lib.dataset_options import add_data_arguments, add_workers_argument
from tools.lib.outputs import require_folder


def parse(arguments=None):
    """The options of tools/make_lmdb.py."""
    parser = CommandParser(prog="python3 tools/make_lmdb.py",
                           description="Packs a split of a data set into LMDB.")
    add_data_arguments(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER",
                        help="folder to make, or to continue")
    parser.add_argument("--images-only", action="store_true", help="pack no labels, for a target")
    add_workers_argument(parser)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Packs the split, compares every frame with its original, and prints the folder's size."""
    args = parse(arguments)
    require_folder(args.output, "--output")
    data = open_dataset(args.dataset, args.data_root, args.label_space)
    meta = pack(data, args.dataset, args.split, args.output, not args.images_only, args.workers,
                lambda items, what, total: progress_bar(items, what, total, unit="image"))
    size = sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, files in os.walk(args.output) for name in files)
    labels = f" with labels of {meta.space.name}" if meta.labelled else ", images only"
    print(f"{args.output}: {len(meta.names)} frames{labels}, {size / 1e6:.1f} MB, verified")
