"""Times of a net's layers, one by one: the net with random images, its step, and the sizes it can
take.

Each layer is run and timed on its own, forwards, then backwards, as Caffe does in a step; the
solver's update is left out.
"""
import os
import tempfile
import time
from dataclasses import replace

import caffe
import numpy as np
from tqdm import tqdm

from data.errors import InputError
from models.build import nets
from models.experiments.gta import GTA
from models.shapes import STRIDE

#: The paper's net without the reflected margin: the input is the labelled window itself.
FULL_WIDTH = GTA.shape._replace(margin=0)


def with_random_data(net, size, sources, targets, margin=0):
    """The train net (NetParameter) with Input layers in the place of its data layer.

    size: (height, width) of the labels; the images are larger by `margin` pixels on each side.
    """
    data, label = caffe.proto.caffe_pb2.LayerParameter(), caffe.proto.caffe_pb2.LayerParameter()
    inputs = tuple(side + 2 * margin for side in size)
    for layer, shape in ((data, (sources + targets, 3) + inputs), (label, (sources, 1) + size)):
        layer.type = "Input"
        layer.input_param.shape.add().dim.extend(shape)
    data.name, label.name = "data", "label"
    data.top.append("data")
    label.top.append("label")
    rest = [layer for layer in net.layer if not set(layer.top) & {"data", "label"}]
    del net.layer[:]
    net.layer.extend([data, label] + rest)
    return net


def experiment(shape, size, batch):
    """GTA5 -> Cityscapes with `batch` images of each domain. size: (height, width) of the
    labels."""
    # statistics of 19 classes that are committed
    categories = replace(GTA.category_loss, statistics="data/statistics/gta5_half.json")
    return replace(GTA, shape=shape, crop=tuple(size), batch=batch, category_loss=categories)


def build(stage, size, images, shape):
    """The stage's train net with random images and labels in it; `source` sees twice `images`
    source images."""
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
    """Random images and labels for the Input layers of with_random_data()."""
    random = np.random.RandomState(1)
    net.blobs["data"].data[...] = random.uniform(-128, 128, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = random.randint(0, classes, net.blobs["label"].data.shape)


def step_times(net, now=time.perf_counter):
    """{layer: seconds forwards + backwards} of one step. now: the clock; for a GPU one that waits
    until it is idle."""
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
    """Times of the source-only net and of the stage's, in turns; returns (times, names of the
    stage's Python layers).

    times: {"source" or stage: [{layer: seconds} of each turn]}
    """
    built = {name: build(name, size, images, shape) for name in ("source", stage)}
    times = {name: [] for name in built}
    for turn in tqdm(range(repeats + 1), desc="layers", unit="turn"):
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


def check_size(size):
    """InputError unless both sides of --size are positive multiples of the net's stride."""
    if min(size) < STRIDE or any(side % STRIDE for side in size):
        raise InputError(
            "--size %d %d: both must be positive multiples of %d" % (tuple(size) + (STRIDE, )))


def add_size(parser):
    """The --size of a benchmark's command line."""
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256),
                        metavar=("HEIGHT", "WIDTH"),
                        help=f"input in pixels, multiples of {STRIDE} (default: 256 256)")
