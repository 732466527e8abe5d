"""What is done was made by the solvers, nets and experiments as they are now: a report must not mix
settings."""
import os

from data.errors import InputError
from data.files import ROOT
from data.label_statistics import read_statistics
from tools.lib.categories import statistics_command
from tools.lib.experiment.plan import done
from tools.lib.training import run_folder
from tools.lib.training.record import RECORD
from tools.lib.training.run import parse
from tools.lib.training.solver import resolve, shown


def require_unchanged(tasks):
    """InputError for the first training task whose folder holds a run of another solver or net.

    And for a task whose statistics file is of another data set, split, label space or window. (The
    file does not hold a data set's options, such as a season: its name does.)
    """
    for task in tasks:
        if os.path.basename(task.argv[1]) == "label_stats.py" and done(task):
            _require_same_statistics(task)
        if os.path.basename(task.argv[1]) != "train.py":
            continue
        resolved = _resolved(task.argv[2:])
        if not os.path.exists(os.path.join(resolved.output, RECORD)):
            continue
        differences = run_folder.prototxt_differences(resolved)
        if differences:
            raise InputError(f"{task.name}: {shown(resolved.output)} was trained with other "
                             f"settings:\n{run_folder.first_lines(differences)}",
                             "Undo the difference, or delete the folder and those of the stages "
                             "that start from it.")


def _require_same_statistics(task):
    asked = statistics_command.parse(task.argv[2:])
    found = read_statistics(os.path.join(ROOT, task.result))
    before = found.dataset, found.split, found.label_space, found.window
    now = asked.dataset.partition(":")[0], asked.split, asked.label_space, tuple(asked.window)
    differences = [
        "%s: %s before, %s now" % difference
        for difference in zip(("data set", "split", "label space", "window"), before, now)
        if difference[1] != difference[2]
    ]
    if differences:
        raise InputError(f"{task.result} holds the statistics of other "
                         f"labels:\n{run_folder.first_lines(differences)}",
                         "Delete the file, and the command counts again; or name another in "
                         "models/experiments/.")


def _resolved(arguments):
    here = os.getcwd()
    # the commands run there, and so their paths begin there
    os.chdir(ROOT)
    try:
        return resolve(parse(arguments))
    finally:
        os.chdir(here)
