"""Time and error of the layer that normalises features, RMSNorm, beside Caffe's own LRN.

    python3 tools/bench/bench_normalisation.py [--images 2 --channels 4096 --units 32 32]

Both divide each unit's features by the root of their mean square: RMSNorm of layers/rms_norm.py,
and LRN across all channels (local_size 2 C - 1). The layers take turns, so that other work on the
machine lengthens both; the median and the fastest pass are printed. The error is the largest of any
unit's vector, against float64, for random features and for features whose channels are all equal.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import os
import tempfile
import time

import caffe
import numpy as np

from layers.feature_rms import EPSILON
from tools.bench.timing import milliseconds, processor, running_engine
from tools.lib.command import CommandParser, count, run_command
from tools.lib.tables import Table, format_of, print_and_write

NET = """force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
layer {{ name: "y" bottom: "x" top: "y" {layer} }}
"""
RMS_NORM = 'type: "Python" python_param { module: "layers.rms_norm" layer: "RMSNorm" }'
LRN = ('type: "LRN" lrn_param {{ local_size: {size} alpha: {alpha!r} beta: 0.5 k: {epsilon!r} '
       "engine: CAFFE }}")


def main():
    """Measures, prints the table and writes it to --output."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=count, default=2, help="default: 2, one of each domain")
    parser.add_argument("--channels", type=count, default=4096,
                        help="default: 4096, the paper's width")
    parser.add_argument("--units", type=count, nargs=2, default=(32, 32),
                        metavar=("HEIGHT", "WIDTH"), help="default: 32 32, of a crop of 256 x 256")
    parser.add_argument("--repeats", type=count, default=9, help="default: 9")
    parser.add_argument("--output",
                        help="write the table to this file as well (.txt, .md, .csv or .tex)")
    options = parser.parse_args()
    form = options.output and format_of(options.output)
    shape = (options.images, options.channels, *options.units)
    engine, threads = running_engine()
    table = measure(shape, options.repeats)
    table.title = (
        f"Written by python3 tools/bench/bench_normalisation.py --images {options.images} "
        f"--channels {options.channels} --units {options.units[0]} {options.units[1]} "
        f"--repeats {options.repeats}. Features of {' x '.join(map(str, shape))}; {processor()}, "
        f"kernel {engine['kernel']}, {threads} threads, load average {os.getloadavg()[0]:.1f}")
    print_and_write([table], options.output, form)


def measure(shape, repeats):
    """Table of both layers: milliseconds of each pass, and errors; shape: (N, C, h, w)."""
    draw = np.random.RandomState(1)
    random = np.maximum(draw.randn(*shape), 0).astype(np.float32)       # as after a ReLU
    units = np.exp(3 * draw.randn(shape[0], 1, *shape[2:]))     # short and long ones
    equal = np.broadcast_to(units, shape).astype(np.float32)
    gradient = draw.randn(*shape).astype(np.float32)
    built = {"RMSNorm": build(RMS_NORM, shape), "LRN": build(lrn(shape[1]), shape)}
    times = {name: [] for name in built}
    for turn in range(repeats + 1):
        for name, net in built.items():
            spent = passes(net, random, gradient)
            if turn:        # the first pass allocates
                times[name].append(spent)
    rows = []
    for name, net in built.items():
        row = [name] + [milliseconds(take) for spent in zip(*times[name])
                        for take in (spent, [min(spent)])]
        for features in (random, equal):
            passes(net, features, gradient)
            row += [f"{worst:.0e}" for worst in errors(net, features, gradient)]
        rows.append(row)
    return Table(["layer", "forwards", "fastest", "backwards", "fastest", "error forwards",
                  "error backwards", "forwards, equal channels", "backwards, equal channels"],
                 rows)


def lrn(channels):
    """The LRN layer that is RMSNorm for features of so many channels."""
    size = 2 * channels - 1
    return LRN.format(size=size, alpha=size / channels, epsilon=EPSILON)


def build(layer, shape):
    """A net with the layer on an input of the shape."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.prototxt")
        with open(path, "w") as file:
            file.write(NET.format(dims=" ".join(f"dim: {side}" for side in shape), layer=layer))
        return caffe.Net(path, caffe.TRAIN)


def passes(net, features, gradient):
    """(forwards, backwards) in seconds of the net's layer."""
    net.blobs["x"].data[...] = features
    net.blobs["y"].diff[...] = gradient
    last = len(net.layers) - 1
    marks = [time.perf_counter()]
    net._forward(last, last)
    marks.append(time.perf_counter())
    net._backward(last, last)
    marks.append(time.perf_counter())
    return tuple(np.diff(marks))


def errors(net, features, gradient):
    """(forwards, backwards): largest relative error of a unit's vector, against float64."""
    x, g = features.astype(float), gradient.astype(float)
    square = EPSILON + (x ** 2).mean(axis=1, keepdims=True)
    y = x / np.sqrt(square)
    expected = (g - y * (g * y).mean(axis=1, keepdims=True)) / np.sqrt(square)
    return tuple((np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)).max()
                 for found, exact in ((net.blobs["y"].data, y), (net.blobs["x"].diff, expected)))


if __name__ == "__main__":
    run_command(main)
