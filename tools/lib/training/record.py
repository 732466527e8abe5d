"""record.json: what was run, with what, from what; and the hashes of what its nets read."""
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
from tqdm import tqdm

from data.batches import check_ahead, forget_checks
from data.errors import InputError
from data.files import sha256
from data.registry import open_dataset
from layers.constrained_mil_loss import inside_repository
from layers.source_target_data import served_frames
from tools.lib.checking.net import DATA_LAYER, running_layers
from tools.lib.runtime.machine import git_state
from tools.lib.training.files import replace_file
from tools.lib.training.solver import DEVICE, python_keys, shown

RECORD = "record.json"


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
    replace_file(os.path.join(folder, RECORD), (json.dumps(record, indent=1) + "\n").encode())


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


def check_files(nets, name):
    """Looks at every file of the data layers that run in the nets once, with a progress bar and
    however long it takes, so that the layers built afterwards in this process and its forks need
    not, which the dry run gives little time. name: the solver's file.

    Whatever is wrong is left to the dry run, which comes to the same place and says it with the
    layer's name.
    """
    forget_checks()
    for net in nets:
        for layer in running_layers(net, net.state.phase, name):
            if layer.type != "Python" or layer.python_param.module != DATA_LAYER:
                continue
            try:
                for side, data, frames, labelled in served_frames(layer.python_param.param_str):
                    check_ahead(
                        data, frames, labelled,
                        functools.partial(tqdm, desc=f"checking {layer.name}.{side}", unit="image",
                                          disable=None, leave=False))
            # not only InputError: a param_str is not trusted, and the dry run survives all it can
            # do
            except Exception:
                return


def data_lists(nets):
    """{"layer.source": {"dataset", "split", "frames", "sha256", "label_map"}} of every data layer
    of the nets.

    The first hash is over the frames' names in order: it follows the list and not the folder
    the data lie in; label_map, of a source, over its classes and the ids that stand for them. A
    layer of Caffe that reads a list file, and one with label statistics ("layer.statistics"), has
    the file's hash.
    """
    found = {}
    for net in nets:
        for layer in net.layer:
            if layer.type == "Python" and layer.python_param.module == DATA_LAYER:
                keys = python_keys(layer) or {}
                for side in ("source", "target"):
                    if keys.get(side):
                        found[f"{layer.name}.{side}"] = _frames(keys[side], side == "source")
            elif layer.type == "Python" and layer.python_param.module == inside_repository.__module__:
                path = (python_keys(layer) or {}).get("statistics")
                # the layer itself says what is wrong
                if path and os.path.isfile(inside_repository(path)):
                    found[f"{layer.name}.statistics"] = {
                        "file": path, "sha256": sha256(inside_repository(path))
                    }
            elif layer.type in ("ImageData", "HDF5Data", "WindowData"):
                path = getattr(layer, {"ImageData": "image_data_param", "HDF5Data":
                                       "hdf5_data_param", "WindowData": "window_data_param"}
                               [layer.type]).source
                found[layer.name] = {"list": shown(path), "sha256": sha256(path)}
    return found


def _frames(given, labelled):
    data = open_dataset(given["dataset"], space=given.get("label_space"),
                        **given.get("options", {}))
    names = [frame.name for frame in data.frames(given["split"])]
    found = {
        "dataset": given["dataset"], "split": given["split"], "frames": len(names),
        "sha256": _sha256("\n".join(names))
    }
    if labelled:
        found["label_map"] = _sha256(
            json.dumps([data.space.name, data.space.classes, data.table], sort_keys=True))
    return found


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
