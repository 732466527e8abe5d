"""How many bytes of the blobs a Python layer takes into its hands in a pass.

On a GPU each of them comes to the host, and as pycaffe's arrays count as written, goes back when
the GPU next uses it: no layer moves more than twice these bytes.
"""
from collections import namedtuple

#: Bytes in the forward and in the backward pass.
Bytes = namedtuple("Bytes", "forward backward")


class LayerTraffic:
    """Watches Python layers in a with statement.

    layers: {name: layer}, as net.layers gives them.  bytes: {name: Bytes} of the last pass of each.
    """

    def __init__(self, layers):
        self._layers, self._taken = layers, {}

    def __enter__(self):
        for name, layer in self._layers.items():
            for method in ("forward", "backward"):
                setattr(layer, method, self._watched(getattr(layer, method), (name, method)))
        return self

    def __exit__(self, *_):
        for layer in self._layers.values():
            del layer.forward, layer.backward        # the class's own are seen again

    def _watched(self, method, key):
        def call(*arguments):
            arrays = self._taken[key] = {}
            return method(*(argument if isinstance(argument, list) else _Blobs(argument, arrays)
                            for argument in arguments))
        return call

    @property
    def bytes(self):
        return {
            name: Bytes(*(sum(self._taken.get((name, method), {}).values())
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
    def __init__(self, blob, arrays):
        self._blob, self._arrays = blob, arrays

    def __getattr__(self, name):
        value = getattr(self._blob, name)
        if name in ("data", "diff"):
            # by address: blobs in place of each other are one
            self._arrays[value.ctypes.data] = value.nbytes
        return value
