"""The options by which a command chooses a data set and the number of processes that read it."""
from data.registry import names
from tools.lib.command import count


def add_dataset_arguments(parser):
    """Adds the options that choose a data set, apart from its split."""
    parser.add_argument("--dataset", required=True, help=f"one of {', '.join(names())}")
    parser.add_argument("--data-root",
                        help="folder that holds the data sets' folders (default: DATA_ROOT, "
                             "data/sets)")
    parser.add_argument("--label-space",
                        help="classes to map the labels to, where the data set offers several")


def add_data_arguments(parser):
    """Adds the options that choose one split of a data set."""
    add_dataset_arguments(parser)
    parser.add_argument("--split", required=True, help='such as val or "train[54:]"')


def add_workers_argument(parser, default=None):
    """Adds --workers: a count, by default one process for each usable core (None)."""
    parser.add_argument("--workers", type=count, default=default, metavar="N",
                        help=f"processes (default: {default or 'one a core'})")
