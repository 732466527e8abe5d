"""Writes every solver of solvers/ from the schedules in models/experiments/.

    tools/caffe_python solvers/build.py            write the prototxts
    tools/caffe_python solvers/build.py --check    only compare; exit code 2 when one differs
"""
from models.experiments import EXPERIMENTS, FILES, NET_OF_STAGE, STAGES
from models.generated import build_command, header

#: Lines of a solver for each policy of models.experiments.fields.Schedule.
POLICIES = {"fixed": ['lr_policy: "fixed"'], "poly": ['lr_policy: "poly"', "power: 0.9"]}


def solver_name(experiment, stage):
    """Name of a stage's solver without folder and ending, "toy_ga"; also of its run's folder."""
    return f"{experiment.trainer(stage).name}_{stage}"


def last_snapshot(experiment, stage, folder=None):
    """Path of a stage's last caffemodel in `folder`; None: the folder that its solver names."""
    name, last = solver_name(experiment, stage), experiment.schedules[stage].max_iter
    return f"{folder or 'runs/' + name}/{name}_iter_{last}.caffemodel"


def initial_weights(experiment, stage):
    """(path or None, command that makes it or None) of the weights that a stage starts from."""
    start = experiment.schedules[stage].start
    if start is None:
        return None, None
    if start not in STAGES:
        return start, "python3 tools/make_vgg_weights.py"
    return last_snapshot(experiment, start), (
        f"python3 tools/train.py --solver solvers/{solver_name(experiment, start)}.prototxt")


def solver_text(name, net, schedule, folder, weights=None, command=None):
    """A solver prototxt, its unusual numbers commented.

    name: of its snapshots.  net: path of the train net.  schedule: a Schedule of
    models/experiments/fields.py.  folder: of the run.  weights: initial caffemodel, or None for the
    net's fillers.  command: the one that makes the caffemodel.
    """
    lines = [f"# {line}" for line in schedule.why] + [f'net: "{net}"']
    if weights:
        lines += [f"# initial weights, made by: {command}"] if command else []
        lines += [f'weights: "{weights}"']
    else:
        lines += ["# initial weights: none, the fillers of the net"]
    lines += [
        f'type: "{schedule.type}"', f"base_lr: {schedule.base_lr:g}", *POLICIES[schedule.policy],
        f"momentum: {schedule.momentum:g}", f"weight_decay: {schedule.weight_decay:g}",
        f"iter_size: {schedule.iter_size}", f"max_iter: {schedule.max_iter}",
        f"display: {schedule.display}", f"average_loss: {schedule.display}",
        f"snapshot: {schedule.snapshot}", f'snapshot_prefix: "{folder}/{name}"', "random_seed: 1"]
    return "\n".join(lines) + "\n"


def stage_solver(experiment, stage):
    """Text of the committed solver of an experiment's stage."""
    name = solver_name(experiment, stage)
    return header("solvers/build.py", FILES[experiment.name]) + solver_text(
        name, f"models/{experiment.name}/{NET_OF_STAGE[stage]}.prototxt",
        experiment.schedules[stage], f"runs/{name}", *initial_weights(experiment, stage))


def generated_files():
    """{path relative to the repository: text} of every solver."""
    return {f"solvers/{solver_name(experiment, stage)}.prototxt": stage_solver(experiment, stage)
            for experiment in EXPERIMENTS.values() for stage in experiment.own_stages}


if __name__ == "__main__":
    build_command(__doc__, generated_files())
