"""What the layers of a net cost, one by one: seconds, and the bytes a Python layer touches.

Each layer is run and timed on its own, forwards, then backwards, as Caffe does in a step; the
solver's update is left out.
"""
import time
from collections import namedtuple

import numpy as np

from data.progress import progress_bar
from models.experiments.gta import GTA
from tools.bench.random_nets import build

#: The paper's net without the reflected margin: the input is the labelled window itself.
FULL_WIDTH = GTA.shape._replace(margin=0)


def step_times(net, now=time.perf_counter):
    """{layer: seconds forwards + backwards} of one step.

    now: the clock; for a GPU one that waits until the GPU has finished its work.
    """
    seconds = dict.fromkeys(net._layer_names, 0.0)
    names = list(net._layer_names)
    for index in range(len(names)):
        start = now()
        net._forward(index, index)
        seconds[names[index]] += now() - start
    for index in reversed(range(len(names))):
        start = now()
        net._backward(index, index)
        seconds[names[index]] += now() - start
    return seconds


def measure(stage, size, images, repeats, shape=FULL_WIDTH):
    """Times the source-only net and the stage's net in turns: (times, stage's Python layers).

    times: {"source" or stage: [{layer: seconds} of each turn]}
    """
    built = {name: build(name, size, images, shape) for name in ("source", stage)}
    times = {name: [] for name in built}
    for turn in progress_bar(range(repeats + 1), desc="layers", unit="turn"):
        for name, (net, _) in built.items():
            seconds = step_times(net)
            if turn:        # the first step allocates
                times[name].append(seconds)
    return times, sorted(built[stage][1])


def step_seconds(turns):
    """Seconds of the whole step in each turn, from its layers' seconds."""
    return [sum(seconds.values()) for seconds in turns]


def layer_seconds(turns, layer):
    """Median seconds of one layer over the turns."""
    return float(np.median([seconds[layer] for seconds in turns]))


#: Bytes in the forward and in the backward pass.
Bytes = namedtuple("Bytes", "forward backward")


class LayerTraffic:
    """Counts the bytes of the blobs that Python layers touch; to be used in a with statement.

    On a GPU each touched blob comes to the host, and as pycaffe's arrays count as written, it goes
    back when the GPU next uses it: no layer moves more than twice these bytes.

    layers: {name: layer}, as net.layers gives them.  bytes: {name: Bytes} of the last pass of each.
    """

    def __init__(self, layers):
        self._layers, self._touched = layers, {}

    def __enter__(self):
        for name, layer in self._layers.items():
            for method in ("forward", "backward"):
                setattr(layer, method, self._watched(getattr(layer, method), (name, method)))
        return self

    def __exit__(self, *_):
        for layer in self._layers.values():
            del layer.forward, layer.backward        # the methods of the class show again

    def _watched(self, method, key):
        def call(*arguments):
            arrays = self._touched[key] = {}
            return method(*(argument if isinstance(argument, list) else _Blobs(argument, arrays)
                            for argument in arguments))
        return call

    @property
    def bytes(self):
        return {
            name: Bytes(*(sum(self._touched.get((name, method), {}).values())
                          for method in ("forward", "backward")))
            for name in self._layers
        }


class _Blobs:
    """Caffe's list of blobs, each watched."""

    def __init__(self, blobs, arrays):
        self._blobs, self._arrays = blobs, arrays

    def __len__(self):
        return len(self._blobs)

    def __getitem__(self, index):
        if not -len(self._blobs) <= index < len(self._blobs):
            raise IndexError(index)
        return _Blob(self._blobs[index], self._arrays)


class _Blob:
    """A blob that notes the size of its arrays when they are asked for."""

    def __init__(self, blob, arrays):
        self._blob, self._arrays = blob, arrays

    def __getattr__(self, name):
        value = getattr(self._blob, name)
        if name in ("data", "diff"):
            # by address: a layer computed in place has one array under two names
            self._arrays[value.ctypes.data] = value.nbytes
        return value
