"""record.json: what was run, with what, from what."""
import datetime
import json
import os
import platform
import sys

import caffe
import google.protobuf
import numpy

from data.errors import InputError
from data.files import sha256
from tools.lib.runtime.repository import git_state
from tools.lib.training.files import replace_file
from tools.lib.training.options import DEVICE
from tools.lib.training.solver import shown

NAME = "record.json"


def new_record(options, resolved, data, initial, processes):
    """The record of a run that starts.

    data: what data_lists() found; processes: how many train together; initial: what
    describe_weights() found.
    """
    with open(options.solver, encoding="utf-8") as file:
        solver_text = file.read()
    return {
        "command": command(),
        "started": now(),
        "solver": {"file": shown(options.solver), "text": solver_text},
        "nets": sorted(resolved.nets),
        "seed": resolved.seed,
        "processes": processes,
        "options": {"weights": [shown(path) for path in options.weights or []],
                    "seed": options.seed, "max_iter": options.max_iter,
                    "data_root": options.data_root, "device": options.device,
                    "keep_snapshots": options.keep_snapshots},
        "initial_weights": initial,
        "data": data,
        "versions": versions(),
        "git": git_state(),
        "resumed": [],
    }


def describe_weights(reports, commands):
    """[{"file", "sha256", "made_by", "loaded", "skipped"}] of the initial weights' reports.

    commands: {path as in the solver: command that makes it}.
    """
    return [{"file": shown(report.path), "sha256": sha256(report.path),
             "made_by": commands.get(shown(report.path)),
             "loaded": report.loaded, "skipped": report.skipped} for report in reports]


def add_resume(record, iteration):
    """Notes that the run goes on from this iteration, and with what."""
    record["resumed"].append({"command": command(), "started": now(), "iteration": iteration,
                              "versions": versions(), "git": git_state()})


def read_record(folder):
    """The folder's record as a dict, or None when it has none; InputError when it is damaged."""
    path = os.path.join(folder, NAME)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        _check(record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as problem:
        raise InputError(f"{path} is not the record of a run: {problem!r}",
                         "Restore the file, or name another folder with --output.") from None
    return record


def _check(record):
    """Raises ValueError, KeyError or TypeError unless what a resume reads is as new_record() wrote
    it."""
    options = record["options"]
    counts = [record["seed"]] + [
        count for count in (options["seed"], options.get("max_iter"), options.get("keep_snapshots"))
        if count is not None
    ]
    if not all(type(count) is int and 0 <= count < 2 ** 31 for count in counts):
        raise ValueError(f"seed, max_iter or keep_snapshots is not a count: {counts}")
    device = options.get("device")
    if device is not None and not DEVICE.fullmatch(device):
        raise ValueError(f"device is neither cpu nor gpu:N: {device!r}")
    if not isinstance(record["data"], dict) or not isinstance(record["resumed"], list):
        raise TypeError("data is not an object or resumed is not a list")
    if not isinstance(options.get("data_root"), (str, type(None))):
        raise TypeError("data_root is not a path")
    weights = options.get("weights") or []
    if not isinstance(weights, list) or not all(isinstance(path, str) for path in weights):
        raise TypeError("weights is not a list of paths")


def write_record(folder, record):
    replace_file(os.path.join(folder, NAME), (json.dumps(record, indent=1) + "\n").encode())


def command():
    """The command line as it was typed, as far as Python knows."""
    return ["python"] + [shown(os.path.abspath(sys.argv[0]))] + sys.argv[1:]


def now():
    """Local time with its offset, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def versions():
    """Versions of what computes, and the settings that decide the last bits."""
    return {
        "caffe": getattr(caffe, "__version__", "unknown"), "python": platform.python_version(),
        "numpy": numpy.__version__, "protobuf": google.protobuf.__version__,
        "blas_kernel": os.environ.get("OPENBLAS_CORETYPE"),
        "tf32": os.environ.get("CAFFE_TF32") == "1",
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    }
