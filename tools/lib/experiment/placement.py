"""Where the commands of a plan compute, and whether in TF32: as asked, else as their runs recorded.

The record.json of every run has its device and its precision, so an experiment that was interrupted
goes on as before without the options.
"""
import os
from typing import NamedTuple, Tuple

from data.errors import InputError
from data.files import ROOT
from tools.lib.checking.device import require_gpu
from tools.lib.device_options import asks_for_tf32, gpu_number
from tools.lib.experiment.plan import with_training_options
from tools.lib.training.record import read_record

#: Names of the precision, by whether it is TF32.
PRECISION = {True: "TF32", False: "float32"}


class Placement(NamedTuple):
    """The devices of a plan's commands, and how many run at a time."""

    devices: Tuple[str, ...]    # () where nothing chooses: the CPU; ("cpu",); or GPUs
    tf32: bool                  # whether the stages train in TF32
    jobs: int                   # commands at a time; on GPUs their number

    @property
    def on_gpu(self):
        """Whether the commands compute on GPUs."""
        return any(name != "cpu" for name in self.devices)


def recorded_options(task):
    """The options in the record.json of the run that the task trains; {} without a record.

    A damaged record is left to tools/train.py, which refuses it.
    """
    if task.stage is None:
        return {}
    try:
        record = read_record(os.path.join(ROOT, os.path.dirname(task.result)))
    except InputError:
        return {}
    return record["options"] if record else {}


def choose(tasks, options, jobs_on_cpu):
    """The Placement of a plan's commands.

    options: of the command line, with device and jobs (None where not given) and tf32.
    jobs_on_cpu: commands at a time on the CPU without --jobs.  Raises InputError for TF32 on the
    CPU, and for --jobs that differ from the number of GPUs.
    """
    records = [recorded_options(task) for task in tasks]
    devices = options.device
    if devices is None:
        # a run with --device gpu may have been started by hand
        gpus = {"gpu:0" if name == "gpu" else name
                for name in (record.get("device") for record in records) if name}
        devices = sorted(gpus - {"cpu"}, key=gpu_number)
    on_gpu = any(name != "cpu" for name in devices)
    tf32 = (asks_for_tf32(options.tf32, on_gpu)
            or on_gpu and any(record.get("tf32") for record in records))
    if on_gpu and options.jobs not in (None, len(devices)):
        raise InputError(f"--jobs {options.jobs} with {len(devices)} GPU(s): a GPU has one command "
                         "at a time", "leave out --jobs")
    return Placement(tuple(devices), tf32,
                     len(devices) if on_gpu else options.jobs or jobs_on_cpu)


def with_precision(tasks, placement):
    """The tasks; where they train in TF32, with --tf32 in every command that trains."""
    return with_training_options(tasks, ["--tf32"]) if placement.tf32 else tasks


def require_gpus(devices):
    """Raises InputError for the first of the devices that is a GPU which cannot compute here."""
    for name in devices:
        if name != "cpu":
            require_gpu(gpu_number(name), f"--device {name}")
