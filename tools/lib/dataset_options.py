"""The options by which a command chooses data: set, split, classes, and processes to read it."""
import os

from data.errors import InputError
from data.label_spaces import SPACES
from data.records.folder import CLASSES_FILE, read_classes
from data.registry import names
from tools.lib.command import count


def add_dataset_arguments(parser):
    """Adds the options that choose a data set, apart from its split."""
    parser.add_argument("--dataset", required=True, help=f"one of {', '.join(names())}")
    add_data_root_argument(parser)
    parser.add_argument("--label-space",
                        help="classes to map the labels to, where the data set offers several")


def add_data_root_argument(parser):
    """Adds --data-root."""
    parser.add_argument("--data-root", metavar="FOLDER",
                        help="folder that holds the data sets' folders (default: the "
                             "environment's DATA_ROOT, else data/sets)")


def add_data_arguments(parser):
    """Adds the options that choose one split of a data set."""
    add_dataset_arguments(parser)
    parser.add_argument("--split", required=True, help='such as val or "train[54:]"')


def add_workers_argument(parser, default=None):
    """Adds --workers: a count, by default one process for each usable core (None)."""
    parser.add_argument("--workers", type=count, default=default, metavar="N",
                        help=f"processes (default: {default or 'one a core'})")


def find_label_space(text):
    """The LabelSpace that --label-space names.

    text: a built-in name, or the path of a class table or of the `folder` data set around it.
    Raises InputError for neither.
    """
    if text in SPACES:
        return SPACES[text]
    if not os.path.exists(text):
        raise InputError(
            f"--label-space {text}: expected one of {', '.join(sorted(SPACES))}, or "
            f"the path of a folder data set or of its {CLASSES_FILE}",
            "data/README.md has the format of a class table")
    return read_classes(os.path.join(text, CLASSES_FILE) if os.path.isdir(text) else text)[0]
