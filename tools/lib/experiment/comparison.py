"""Stages of several experiments side by side, over seeds: a row an arm.

An arm is a stage of an experiment, such as toy_confusion:ga.  main() is the command
tools/compare_experiments.py.
"""
import os
from typing import NamedTuple

import numpy as np

from data.errors import InputError
from data.files import ROOT, write_whole
from models.experiments import EXPERIMENTS, STAGES
from models.experiments.fields import DOMAIN_STAGES, Experiment
from tools.lib.command import CommandParser, command_line, count
from tools.lib.experiment import plan, report
from tools.lib.outputs import require_file
from tools.lib.tables import Table, render
from tools.lib.training.record import read_record

CONTROL = "control"


class Arm(NamedTuple):
    """A stage of an experiment."""

    experiment: Experiment
    stage: str

    @property
    def name(self):
        """The arm as the command takes it: "toy_confusion:ga"."""
        return f"{self.experiment.name}:{self.stage}"

    @property
    def title(self):
        """The arm in words: "GA, confusion, normalised, 10 classifier steps"."""
        words, loss = [report.TITLES[self.stage]], self.experiment.domain_loss
        if self.stage in DOMAIN_STAGES:
            words += [loss.objective] + ["normalised"] * loss.normalised
            words += [f"{loss.classifier_steps} classifier steps"] * (loss.classifier_steps > 1)
        return ", ".join(words)


def parse(arguments=None):
    """The options of tools/compare_experiments.py."""
    parser = CommandParser(
        prog="python3 tools/compare_experiments.py",
        description="Compares stages of experiments that tools/run_experiment.py has run: mIoU on "
                    "every test set, differences from the control seed by seed, IoU of each class.")
    parser.add_argument("arms", nargs="+", metavar="EXPERIMENT:STAGE",
                        help="rows of the tables, such as toy:control toy_confusion:ga; one of "
                             "them has to be a control")
    parser.add_argument("--seeds", nargs="+", type=count, required=True, metavar="N",
                        help="seeds whose runs are compared")
    parser.add_argument("--output", metavar="FILE.md", help="write the tables to this file too")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Reads the results of every arm and seed, prints the tables, and writes them."""
    options = parse(arguments)
    require_file(options.output, "--output")
    plan.refuse_repeated_seeds(options.seeds)
    arms = [parse_arm(text) for text in options.arms]
    require_comparable(arms)
    require_results(arms, options.seeds)
    text = markdown(arms, options.seeds,
                    command_line("tools/compare_experiments.py", arguments))
    print(text, end="")
    if options.output:
        write_whole(options.output, text)


def parse_arm(text):
    """The Arm of "EXPERIMENT:STAGE"; raises InputError."""
    name, _, stage = text.partition(":")
    if name not in EXPERIMENTS or stage not in STAGES:
        raise InputError(f"{text}: expected EXPERIMENT:STAGE with one of {', '.join(EXPERIMENTS)} "
                         f"and one of {', '.join(STAGES)}")
    return Arm(EXPERIMENTS[name], stage)


def require_comparable(arms):
    """Raises InputError unless every arm comes once, has the same tests, and one is a control."""
    names = [arm.name for arm in arms]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"{repeated[0]} is given twice; expected each row once")
    others = [arm.name for arm in arms if arm.experiment.tests != arms[0].experiment.tests]
    if others:
        raise InputError(f"{others[0]} is tested on other images than {arms[0].name}; expected "
                         "experiments with the same tests")
    if [arm.stage for arm in arms].count(CONTROL) != 1:
        raise InputError("expected one control among the rows: the differences are taken from it",
                         f"add {arms[0].experiment.name}:{CONTROL}")


def require_results(arms, seeds):
    """Raises InputError when the results of an arm are missing, with the command that makes them.
    """
    for arm in arms:
        missing = [seed for seed in seeds for test in arm.experiment.tests if not os.path.exists(
            os.path.join(ROOT, plan.result_file(arm.experiment, arm.stage, seed, *test)))]
        if missing:
            wanted = " ".join(map(str, dict.fromkeys(missing)))
            raise InputError(
                f"{arm.name}: no results of seed {wanted} in runs/",
                f"python3 tools/run_experiment.py {arm.experiment.name} --stages {arm.stage} "
                f"--seeds {wanted}")


def markdown(arms, seeds, command):
    """The page's text: settings, means and differences, every seed, every class."""
    tests = arms[0].experiment.tests
    found = [report.collect_runs([[plan.result_file(arm.experiment, arm.stage, seed, *test)
                                   for seed in seeds] for arm in arms]) for test in tests]
    names = [" ".join(test) for test in tests]
    means = [np.nanmean(ious, axis=2) for _, ious in found]
    control = [arm.stage for arm in arms].index(CONTROL)
    parts = [
        f"# {arms[control].experiment.name}: adaptations compared", "",
        f"Written by `{command}`. Scores of the last iterate of each run in percent, "
        f"{report.over(seeds)}. Differences from the control are taken seed by seed. All arms of a "
        f"seed start from the same source net. {kernels(arms, seeds)}", "",
        render(_settings(arms), "markdown"), "## mIoU", "",
        render(_means(arms, names, means, control), "markdown")]
    for name, values in zip(names, means):
        rows = [[arm.title] + row for arm, row in zip(arms, values.tolist())]
        parts += [f"## mIoU of each seed, {name}", "",
                  render(Table(["mIoU %"] + [f"seed {seed}" for seed in seeds], rows), "markdown")]
    for name, (classes, ious) in zip(names, found):
        rows = [[arm.title] + [report.spread(of_class) for of_class in values.T]
                for arm, values in zip(arms, ious)]
        parts += [f"## IoU of each class, {name}", "",
                  render(Table(["IoU %"] + classes, rows), "markdown")]
    return "\n".join(parts)


def _settings(arms):
    """A row an arm with a domain loss: its fields, the classifier's width and the iterations."""
    rows = []
    for experiment, stage in arms:
        loss, iterations = experiment.domain_loss, experiment.schedules[stage].max_iter
        row = [None] * 5
        if stage in DOMAIN_STAGES:
            row = [f"{loss.weight:g}", f"{loss.classifier_lr:g}",
                   "yes" if loss.normalised else "no", str(loss.classifier_steps),
                   "-".join(map(str, experiment.shape.hidden))]
        rows.append([Arm(experiment, stage).title, f"`{experiment.name}`", str(iterations)] + row)
    return Table(["arm", "experiment", "iterations", "lambda", "lr_mult", "normalised",
                  "classifier steps", "hidden channels"], rows)


def _means(arms, names, means, control):
    """A row an arm: mIoU and its difference from the control, of each test set."""
    header, columns = ["mIoU %"], []
    for name, values in zip(names, means):
        header += [name, "minus control"]
        columns += [values, values - values[control]]
    rows = [[arm.title] + [report.spread(values[index]) for values in columns]
            for index, arm in enumerate(arms)]
    return Table(header, rows)


def kernels(arms, seeds):
    """A sentence on the matrix kernels that trained the arms, from their records."""
    found = set()
    for experiment, stage in arms:
        for seed in seeds:
            record = read_record(os.path.join(ROOT, plan.run_folder(experiment, stage, seed)))
            versions = (record or {}).get("versions") or {}
            found.add(str(versions.get("blas_kernel", "unknown")))
    return f"OpenBLAS kernels: {', '.join(sorted(found))}."
