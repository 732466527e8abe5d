"""Times a deploy net's export, and the net in ONNX Runtime and OpenCV against Caffe.

    python3 tools/bench/bench_deployment.py --output docs/results/deployment_speed.md

Random weights and one random image; the engines take turns. It compares the label maps too.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import caffe
import cv2
import numpy as np

from data.cores import usable_cores
from data.errors import InputError
from data.files import ROOT, write_whole
from tools.bench.onnx_runtime import run_session
from tools.lib.command import CommandParser, count, run_command
from tools.lib.outputs import require_file
from tools.lib.scoring.deploy_net import load_deploy
from tools.lib.scoring.net_geometry import read_geometry
from tools.lib.tables import Table, render


def parse():
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=os.path.join(ROOT, "models/gta_camvid/deploy.prototxt"),
                        help="deploy prototxt (default: models/gta_camvid)")
    parser.add_argument("--size", type=count, nargs=2, default=(256, 512), metavar=("H", "W"),
                        help="the input's size in pixels (default 256 512)")
    parser.add_argument("--repeats", type=count, default=5, help="turns of each engine (default 5)")
    parser.add_argument("--output", help="Markdown file of the table; default: none, only printed")
    return parser.parse_args()


def main():
    options = parse()
    require_file(options.output, "--output")
    require_size(options.model, options.size)
    image = (50 * np.random.RandomState(1).randn(1, 3, *options.size)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        net = random_net(options.model, image.shape)
        weights, onnx_file = (os.path.join(folder, name) for name in ("net.caffemodel", "net.onnx"))
        net.save(weights)
        exported_in = export(options.model, weights, onnx_file)
        engines = {"Caffe": lambda: run_caffe(net, image),
                   "ONNX Runtime": lambda: run_onnx(onnx_file, image)}
        if hasattr(cv2.dnn, "readNetFromCaffe"):
            read = cv2.dnn.readNetFromCaffe(os.path.abspath(options.model), weights)
            engines["OpenCV, Caffe's files"] = lambda: run_opencv(read, image)
        exported = cv2.dnn.readNetFromONNX(onnx_file)
        engines["OpenCV, the ONNX file"] = lambda: run_opencv(exported, image)
        table = compare(engines, options)
    print(render(table, "text") + exported_in)
    if options.output:
        write_whole(options.output, page(table, exported_in, options))


def require_size(model, size):
    """InputError where Caffe cannot compute an image of this size: it would end the process."""
    deploy = load_deploy(model)
    try:
        margin = read_geometry(deploy).margin
    except InputError:      # of other nets, such as U-Nets, Caffe alone knows the sizes
        deploy.score_sizes([size])
        return
    if min(size) <= 2 * margin:
        raise InputError(f"--size {size[0]} {size[1]}: {model} takes a margin of {margin} pixels "
                         f"from every side; expected at least {2 * margin + 1} pixels",
                         f"--size {size[0] + 2 * margin} {size[1] + 2 * margin}")


def export(model, weights, onnx_file):
    """Runs tools/export_onnx.py; returns a sentence on its time and its memory."""
    started = time.perf_counter()
    subprocess.run([sys.executable, os.path.join(ROOT, "tools", "export_onnx.py"), "--model", model,
                    "--weights", weights, "--output", onnx_file], check=True)
    seconds = time.perf_counter() - started
    # The largest child of this process so far: its only one.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return (f"The export of {os.path.getsize(weights) / 1e6:.0f} MB of weights took {seconds:.1f} "
            f"s and {peak / 1e9:.1f} GB of memory at its peak.")


def random_net(model, shape):
    """A caffe.Net of a deploy prototxt for one input shape, with random weights."""
    caffe.set_mode_cpu()
    net = caffe.Net(model, caffe.TEST)
    random = np.random.RandomState(2)
    for layer in net.layers:
        if layer.type == "Convolution":
            for blob in layer.blobs:
                fan_in = max(1, np.prod(blob.shape[1:]))
                blob.data[...] = random.randn(*blob.shape) * np.sqrt(2 / fan_in)
    net.blobs[net.inputs[0]].reshape(*shape)
    net.reshape()
    return net


def run_caffe(net, image):
    """(scores, seconds) of one forward pass."""
    net.blobs[net.inputs[0]].data[...] = image
    started = time.perf_counter()
    scores = net.forward()[net.outputs[-1]]
    return scores.copy(), time.perf_counter() - started


def run_onnx(path, image):
    """(scores, seconds) in ONNX Runtime, the second of two runs in a process of its own."""
    outputs, _, seconds = run_session(path, [{"data": image}], usable_cores(), repeats=2)
    return list(outputs[0].values())[-1], seconds[-1]


def run_opencv(net, image):
    """(scores, seconds) in OpenCV's dnn module."""
    net.setInput(image)
    started = time.perf_counter()
    scores = net.forward()
    return scores, time.perf_counter() - started


def compare(engines, options):
    """The Table of medians, each engine once a turn, the first turn not counted."""
    seconds = {name: [] for name in engines}
    scores = {}
    for _ in range(options.repeats + 1):
        for name, run in engines.items():
            scores[name], took = run()
            seconds[name].append(took)
    truth = scores["Caffe"]
    rows = []
    for name, taken in seconds.items():
        ratios = [mine / caffes for mine, caffes in zip(taken[1:], seconds["Caffe"][1:])]
        difference = np.abs(scores[name] - truth).max() / np.abs(truth).max()
        same = (scores[name].argmax(axis=1) == truth.argmax(axis=1)).mean()
        rows.append([name, f"{1000 * statistics.median(taken[1:]):.0f}",
                     f"{statistics.median(ratios):.2f}", f"{difference:.1e}", f"{100 * same:.3f}"])
    return Table(["engine", "ms", "time / Caffe's", "largest difference of scores, relative",
                  "equal labels %"], rows)


def page(table, exported_in, options):
    """The table and the sentence on the export as a page, with the command that made it."""
    size = " ".join(map(str, options.size))
    model = os.path.relpath(options.model, ROOT)
    return (f"Written by `python3 tools/bench/bench_deployment.py --model {model} --size {size} "
            f"--repeats {options.repeats}`.\n\n{render(table, 'markdown')}\n"
            f"Random weights, one image of {size.replace(' ', ' x ')} pixels, {usable_cores()} "
            f"cores, OpenCV {cv2.__version__}, load average {os.getloadavg()[0]:.1f} at the end. "
            f"Medians of {options.repeats} turns; the engines take turns.\n\n{exported_in}\n")


if __name__ == "__main__":
    run_command(main)
