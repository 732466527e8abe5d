"""Runs as the report reads them: the files of their folders, and names for their columns."""
import glob
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any, Optional

from caffe.proto import caffe_pb2

from data.errors import InputError
from data.files import ROOT
from models.experiments import EXPERIMENTS, STAGES
from solvers.build import solver_name
from tools.lib.checking.prototxt import read_prototxt
from tools.lib.experiment.report import TITLES
from tools.lib.results import read_results
from tools.lib.training.log import LOG, read_log
from tools.lib.training.record import RECORD, read_record
from tools.lib.training.run_folder import SOLVER
from tools.lib.training.snapshots import read_manifest
from tools.lib.training.solver import from_display_path

#: {name of a committed solver: (experiment, stage)}.
KNOWN = {solver_name(experiment, stage): (experiment.trainer(stage), stage)
         for experiment in EXPERIMENTS.values() for stage in STAGES}


@dataclass
class Run:
    """One run. Runs that differ in their seeds alone are of one `group`, the title of a column."""

    folder: str             # as it was given
    record: dict            # of record.json
    solver: Any             # SolverParameter, as Caffe got it
    log: list               # entries of log.jsonl
    snapshots: list         # [(iteration, path of the caffemodel, its SHA-256)], oldest first
    results: list           # newest record of each (data set, split) of results.read_results
    experiment: Any         # models.experiments.fields.Experiment, or None for another solver
    stage: Optional[str]
    group: str = ""
    name: str = ""          # distinct: the group, and the seed where the group has several runs

    @property
    def seed(self):
        return self.record["seed"]

    @property
    def initial(self):
        """[(path, SHA-256)] of the initial weights."""
        entries = self.record.get("initial_weights")
        return [(from_display_path(entry["file"]), entry.get("sha256"))
                for entry in (entries if isinstance(entries, list) else [])
                if isinstance(entry, dict) and isinstance(entry.get("file"), str)]

    @property
    def iteration(self):
        """The last iteration in the log."""
        return self.log[-1]["iteration"]

    @property
    def finished(self):
        """Whether the run has reached its last iteration, by its snapshots."""
        return bool(self.snapshots) and self.snapshots[-1][0] >= self.solver.max_iter


def read_runs(folders):
    """The Runs of the folders, with groups and names.

    Runs of an experiment come in the order of its stages and seeds, others as they were given.
    Raises InputError for a folder that holds no run or a run that has not logged anything yet, for
    one that is given twice, and for runs that were tested over different classes.
    """
    repeated = [folder for folder, number in Counter(map(os.path.realpath, folders)).items()
                if number > 1]
    if repeated:
        raise InputError(f"{os.path.relpath(repeated[0])} is given twice", "name each run once")
    runs = _ordered([_read_run(folder) for folder in folders])
    _name(runs)
    classes = {tuple(record["classes"]): (run, record) for run in runs for record in run.results}
    if len(classes) > 1:
        kinds = ", ".join(f"{run.folder} has {len(record['classes'])} classes "
                          f"({record['label_space']})" for run, record in classes.values())
        raise InputError(f"the runs were tested in different label spaces: {kinds}",
                         "make a report of each label space: name its runs alone")
    return runs


def groups(runs):
    """{title: runs of that group}, in the order of the runs."""
    found = {}
    for run in runs:
        found.setdefault(run.group, []).append(run)
    return found


def title_of(record):
    """Title of the stage that a record's run trained; None for a solver of another kind."""
    _, stage = KNOWN.get(_solver_stem(record), (None, None))
    return stage and TITLES[stage]


def _read_run(folder):
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder",
                         "name the folder of a run, such as runs/toy_ga")
    record = read_record(folder)
    if record is None:
        raise InputError(f"{folder} is not the folder of a run: it holds no {RECORD}",
                         "name a folder that tools/train.py has written, such as runs/toy_ga")
    path = os.path.join(folder, LOG)
    log = [entry for entry in read_log(path)
           if entry["kind"] != "train" or isinstance(entry.get("values"), dict)]
    if not any(entry["kind"] == "train" for entry in log):
        raise InputError(f"{path} holds no line of training yet",
                         "wait for the run's first line, then give the same command")
    solver = read_prototxt(os.path.join(folder, SOLVER), caffe_pb2.SolverParameter(), "solver")
    snapshots = [(entry["iteration"], os.path.join(folder, entry["model"]["name"]),
                  entry["model"]["sha256"]) for entry in read_manifest(folder)]
    experiment, stage = KNOWN.get(_solver_stem(record), (None, None))
    snapshots = [entry for entry in snapshots if os.path.isfile(entry[1])]
    return Run(folder, record, solver, log, snapshots, _results(folder), experiment, stage)


def _ordered(runs):
    """The runs of one experiment by stage and seed, at the place of its first run."""
    first = {}
    for number, run in enumerate(runs):
        first.setdefault(run.experiment.name if run.experiment else number, number)

    def place(numbered):
        number, run = numbered
        if run.experiment is None:
            return number, 0, 0
        return first[run.experiment.name], STAGES.index(run.stage), run.seed

    return [run for _, run in sorted(enumerate(runs), key=place)]


def _solver_file(record):
    solver = record.get("solver")
    name = solver.get("file") if isinstance(solver, dict) else None
    return name if isinstance(name, str) else ""


def _solver_stem(record):
    """Name of the committed solver that a run was started with; "" for one from elsewhere."""
    path = _solver_file(record)
    inside = os.path.dirname(from_display_path(path)) == os.path.join(ROOT, "solvers")
    return os.path.splitext(os.path.basename(path))[0] if path and inside else ""


def _results(folder):
    """The newest record of each (data set, split) among the run's test*.json."""
    found = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "test*.json")),
                       key=os.path.getmtime):
        for record in read_results(path):
            if _is_of(record, folder):
                found[str(record["dataset"]), str(record["split"])] = record
    return [found[key] for key in sorted(found)]


def _is_of(record, folder):
    """Whether the weights of a result lie in a folder of this name; the folder may have moved."""
    weights = str(record.get("weights") or "")
    return os.path.basename(os.path.dirname(weights)) == os.path.basename(os.path.realpath(folder))


def _name(runs):
    """Sets group and name of every run."""
    several = len({run.experiment.name for run in runs if run.experiment}) > 1
    keys = [(_solver_file(run.record), run.seed) for run in runs]
    for run, key in zip(runs, keys):
        folder = os.path.normpath(run.folder)
        if keys.count(key) > 1 or not any(key):
            run.group = folder
        elif run.experiment:
            run.group = f"{run.experiment.name} " * several + TITLES[run.stage]
        else:
            stem = os.path.splitext(os.path.basename(key[0]))[0]
            # a variant of tuning is told apart by the folder of its solver
            run.group = os.path.basename(os.path.dirname(key[0])) if stem == "solver" else stem
    members = Counter(run.group for run in runs)
    for run in runs:
        run.name = f"{run.group}, seed {run.seed}" if members[run.group] > 1 else run.group
