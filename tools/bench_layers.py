"""Time of the Python layers inside a full-width training step, and of an adapted step against a source-only step.

    tools/caffe_python tools/bench_layers.py [--stage ga --size 256 256 --images 1 --repeats 3]

Both nets are those of models/build.py for GTA5 -> Cityscapes without the reflected margin, so that --size is the input
itself and fc7 measures size / 8; the data layer is replaced by random images, because reading is not what is timed here.
Each layer is run and timed on its own, forwards, then backwards, as Caffe does in a step; the solver's update is left
out, which makes the shares larger, not smaller. The two nets take turns, so that whatever else the machine does hits
both; medians over the repeats are printed. Both see the same number of images: the source-only net twice the sources.
"""
import _init_paths  # noqa: F401
from tools.runtime.enter import enter_runtime

enter_runtime()

import argparse
import os
import tempfile
import time

import caffe
import numpy as np
from tqdm import tqdm

from data.errors import InputError
from models.build import nets
from models.experiments import GTA
from models.shapes import STRIDE
from tools.benchmarks.ratios import paired_ratio, shown
from tools.command import run_command
from tools.scoring.files import write_text
from tools.scoring.tables import Table, format_of, render

#: The paper's net without the reflected margin: the input is the labelled window itself.
FULL_WIDTH = GTA.shape._replace(margin=0)


def with_random_data(net, size, sources, targets):
    """The train net (NetParameter) with Input layers in the place of its data layer."""
    data, label = caffe.proto.caffe_pb2.LayerParameter(), caffe.proto.caffe_pb2.LayerParameter()
    for layer, shape in ((data, (sources + targets, 3) + size), (label, (sources, 1) + size)):
        layer.type = "Input"
        layer.input_param.shape.add().dim.extend(shape)
    data.name, label.name = "data", "label"
    data.top.append("data")
    label.top.append("label")
    rest = [layer for layer in net.layer if not set(layer.top) & {"data", "label"}]
    del net.layer[:]
    net.layer.extend([data, label] + rest)
    return net


def build(stage, size, images, shape):
    """The stage's train net with random images and labels in it; `source` sees twice `images` source images."""
    sources, targets = (2 * images, 0) if stage == "source" else (images, images)
    experiment = GTA._replace(shape=shape, crop=size, batch=sources,
                              statistics="data/statistics/gta5_half.json")  # 19 classes, and it is committed
    parameter = with_random_data(nets(experiment)[stage + ".prototxt"], size, sources, targets)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, stage + ".prototxt")
        with open(path, "w") as file:
            file.write(str(parameter))
        net = caffe.Net(path, caffe.TRAIN)
    random = np.random.RandomState(1)
    net.blobs["data"].data[...] = random.uniform(-128, 128, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = random.randint(0, experiment.classes, net.blobs["label"].data.shape)
    return net, {layer.name for layer in parameter.layer if layer.type == "Python"}


def step_times(net):
    """{layer: seconds forwards + backwards} of one step."""
    seconds = dict.fromkeys(net._layer_names, 0.0)
    names = list(net._layer_names)
    for index in range(len(names)):
        start = time.perf_counter()
        net._forward(index, index)
        seconds[names[index]] += time.perf_counter() - start
    for index in reversed(range(len(names))):
        start = time.perf_counter()
        net._backward(index, index)
        seconds[names[index]] += time.perf_counter() - start
    return seconds


def measure(stage, size, images, repeats, shape=FULL_WIDTH):
    """Times of the source-only net and of the stage's, in turns; returns (times, names of the stage's Python layers).

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
        raise InputError("--size %d %d: both must be positive multiples of %d" % (tuple(size) + (STRIDE,)))


def add_size(parser):
    """The --size of a benchmark's command line."""
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"),
                        help="input in pixels, multiples of %d (default: 256 256)" % STRIDE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=("ga", "ca", "ga_ca"), default="ga", help="the adapted net (default: ga)")
    add_size(parser)
    parser.add_argument("--images", type=int, default=1, help="images of each domain in the batch (default: 1)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each net (default: 3)")
    parser.add_argument("--output", help="write the table to this file as well (.txt, .md, .csv or .tex)")
    arguments = parser.parse_args()
    size = tuple(arguments.size)
    check_size(size)
    if arguments.images < 1 or arguments.repeats < 1:
        raise InputError("--images and --repeats must be at least 1")

    form = arguments.output and format_of(arguments.output)

    times, python_layers = measure(arguments.stage, size, arguments.images, arguments.repeats)
    table = share_table(arguments.stage, times, python_layers)
    table.title = "Written by python tools/bench_layers.py --stage %s --size %d %d --images %d --repeats %d" % (
        (arguments.stage,) + size + (arguments.images, arguments.repeats))
    print(render(table, "text"), end="")
    if form:
        write_text(arguments.output, render(table, form))


def share_table(stage, times, python_layers):
    """Table of the steps of both nets and of the stage's Python layers; arguments as measure() returns them."""
    steps = {name: float(np.median(step_seconds(turns))) for name, turns in times.items()}
    rows = [["%s, a step" % name, "%.1f ms" % (1e3 * step), ""] for name, step in steps.items()]
    rows.append(["%s / source" % stage, shown(paired_ratio(step_seconds(times[stage]), step_seconds(times["source"]))), ""])
    seconds = {name: layer_seconds(times[stage], name) for name in python_layers}
    rows += [[name, "%.2f ms" % (1e3 * spent), "%.3f %%" % (100 * spent / steps[stage])] for name, spent in seconds.items()]
    rows.append(["Python layers together", "%.2f ms" % (1e3 * sum(seconds.values())),
                 "%.3f %%" % (100 * sum(seconds.values()) / steps[stage])])
    return Table(["full width", "median", "share of the %s step" % stage], rows, rules=[len(steps) + 1])


if __name__ == "__main__":
    run_command(main)
