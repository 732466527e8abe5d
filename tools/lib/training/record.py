"""record.json: the command, solver, seed, versions, data and initial weights of a run.

The data are recorded by hashes of their lists, so that --resume notices a change.
"""
import datetime
import functools
import hashlib
import json
import os
import platform
import sys

import caffe
import google.protobuf
import numpy

from data.batches import check_ahead, forget_checks
from data.errors import InputError
from data.files import sha256
from data.progress import progress_bar
from data.registry import open_dataset
from layers.constrained_mil_loss import inside_repository
from layers.source_target_data import served_frames
from tools.lib.checking.net import DATA_LAYER, running_layers
from tools.lib.device_options import DEVICE, tf32_in_use
from tools.lib.runtime.machine import git_state
from tools.lib.training.solver import display_path, python_keys, write_run_file

RECORD = "record.json"
#: Caffe's layers that read a list file, and their parameter with its path.
LIST_LAYERS = {"ImageData": "image_data_param", "HDF5Data": "hdf5_data_param",
               "WindowData": "window_data_param"}


def new_record(options, resolved, data, initial, processes):
    """The record of a run that starts.

    data: from data_lists(); initial: from describe_weights(); processes: how many train together.
    """
    with open(options.solver, encoding="utf-8") as file:
        solver_text = file.read()
    return {
        "command": command(),
        "started": now(),
        "solver": {"file": display_path(options.solver), "text": solver_text},
        "nets": sorted(resolved.nets),
        "seed": resolved.seed,
        "processes": processes,
        "options": {"weights": [display_path(path) for path in options.weights or []],
                    "seed": options.seed, "max_iter": options.max_iter,
                    "data_root": options.data_root, "device": options.device,
                    "tf32": options.tf32,
                    "keep_snapshots": options.keep_snapshots,
                    "tensorboard": options.tensorboard, "filmstrip": options.filmstrip},
        "initial_weights": initial,
        "data": data,
        "versions": versions(),
        "git": git_state(),
        "resumed": [],
    }


def describe_weights(reports, commands):
    """[{"file", "sha256", "made_by", "loaded", "skipped"}] of the initial weights.

    reports: from weights.compare_all(); commands: from weights.making_commands().
    """
    return [{"file": display_path(report.path), "sha256": sha256(report.path),
             "made_by": commands.get(display_path(report.path)),
             "loaded": report.loaded, "skipped": report.skipped} for report in reports]


def add_resume(record, iteration):
    """Adds to the record that the run goes on from `iteration`, and with which versions."""
    record["resumed"].append({"command": command(), "started": now(), "iteration": iteration,
                              "versions": versions(), "git": git_state()})


def read_record(folder):
    """The folder's record as a dict, or None when it has none; InputError when it is damaged."""
    path = os.path.join(folder, RECORD)
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
    """ValueError, KeyError or TypeError unless the parts that --resume reads are well-formed."""
    options = record["options"]
    optional = [options.get(name) for name in ("seed", "max_iter", "keep_snapshots", "filmstrip")]
    counts = [record["seed"]] + [count for count in optional if count is not None]
    if not all(type(count) is int and 0 <= count < 2 ** 31 for count in counts):
        raise ValueError("seed, max_iter, keep_snapshots or filmstrip is not a count: "
                         f"{counts}")
    device = options.get("device")
    if device is not None and not DEVICE.fullmatch(device):
        raise ValueError(f"device is neither cpu nor gpu:N: {device!r}")
    for name in ("tf32", "tensorboard"):
        if not isinstance(options.get(name), (bool, type(None))):
            raise TypeError(f"{name} is neither true nor false")
    libraries = record.get("versions") or {}
    if not isinstance(libraries, dict) or not isinstance(libraries.get("tf32", False), bool):
        raise TypeError("versions is not an object, or its tf32 neither true nor false")
    if not isinstance(record["data"], dict) or not isinstance(record["resumed"], list):
        raise TypeError("data is not an object or resumed is not a list")
    if not isinstance(options.get("data_root"), (str, type(None))):
        raise TypeError("data_root is not a path")
    weights = options.get("weights") or []
    if not isinstance(weights, list) or not all(isinstance(path, str) for path in weights):
        raise TypeError("weights is not a list of paths")


def write_record(folder, record):
    """Writes the record into the folder, whole or not at all."""
    write_run_file(os.path.join(folder, RECORD), json.dumps(record, indent=1) + "\n")


def command():
    """The command line of this process."""
    return ["python3", display_path(os.path.abspath(sys.argv[0])), *sys.argv[1:]]


def now():
    """Local time with its offset, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def versions():
    """Versions of the libraries that compute, and the settings that change the last bits."""
    return {
        "caffe": getattr(caffe, "__version__", "unknown"), "python": platform.python_version(),
        "numpy": numpy.__version__, "protobuf": google.protobuf.__version__,
        "blas_kernel": os.environ.get("OPENBLAS_CORETYPE"),
        "tf32": tf32_in_use(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    }


def check_files(nets, name):
    """Checks every file that the data layers of the nets read, with a progress bar.

    The dry run builds the data layers under a limit of time, and a check of all files may take
    longer. A file that has passed here is not checked again in this process and its forks. An
    error is left to the dry run, which finds it too and names the layer. name: the solver's file.
    """
    forget_checks()
    for net in nets:
        for layer in running_layers(net, net.state.phase, name):
            if layer.type != "Python" or layer.python_param.module != DATA_LAYER:
                continue
            try:
                for side, data, frames, labelled in served_frames(layer.python_param.param_str):
                    bar = functools.partial(progress_bar, desc=f"checking {layer.name}.{side}",
                                            unit="image")
                    check_ahead(data, frames, labelled, bar)
            # Any exception: a param_str may hold anything, and only the dry run is safe from it.
            except Exception:
                return


def data_lists(nets):
    """Everything that the layers of the nets read, with hashes, as record.json holds it.

    "LAYER.source", "LAYER.target"  {"dataset", "split", "frames": their number, "sha256": of their
                                    names in order, wherever the data lie}; a source also has
                                    "label_map": hash of its classes and of the ids that count as
                                    each class
    "LAYER.statistics"              {"file", "sha256"} of label statistics
    "LAYER"                         {"list", "sha256"} of a list file that a layer of Caffe reads
    """
    found = {}
    for net in nets:
        for layer in net.layer:
            if layer.type in LIST_LAYERS:
                path = getattr(layer, LIST_LAYERS[layer.type]).source
                found[layer.name] = {"list": display_path(path), "sha256": sha256(path)}
            elif layer.type == "Python" and layer.python_param.module == DATA_LAYER:
                keys = python_keys(layer) or {}
                for side in ("source", "target"):
                    if keys.get(side):
                        found[f"{layer.name}.{side}"] = _frames(keys[side], side == "source")
            elif (layer.type == "Python"
                  and layer.python_param.module == inside_repository.__module__):
                path = (python_keys(layer) or {}).get("statistics")
                # A file that is missing is left to the layer's own error.
                if path and os.path.isfile(inside_repository(path)):
                    found[f"{layer.name}.statistics"] = {
                        "file": path, "sha256": sha256(inside_repository(path))}
    return found


def _frames(given, labelled):
    data = open_dataset(given["dataset"], space=given.get("label_space"),
                        **given.get("options", {}))
    names = [frame.name for frame in data.frames(given["split"])]
    found = {"dataset": given["dataset"], "split": given["split"], "frames": len(names),
             "sha256": _sha256("\n".join(names))}
    if labelled:
        found["label_map"] = _sha256(
            json.dumps([data.space.name, data.space.classes, data.table], sort_keys=True))
    return found


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
