"""Runs that are done were made by the solvers and nets as they are now: a report must not mix settings."""
import os

from data.errors import InputError
from models.generated import ROOT
from tools.training import options, run_folder
from tools.training.record import NAME
from tools.training.solver import resolve, shown


def require_unchanged(tasks):
    """InputError for the first training task whose folder holds a run of another solver or net."""
    for task in tasks:
        if os.path.basename(task.argv[1]) != "train.py":
            continue
        resolved = _resolved(task.argv[2:])
        if not os.path.exists(os.path.join(resolved.output, NAME)):
            continue
        differences = run_folder.prototxt_differences(resolved)
        if differences:
            raise InputError("%s: %s was trained with other settings:\n%s"
                             % (task.name, shown(resolved.output), run_folder.first_lines(differences)),
                             "Undo the difference, or delete the folder and those of the stages that start from it.")


def _resolved(arguments):
    here = os.getcwd()
    os.chdir(ROOT)                             # the commands run there, and so their paths begin there
    try:
        return resolve(options.parse(arguments))
    finally:
        os.chdir(here)
