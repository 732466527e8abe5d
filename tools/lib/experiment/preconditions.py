"""Checks before the first stage: the data is there, and earlier results have the same settings.

A missing data set would otherwise end the experiment after days of training, and a report would mix
runs of different settings.
"""
import os

from data.errors import InputError
from data.files import ROOT
from data.label_statistics import read_statistics
from data.registry import open_dataset
from models.experiments.fields import ADAPTED
from tools.lib.categories import statistics_command
from tools.lib.experiment.placement import PRECISION, recorded_options
from tools.lib.experiment.plan import is_done
from tools.lib.training import run_folder
from tools.lib.training.record import RECORD
from tools.lib.training.run import parse
from tools.lib.training.solver import display_path, resolve


def needed_data(experiment, stages):
    """[(data set, split, labelled)] that these stages and their tests read, in order, each once."""
    needed = [(experiment.source.argument, experiment.source.split, True)]
    if set(stages) & set(ADAPTED):
        needed.append((experiment.target.argument, experiment.target.split, False))
    needed += [(dataset, split, True) for dataset, split in experiment.tests]
    return list(dict.fromkeys(needed))


def missing_data(experiment, stages, data_root=None):
    """A sentence for each data set that cannot be listed, or whose first frame's files are missing.

    No file is decoded, and no label of the target is looked for.
    """
    sentences = []
    for dataset, split, labelled in needed_data(experiment, stages):
        try:
            data = open_dataset(dataset, data_root, experiment.label_space if labelled else None)
            data.check(data.frames(split)[0], labelled)
        except InputError as problem:
            sentences.append(f"{dataset}, split {split}: {problem.what}")
    return sentences


def require_data(missing):
    """Raises InputError when missing_data() found any."""
    if missing:
        raise InputError(
            "data that this experiment reads is missing:\n    " + "\n    ".join(missing),
            "docs/datasets.md says where to get each data set and where it goes below --data-root")


def require_unchanged(tasks):
    """Raises InputError for the first task whose results on disk come from other settings.

    A run must have been trained with the present solver and nets.  A statistics file must be of the
    data set, split, label space and window that the experiment names; it does not hold a data set's
    options, such as a season, which its file name holds.
    """
    for task in tasks:
        _require_unchanged(task)


def changes(tasks):
    """A sentence for each task that require_unchanged() would refuse."""
    sentences = []
    for task in tasks:
        try:
            _require_unchanged(task)
        except InputError as problem:
            sentences.append(problem.what)
    return sentences


def _require_unchanged(task):
    command = os.path.basename(task.argv[1])
    if command == "label_stats.py" and is_done(task):
        _require_same_statistics(task)
    elif command == "train.py":
        _require_same_prototxts(task)
    require_precision([task])


def _require_same_statistics(task):
    asked = statistics_command.parse(task.argv[2:])
    found = read_statistics(os.path.join(ROOT, task.result))
    values = {
        "data set": (found.dataset, asked.dataset.partition(":")[0]),
        "split": (found.split, asked.split),
        "label space": (found.label_space, asked.label_space),
        "window": (found.window, tuple(asked.window))}
    differences = [f"{name}: {before} before, {now} now"
                   for name, (before, now) in values.items() if before != now]
    if differences:
        raise InputError(f"{task.result} holds the statistics of other labels:\n"
                         f"{run_folder.first_lines(differences)}",
                         "Delete the file, and the command counts again; or name another in "
                         "models/experiments/.")


def _require_same_prototxts(task):
    resolved = _resolved(task.argv[2:])
    if not os.path.exists(os.path.join(resolved.output, RECORD)):
        return
    differences = run_folder.prototxt_differences(resolved)
    if differences:
        raise InputError(f"{task.name}: {display_path(resolved.output)} was trained with other "
                         "settings:\n"
                         f"{run_folder.first_lines(differences)}",
                         "Undo the difference, or delete the folder and those of the stages that "
                         "start from it.")


def require_precision(tasks):
    """Raises InputError for the first run that was trained in another precision than is asked."""
    for task in tasks:
        now, before = "--tf32" in task.argv, recorded_options(task).get("tf32")
        if before is not None and before != now:
            raise InputError(
                f"{task.name}: its run was trained in {PRECISION[before]}, and {PRECISION[now]} is "
                "asked for now",
                "Give --tf32 where it was given before, or delete the folder and those of the "
                "stages that start from it.")


def _resolved(arguments):
    """The resolved solver of a train.py command, whose paths start at the repository."""
    here = os.getcwd()
    os.chdir(ROOT)
    try:
        return resolve(parse(arguments))
    finally:
        os.chdir(here)
