"""How long the training of a plan takes: from logs of its runs, else from passes measured once.

Scoring is not counted.
"""
import os

import numpy as np

from data.files import ROOT
from models.experiments.fields import ADAPTED
from models.shapes import FULL
from tools.lib.experiment.placement import PRECISION, recorded_options
from tools.lib.experiment.plan import is_done
from tools.lib.training.log import LOG, iteration_seconds, read_log

#: Milliseconds of a pass on one H200 in TF32, forward and backward, at full width: 1 image of the
#: source, or 1 + 1 images of 628 x 628 (docs/results/gpu.md).  CA is assumed as slow as GA + CA.
H200_PASS = dict(source=16, control=16, ga=33, ca=40, ga_ca=40)
#: Time in float32 / time in TF32, of the GA + CA pass measured there.
FLOAT32_FACTOR = 93.4 / 39.5
#: Crop and batch of those passes.
MEASURED = ((256, 256), 1)


def describe(experiment, tasks, placement):
    """The devices of the plan in words, and the hours of training that are left on them."""
    where = "on the CPU"
    if placement.on_gpu:
        where = f"on {', '.join(placement.devices)} in {PRECISION[placement.tf32]}"
    left, sources, unknown = {}, [], []
    for task in tasks:
        if task.stage is None or is_done(task):
            continue
        seconds, source = seconds_an_iteration(experiment, tasks, task, placement)
        if seconds is None:
            unknown.append(task.stage)
            continue
        left[task.name] = seconds * iterations_left(task) / 3600
        sources.append(source)
    if unknown:
        stages = ", ".join(dict.fromkeys(unknown))
        return (f"{where}; hours of training not known for {stages}: no log of this or an earlier "
                "stage there to take the rate from")
    if not left:
        return f"{where}; nothing left to train"
    return (f"{where}; about {duration(tasks, left, placement.jobs):.2g} hours of training left, "
            f"by {' and '.join(dict.fromkeys(sources))}")


def whole(experiment, tasks, placement):
    """(hours, their sources in words) of training all stages of the tasks from their beginning.

    None where the time of a stage is not known.
    """
    total, sources = 0.0, []
    for task in tasks:
        if task.stage is not None:
            seconds, source = seconds_an_iteration(experiment, tasks, task, placement)
            if seconds is None:
                return None
            total += seconds * task.schedule.max_iter / 3600
            sources.append(source)
    return total, " and ".join(dict.fromkeys(sources))


def seconds_an_iteration(experiment, tasks, task, placement):
    """(seconds, where they come from in words) of a training task; (None, "") if nothing is known.

    A log counts when its run computed on the same kind of device in the same precision: the task's
    own, else another seed's of the stage, else an earlier stage's times the number of images.
    """
    before = [other for other in tasks[:tasks.index(task)] if other.stage is not None]
    same = [other for other in tasks if other.stage == task.stage and other != task]
    for other in [task, *same, *reversed(before)]:
        seconds = _logged(other, placement)
        if seconds is not None:
            factor = images(experiment, task) / images(experiment, other)
            return seconds * factor, f"the log of {other.name}"
    if (placement.on_gpu and experiment.shape == FULL
            and (experiment.crop, experiment.batch) == MEASURED):
        factor = 1 if placement.tf32 else FLOAT32_FACTOR
        return (factor * task.schedule.iter_size * H200_PASS[task.stage] / 1000,
                "passes as measured once on an H200, which is assumed (docs/results/gpu.md)")
    return None, ""


def images(experiment, task):
    """Images of an iteration of a training task, of both domains."""
    domains = 2 if task.stage in ADAPTED else 1
    return domains * experiment.batch * task.schedule.iter_size


def iterations_left(task):
    """Iterations that a training task has still to take by its log."""
    taken = [entry["iteration"] for entry in read_log(_log(task))]
    return max(0, task.schedule.max_iter - max(taken, default=0))


def duration(tasks, left, jobs):
    """Time of the tasks in `left` ({name: time}), `jobs` at a time, each after those it needs.

    Tasks of the plan that are not in `left` take no time.
    """
    ends, free = {}, [0.0] * jobs
    for task in tasks:
        start = max((ends[name] for name in task.needs), default=0.0)
        ends[task.name] = start
        if task.name in left:
            free.sort()
            ends[task.name] = free[0] = max(start, free[0]) + left[task.name]
    return max(ends.values())


def _logged(task, placement):
    """Median seconds an iteration of the task's log; None where it is of another setting."""
    options = recorded_options(task)
    on_gpu = (options.get("device") or "cpu") != "cpu"
    if (on_gpu, bool(options.get("tf32"))) != (placement.on_gpu, placement.tf32):
        return None
    found = iteration_seconds(_log(task))
    return float(np.median(found)) if found else None


def _log(task):
    return os.path.join(ROOT, os.path.dirname(task.result), LOG)
