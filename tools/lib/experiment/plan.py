"""The tasks of an experiment: commands, what each needs first, and the file that it leaves."""
import os
import sys
from typing import NamedTuple, Optional

from data.errors import InputError
from data.files import ROOT
from models.cost import parameters, snapshot_bytes, train_layers, training_bytes
from models.experiments import STAGES
from models.experiments.fields import CONSTRAINED, Schedule
from solvers.build import initial_weights, last_snapshot, solver_name
from tools.lib.runtime import source_builds

#: Snapshots that a run keeps: the last, and the one before it in case the last is damaged.
KEPT = 2


class Task(NamedTuple):
    """A command of the plan; it is done when its result exists."""

    name: str                       # unique: "ga seed 2"
    argv: list                      # the command
    needs: tuple                    # names of the tasks that come first
    result: str                     # the file that it leaves, relative to the repository
    about: str                      # words for the plan
    stage: Optional[str] = None     # the stage that it trains
    schedule: Optional[Schedule] = None     # of that stage
    computes: bool = False          # whether it runs a net, and so takes --device


def refuse_repeated_seeds(seeds):
    """Raises InputError when a seed is given twice: two commands would write into one folder."""
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise InputError(
            f"--seeds {' '.join(map(str, seeds))}: {', '.join(map(str, repeated))} given twice; "
            "expected each seed once",
            f"--seeds {' '.join(map(str, dict.fromkeys(seeds)))}")


def run_folder(experiment, stage, seed):
    """Output folder of a stage, relative to the repository; for seed 1 the one its solver names."""
    name = solver_name(experiment, stage)
    return os.path.join("runs", name if seed == 1 else f"{name}_seed{seed}")


def last_weights(experiment, stage, seed):
    """Path of the stage's last caffemodel."""
    return last_snapshot(experiment, stage, run_folder(experiment, stage, seed))


def split_words(dataset, split):
    """A data set and its split as a part of a file's name: "gta5_half_train_48__"."""
    return "".join(c if c.isalnum() else "_" for c in f"{dataset}_{split}")


def result_file(experiment, stage, seed, dataset, split):
    """Path of the JSON file in which tools/test.py leaves a stage's IoUs on one test set."""
    words = split_words(dataset, split)
    return os.path.join(run_folder(experiment, stage, seed), f"test_{words}.json")


def ordered_stages(experiment, wanted):
    """The `wanted` stages in order, each after the stages that it starts from."""
    needed = set()
    for stage in wanted:
        while stage in STAGES:
            needed.add(stage)
            stage = experiment.schedules[stage].start
    return [stage for stage in STAGES if stage in needed]


def command_of(name, *arguments):
    """argv of the project's command tools/NAME, in the Python that runs now."""
    return [sys.executable, os.path.join(ROOT, "tools", name)] + list(arguments)


def preparation(experiment, stages, data_root=None):
    """The Tasks before the stages: initial weights, and label statistics where a stage needs them.
    """
    tasks = []
    if experiment.initial_weights:
        tasks.append(Task("initial weights", command_of("make_vgg_weights.py"), (),
                          experiment.initial_weights, "ImageNet VGG-16, 64 MB to fetch"))
    if not set(stages) & set(CONSTRAINED):
        return tasks
    source, statistics = experiment.source, experiment.category_loss.statistics
    # The net sees crops, so class sizes are counted in windows that have a crop's size once the
    # source is resized.
    window = [f"{round(side / source.resize)}" for side in experiment.crop]
    argv = command_of("label_stats.py", "--dataset", source.argument, "--split", source.split,
                      "--label-space", experiment.label_space, "--window", *window, "--output",
                      statistics, *root_option(data_root))
    tasks.append(Task("statistics", argv, (), statistics, "label statistics of the source, P_LS"))
    return tasks


def _training(experiment, stage, seed, data_root):
    folder = run_folder(experiment, stage, seed)
    schedule = experiment.schedules[stage]
    arguments = ["--solver", f"solvers/{solver_name(experiment, stage)}.prototxt",
                 "--seed", str(seed), "--output", folder, "--keep-snapshots", str(KEPT), *data_root]
    needs = ["statistics"] if stage in CONSTRAINED else []
    if schedule.start in STAGES:
        arguments += ["--weights", last_weights(experiment, schedule.start, seed)]
        needs.append(f"{schedule.start} seed {seed}")
    elif initial_weights(experiment, stage)[0]:
        needs.append("initial weights")
    if os.path.exists(os.path.join(ROOT, folder, "record.json")):
        arguments.append("--resume")
    return Task(f"{stage} seed {seed}", command_of("train.py", *arguments), tuple(needs),
                last_weights(experiment, stage, seed), f"{schedule.max_iter} iterations", stage,
                schedule, computes=True)


def with_training_options(tasks, options):
    """The tasks, with the list of options at the end of every command that trains."""
    return [task._replace(argv=task.argv + options) if task.stage else task for task in tasks]


def prediction_options(experiment, dataset, split):
    """Options of tools/test.py and tools/figure.py for a split; images are as large as in training.
    """
    source, target = experiment.source, experiment.target
    resize = source.resize if dataset == source.argument else target.resize
    return ["--model", f"models/{experiment.name}/deploy.prototxt", "--dataset", dataset,
            "--split", split, "--label-space", experiment.label_space, "--resize", f"{resize:g}"]


def scoring(experiment, name, weights, dataset, split, result, needs, data_root=None):
    """The Task that scores a caffemodel on a split and leaves the IoUs in the file `result`.

    needs: name of the task that makes the caffemodel.
    """
    argv = command_of("test.py", *prediction_options(experiment, dataset, split), "--weights",
                      weights, "--json", result, *root_option(data_root))
    return Task(name, argv, (needs,), result, "IoU", computes=True)


def root_option(data_root):
    """--data-root for a command, where a folder is given."""
    return ["--data-root", data_root] if data_root else []


def tasks(experiment, stages=STAGES, seeds=(1,), data_root=None):
    """Every Task of an experiment, each after those that it needs.

    experiment: models.experiments.fields.Experiment.  data_root: folder of the data sets, or None.
    """
    stages = ordered_stages(experiment, stages)
    planned = preparation(experiment, stages, data_root)
    for seed in seeds:
        for stage in stages:
            planned.append(_training(experiment, stage, seed, root_option(data_root)))
            weights = last_weights(experiment, stage, seed)
            planned += [scoring(experiment, f"test {stage} seed {seed} on {dataset} {split}",
                                weights, dataset, split,
                                result_file(experiment, stage, seed, dataset, split),
                                f"{stage} seed {seed}", data_root)
                        for dataset, split in experiment.tests]
    return planned


def is_done(task):
    """Whether the task's result is there."""
    return os.path.exists(os.path.join(ROOT, task.result))


def describe(experiment, planned, jobs):
    """The plan in words, with the disk and the memory that it needs.

    jobs: commands that run at a time.
    """
    todo = [task for task in planned if not is_done(task)]
    kinds = [experiment.schedules[task.stage].type for task in todo if task.stage is not None]
    disk = KEPT * sum(snapshot_bytes(parameters(experiment.shape, experiment.classes), kind)
                      for kind in kinds)
    layers = train_layers(experiment.shape, experiment.classes, experiment.crop, experiment.batch,
                          experiment.domain_loss.normalised)
    memory = jobs * training_bytes(layers, experiment.schedules["ga_ca"].type,
                                   source_builds.has_patch(source_builds.ONE_COLUMN_BUFFER))
    lines = [f"{experiment.name}: {len(planned)} tasks, {len(planned) - len(todo)} done"]
    width = max(len(task.name) for task in planned)
    lines += [f"  {'done' if is_done(task) else '':4} {task.name:{width}}  {task.about}"
              for task in planned]
    lines.append(f"needs about {disk / 1e9:.2g} GB of disk and {memory / 1e9:.2g} GB of memory "
                 f"({jobs} at a time)")
    return "\n".join(lines)
