"""Which frames a run's data layers read: a hash, so that a changed list is noticed."""
import hashlib

from data.registry import open_dataset
from tools.runtime.files import sha256
from tools.training.solver import DATA_LAYER, python_keys, shown


def data_lists(nets):
    """{"layer.source": {"dataset", "split", "frames", "sha256"}} of every data layer of the nets.

    The hash is over the frames' names in order: it follows the list and not the folder
    the data lie in. A layer of Caffe that reads a list file has the file's hash.
    """
    found = {}
    for net in nets:
        for layer in net.layer:
            if layer.type == "Python" and layer.python_param.module == DATA_LAYER:
                keys = python_keys(layer) or {}
                for side in ("source", "target"):
                    if keys.get(side):
                        found["%s.%s" % (layer.name, side)] = _frames(keys[side])
            elif layer.type in ("ImageData", "HDF5Data", "WindowData"):
                path = getattr(layer, {"ImageData": "image_data_param", "HDF5Data":
                                       "hdf5_data_param", "WindowData": "window_data_param"}
                               [layer.type]).source
                found[layer.name] = {"list": shown(path), "sha256": sha256(path)}
    return found


def _frames(given):
    data = open_dataset(given["dataset"], space=given.get("label_space"),
                        **given.get("options", {}))
    names = [frame.name for frame in data.frames(given["split"])]
    return {"dataset": given["dataset"], "split": given["split"], "frames": len(names),
            "sha256": hashlib.sha256("\n".join(names).encode()).hexdigest()}
