"""Train nets of GTA5 -> Cityscapes on random images: reading is not what the benchmarks time."""
import os
import tempfile
from dataclasses import replace

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from data.errors import InputError
from models.build import nets
from models.experiments.gta import GTA
from models.shapes import STRIDE


def experiment(shape, size, batch):
    """GTA5 -> Cityscapes with `batch` images of each domain, labels of `size` (height, width)."""
    # committed statistics of 19 classes
    categories = replace(GTA.category_loss, statistics="data/statistics/gta5_half.json")
    return replace(GTA, shape=shape, crop=tuple(size), batch=batch, category_loss=categories)


def with_random_data(net, size, sources, targets, margin=0):
    """The train net (NetParameter) with Input layers in the place of its data layer.

    size: (height, width) of the labels; the images are larger by `margin` pixels on each side.
    sources, targets: images of each domain in the batch; only source images have labels.
    """
    height, width = (side + 2 * margin for side in size)
    inputs = [_input("data", (sources + targets, 3, height, width)),
              _input("label", (sources, 1, *size))]
    rest = [layer for layer in net.layer if not set(layer.top) & {"data", "label"}]
    del net.layer[:]
    net.layer.extend(inputs + rest)
    return net


def _input(name, shape):
    layer = caffe_pb2.LayerParameter(name=name, type="Input", top=[name])
    layer.input_param.shape.add().dim.extend(shape)
    return layer


def build(stage, size, images, shape):
    """The train net of a stage with random images and labels in it: (net, Python layers' names).

    images: of each domain; the stage "source" sees twice as many source images and no others.
    """
    sources, targets = (2 * images, 0) if stage == "source" else (images, images)
    sizes = experiment(shape, size, sources)
    parameter = with_random_data(nets(sizes)[stage + ".prototxt"], size, sources, targets)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, stage + ".prototxt")
        with open(path, "w") as file:
            file.write(str(parameter))
        net = caffe.Net(path, caffe.TRAIN)
    fill(net, sizes.classes)
    return net, {layer.name for layer in parameter.layer if layer.type == "Python"}


def fill(net, classes):
    """Puts random images and labels into the Input layers of with_random_data()."""
    random = np.random.RandomState(1)
    net.blobs["data"].data[...] = random.uniform(-128, 128, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = random.randint(0, classes, net.blobs["label"].data.shape)


def add_size(parser):
    """Adds --size to a benchmark's command line."""
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256),
                        metavar=("HEIGHT", "WIDTH"),
                        help=f"input in pixels, multiples of {STRIDE} (default: 256 256)")


def check_size(size):
    """InputError unless both sides of --size are positive multiples of the net's stride."""
    height, width = size
    if min(size) < STRIDE or any(side % STRIDE for side in size):
        raise InputError(f"--size {height} {width}: both must be positive multiples of {STRIDE}")
