"""Writes every solver of solvers/ from the schedules below.

    tools/caffe_python solvers/build.py            write the prototxts
    tools/caffe_python solvers/build.py --check    only compare; exit code 2 when one differs
"""
import argparse
from collections import namedtuple

from models.experiments import EXPERIMENTS, NET_OF_STAGE
from models.generated import write_or_compare
from models.shapes import FULL, SLIM, SMALL

HEADER = "# Written by solvers/build.py: change that, then build again.\n"

# One stage's schedule.  `why`: comment lines for the unusual numbers, with their source.
# `type`: the solver's.
# `start`: the stage whose last snapshot it starts from, or a file, or None (random).
Schedule = namedtuple("Schedule", "base_lr policy momentum weight_decay iter_size max_iter "
                                  "display snapshot start type why")

FIXED = "lr_policy: \"fixed\"\n"
SGD, ADAM = "SGD", "Adam"
POLY = "lr_policy: \"poly\"\npower: 0.9\n"


def _toy():
    source = Schedule(0.003, POLY, 0.9, 5e-4, 1, 1500, 20, 500, None, ADAM,
                      ("Adam: under SGD so narrow and deep a net hardly wakes from random weights",
                       "in so few iterations. The rate falls to nothing."))
    adapt = source._replace(
        base_lr=2.5e-4, max_iter=600, snapshot=300, start="source",
        why=("A twelfth of the source stage's rate: the features shall move, not be learnt anew. "
             "It falls",
             "to nothing, or chance decides which iterate is the last "
             "(docs/results/toy_tuning/policy.md)."))
    # GA + CA from the source stage too: every row has had the same number of iterations.
    return dict(source=source, control=adapt, ga=adapt, ca=adapt, ga_ca=adapt)


def _small():
    source = Schedule(1e-3, POLY, 0.9, 5e-4, 1, 2000, 10, 500,
                      "models/vgg_conv.caffemodel", SGD,
                      ("1e-3 and momentum 0.9 instead of Yu and Koltun's 1e-4 and 0.99 (the same",
                       "step in the long run): one image a batch and few iterations."))
    adapt = source._replace(
        base_lr=2e-4, max_iter=600, snapshot=300, start="source",
        why=("A fifth of the source stage's rate, falling to nothing as in the toy.",))
    # GA + CA from the source stage too: every row has had the same number of iterations.
    return dict(source=source, control=adapt, ga=adapt, ca=adapt, ga_ca=adapt)


def _sample():
    """The chain of _small in a few minutes: that it runs is the point."""
    return {stage: schedule._replace(max_iter=150 if stage == "source" else 10, snapshot=75)
            for stage, schedule in _small().items()}


def _full():
    source = Schedule(1e-4, FIXED, 0.99, 5e-4, 8, 40000, 20, 2000,
                      "models/vgg_conv.caffemodel", SGD,
                      ("Yu and Koltun's front-end settings: crops of 628, batch 8 (here 8 times 1",
                       "image: iter_size), rate 1e-4, momentum 0.99, 40K iterations."))
    adapt = source._replace(
        base_lr=1e-5, max_iter=10000, snapshot=1000, start="source",
        why=("Rate and momentum of CyCADA's adversarial stage (same first author); the paper",
             "gives none. The number of iterations is ours."))
    return dict(source=source, control=adapt, ga=adapt, ca=adapt,
                ga_ca=adapt._replace(start="ga"))


# An experiment has the schedules of its shape, unless its name stands here.
SCHEDULES = {"gta_cityscapes_sample": _sample()}
OF_SHAPE = {SLIM: _toy(), SMALL: _small(), FULL: _full()}


def solver_name(experiment, stage):
    """Name of a solver without folder and ending, "toy_ga"; also of its run's folder."""
    return f"{experiment}_{stage}"


def last_snapshot(experiment, stage):
    """Path of a stage's last caffemodel in the default output folder."""
    name = solver_name(experiment, stage)
    return f"runs/{name}/{name}_iter_{schedules(experiment)[stage].max_iter}.caffemodel"


def schedules(experiment):
    """{stage: Schedule} of the experiment of that name."""
    return SCHEDULES.get(experiment) or OF_SHAPE[EXPERIMENTS[experiment].shape]


def initial_weights(experiment, stage):
    """(path or None, command that makes it or None) of a stage."""
    start = schedules(experiment)[stage].start
    if start is None:
        return None, None
    if start.endswith(".caffemodel"):
        return start, "python3 tools/make_vgg_weights.py"
    return last_snapshot(experiment, start), (
        f"python3 tools/train.py --solver solvers/{solver_name(experiment, start)}.prototxt")


def solver_text(name, net, schedule, prefix, weights=None, command=None):
    """A solver prototxt, its unusual numbers commented.

    name: the solver's, for its snapshots.  net: path of the train net.  prefix: folder of the run.
    weights: initial caffemodel or None (the net's fillers); command: what makes it.
    """
    lines = ["# " + line for line in schedule.why]
    lines += ['net: "%s"' % net]
    if weights:
        lines += ["# initial weights, made by: " + command] if command else []
        lines += ['weights: "%s"' % weights]
    else:
        lines += ["# initial weights: none, the fillers of the net"]
    lines += [
        'type: "%s"' % schedule.type, f"base_lr: {schedule.base_lr:g}",
        schedule.policy.rstrip(), f"momentum: {schedule.momentum:g}",
        f"weight_decay: {schedule.weight_decay:g}", f"iter_size: {schedule.iter_size}",
        f"max_iter: {schedule.max_iter}", f"display: {schedule.display}",
        f"average_loss: {schedule.display}", f"snapshot: {schedule.snapshot}",
        'snapshot_prefix: "%s/%s"' % (prefix, name), "random_seed: 1"
    ]
    return "\n".join(lines) + "\n"


def stage_solver(experiment, stage):
    """Text of the solver of an experiment's stage."""
    name = solver_name(experiment, stage)
    weights, command = initial_weights(experiment, stage)
    return HEADER + solver_text(name, f"models/{experiment}/{NET_OF_STAGE[stage]}.prototxt",
                       schedules(experiment)[stage], "runs/" + name, weights, command)


def generated_files():
    """{path relative to the repository: text} of every solver."""
    return {f"solvers/{solver_name(experiment, stage)}.prototxt": stage_solver(experiment, stage)
            for experiment in EXPERIMENTS for stage in schedules(experiment)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    write_or_compare(generated_files(), parser.parse_args().check)
