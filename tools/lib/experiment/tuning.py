"""Variants of one stage of an experiment: their nets and solvers, their tasks, and the table.

A variant is the experiment with some fields of its losses or of the stage's schedule changed.  Its
files are written below runs/tuning/; no committed file changes.

On the toy the target's labels judge a variant.  On real images no target label is opened: the table
shows the probes of the training (docs/watching_adaptation.md) and the IoU on the source.
"""
import itertools
import os
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np

from data.errors import InputError
from data.files import ROOT, write_whole
from layers.category_targets import BOUNDS
from models.build import nets
from models.experiments import NET_OF_STAGE
from models.experiments.fields import CONSTRAINED, Experiment, Schedule
from models.generated import prototxt
from solvers.build import POLICIES, solver_text
from tools.lib.experiment import plan
from tools.lib.experiment.report import spread
from tools.lib.experiment.strength import PROBES, medians
from tools.lib.results import read_results
from tools.lib.tables import Table

NUMBERS = ("weight", "classifier_lr", "classifier_steps", "mil_weight", "slack", "down_weight",
           "presence_factor", "base_lr", "max_iter")
POSITIVE = ("base_lr", "max_iter", "classifier_steps")
WHOLE = ("max_iter", "classifier_steps")
#: The field for the channels of the domain classifier's hidden layers: "64-32".
HIDDEN = "hidden"
TEXTS = {"objective": ("confusion", "reversal", "inverse"), "normalised": ("off", "on"),
         "bounds": BOUNDS, "start": ("source", "ga"), "policy": tuple(POLICIES)}


class Variant(NamedTuple):
    """One setting of a stage to try."""

    label: str              # "ga_ca mil_weight=0.1 start=ga"
    folder: str             # of its files, relative to the repository
    stage: str
    experiment: Experiment  # with the losses to try
    schedule: Schedule      # of the stage, as it is tried


def parse_axis(text):
    """(field, values) of "field=value,value"; raises InputError."""
    field, _, values = text.partition("=")
    if field not in (*NUMBERS, *TEXTS, HIDDEN) or not values:
        raise InputError(f"--vary {text}: expected FIELD=VALUE,VALUE with a field of "
                         f"{', '.join((*NUMBERS, *TEXTS, HIDDEN))}")
    return field, [_value(field, value) for value in values.split(",")]


def _value(field, text):
    if field in TEXTS:
        if text not in TEXTS[field]:
            raise InputError(f"--vary {field}: found {text!r}, expected one of "
                             f"{', '.join(TEXTS[field])}")
        return text
    if field == HIDDEN:
        if not all(part.isascii() and part.isdigit() and int(part) for part in text.split("-")):
            raise InputError(f"--vary {field}: found {text!r}, expected numbers of channels, for "
                             "example 64-32")
        return text
    try:
        value = int(text) if field in WHOLE else float(text)
        if not (0 < value if field in POSITIVE else 0 <= value) or value == float("inf"):
            raise ValueError
    except ValueError:
        kind = "whole number" if field in WHOLE else "number"
        least = "above 0" if field in POSITIVE else "from 0 on"
        raise InputError(f"--vary {field}: found {text!r}, expected a {kind} {least}") from None
    return value


def variants(experiment, stage, axes):
    """Every Variant of the stage: all combinations of `axes`, [(field, values)] from parse_axis.

    Raises InputError when two are the same: they would share a folder.
    """
    made = []
    for values in itertools.product(*(values for _, values in axes)):
        changes = dict(zip((field for field, _ in axes), values))
        words = [stage] + [f"{field}={value if isinstance(value, str) else format(value, 'g')}"
                           for field, value in changes.items()]
        shape = experiment.shape
        if HIDDEN in changes:
            shape = shape._replace(hidden=tuple(map(int, changes[HIDDEN].split("-"))))
        made.append(Variant(
            " ".join(words), os.path.join("runs", "tuning", experiment.name, "_".join(words)),
            stage,
            replace(experiment, shape=shape,
                    domain_loss=_changed(experiment.domain_loss, changes),
                    category_loss=_changed(experiment.category_loss, changes)),
            _changed(experiment.schedules[stage], changes)))
    labels = [variant.label for variant in made]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"--vary: {label!r} comes twice; expected each field and each value "
                             "once")
    return made


def _changed(part, changes):
    """A loss or a schedule with those of `changes` ({field: value}) that are fields of it."""
    names = {field.name for field in fields(part)}
    return replace(part, **{key: value == "on" if key == "normalised" else value
                            for key, value in changes.items() if key in names})


def write_prototxts(variant):
    """Writes net.prototxt, deploy.prototxt and solver.prototxt of a variant into its folder.

    With the deploy net, training draws its filmstrip.
    """
    folder = os.path.join(ROOT, variant.folder)
    net = f"{variant.folder}/net.prototxt"
    built = nets(variant.experiment)
    write_whole(os.path.join(ROOT, net), prototxt(built[NET_OF_STAGE[variant.stage] + ".prototxt"]))
    write_whole(os.path.join(folder, "deploy.prototxt"), prototxt(built["deploy.prototxt"]))
    weights = plan.last_weights(variant.experiment, variant.schedule.start, 1)
    write_whole(os.path.join(folder, "solver.prototxt"),
                solver_text(variant.stage, net, variant.schedule, variant.folder, weights))


def judges_by_target(experiment):
    """Whether the target's labels may judge a variant: only those of the toy, which are drawn."""
    return experiment.target.dataset == "toy"


def _judging_set(experiment):
    """(data set, split) whose labels judge a variant: the target's of the toy, else the source's.
    """
    return experiment.tests[-1 if judges_by_target(experiment) else 0]


def _result(variant, seed):
    return os.path.join(variant.folder, f"seed{seed}", "test.json")


def tasks(experiment, made, seeds, start_seed=None, data_root=None):
    """The Tasks of all variants, after those of the stages that they start from.

    start_seed: all seeds start from this seed's run; None: each from its own.
    """
    starts = sorted({variant.schedule.start for variant in made})
    start_seeds = seeds if start_seed is None else [start_seed]
    results = [] if judges_by_target(experiment) else [
        before(experiment, start, seed) for start in starts for seed in start_seeds]
    planned = plan.preparation(experiment, [variant.stage for variant in made], data_root)
    planned += [task for task in plan.tasks(experiment, starts, start_seeds, data_root)
                if task.stage is not None or task.result in results]
    for seed, variant in itertools.product(seeds, made):
        folder = os.path.join(variant.folder, f"seed{seed}")
        weights = os.path.join(folder,
                               f"{variant.stage}_iter_{variant.schedule.max_iter}.caffemodel")
        name = f"{variant.label}, seed {seed}"
        resume = ["--resume"] if os.path.exists(os.path.join(ROOT, folder, "record.json")) else []
        start = variant.schedule.start
        from_seed = seed if start_seed is None else start_seed
        argv = plan.command_of("train.py", "--solver",
                               os.path.join(variant.folder, "solver.prototxt"),
                               "--seed", str(seed), "--output", folder,
                               "--weights", plan.last_weights(experiment, start, from_seed),
                               *plan.root_option(data_root), *resume)
        needs = (f"{start} seed {from_seed}",)
        if variant.stage in CONSTRAINED:
            needs += ("statistics",)
        planned.append(plan.Task(name, argv, needs, weights,
                                 f"{variant.schedule.max_iter} iterations", variant.stage,
                                 variant.schedule, computes=True))
        planned.append(plan.scoring(experiment, "test " + name, weights,
                                    *_judging_set(experiment), _result(variant, seed), name,
                                    data_root))
    return planned


def _mean_iou(path):
    """mIoU in percent of a result file."""
    return 100 * np.nanmean(np.array(read_results(os.path.join(ROOT, path))[0]["iou"], float))


def before(experiment, stage, seed):
    """Result file, on the source, of the net that variants start from."""
    return plan.result_file(experiment, stage, seed, *_judging_set(experiment))


def label_free_table(made, seeds, start_result):
    """A row a variant and seed: mIoU on the source, and strength.medians() of its run.

    start_result: before() of the first row.
    """
    rows = [["before", f"{_mean_iou(start_result):.1f}"] + [""] * len(PROBES)]
    for variant, seed in itertools.product(made, seeds):
        found = medians(os.path.join(ROOT, variant.folder, f"seed{seed}"))
        rows.append([f"{variant.label}, seed {seed}", f"{_mean_iou(_result(variant, seed)):.1f}"]
                    + ["" if np.isnan(value) else f"{value:.2f}" for value in found])
    return Table(["", "source mIoU %"] + list(PROBES.values()), rows)


def table(made, seeds):
    """A row a variant: mIoU in percent of each seed, then mean ± deviation.

    The mIoU is that of the experiment's last test set.
    """
    means = [[_mean_iou(_result(variant, seed)) for seed in seeds] for variant in made]
    rows = [[variant.label] + [f"{value:.1f}" for value in row] + [spread(row)]
            for variant, row in zip(made, means)]
    return Table(["mIoU %"] + [f"seed {seed}" for seed in seeds] + ["mean"], rows)
