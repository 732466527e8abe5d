"""What a run's nets read beside their weights: files checked, and hashes, so that a change is
noticed."""
import functools
import hashlib
import json
import os

from tqdm import tqdm

from data.batches import check_ahead, forget_checks
from data.files import sha256
from data.registry import open_dataset
from layers.constrained_mil_loss import inside_repository
from layers.source_target_data import served_frames
from tools.lib.checking.net import running_layers
from tools.lib.training.solver import DATA_LAYER, python_keys, shown


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
