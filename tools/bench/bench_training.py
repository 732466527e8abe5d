"""Speed of a training step: tools/train.py against bare Caffe and PyTorch, GA against source-only.

    python3 tools/bench/bench_training.py --data-root FOLDER --output docs/results/training_speed.md

The net is the full-width front-end for 19 classes, its convolutions padded (no reflected margin),
with one image of 256 x 256. Everything is measured in one run, in turns, and shown as ratios.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import os
import statistics
import tempfile
from contextlib import ExitStack

from data.cores import usable_cores
from data.errors import InputError
from data.registry import open_dataset
from models.experiments.gta import GTA
from tools.bench import layer_costs, training_step
from tools.bench.random_nets import add_size, check_size
from tools.bench.step_process import TorchSteps
from tools.bench.timing import milliseconds, paired_ratio, processor, ratio_text, running_engine
from tools.bench.torch_env import add_torch, find_torch
from tools.lib.command import CommandParser, count, run_command
from tools.lib.tables import Table, format_of, print_and_write

#: Upper bounds of the ratios.
LOOP_TARGET, TORCH_TARGET, GA_TARGET, LAYERS_TARGET = 1.05, 1.1, 1.08, 0.01

#: Input that the bounds are meant for.
FULL_SIZE = 256, 256


def parse(arguments=None):
    """The options of the command line, checked."""
    parser = CommandParser(prog="python3 tools/bench/bench_training.py",
                           description="Speed of a training step, as ratios.")
    add_size(parser)
    parser.add_argument("--width", type=count, default=GTA.shape.fc,
                        help="channels of fc6 and fc7 (default: %(default)s)")
    parser.add_argument("--repeats", type=count, default=5,
                        help="turns of each comparison (default: %(default)s)")
    parser.add_argument("--data-root", metavar="FOLDER",
                        help="folder that holds gta5_half, whose frames are then read "
                             "(default: toy frames, drawn)")
    add_torch(parser)
    parser.add_argument("--output",
                        help="write the table to this file as well (.txt, .md, .csv or .tex)")
    options = parser.parse_args(arguments)
    check_size(options.size)
    if options.data_root:
        require_frames(options.data_root)
    return options


def require_frames(data_root):
    """InputError, naming --data-root, unless the frames that the benchmark reads are there."""
    side = training_step.GTA5_HALF
    try:
        data = open_dataset(side.dataset, data_root)
        data.check(data.frames(side.split)[0])
    except InputError as problem:
        raise InputError(f"--data-root {data_root}: {problem.what}", problem.fix) from None


def main(arguments=None):
    """Measures everything in one run, prints the table and writes it to --output."""
    options = parse(arguments)
    form = options.output and format_of(options.output)
    engine, threads = running_engine()
    python, reason = find_torch(options)
    rows = machine_rows(engine, threads)
    shape = GTA.shape._replace(margin=0, fc=options.width)
    # first, because the memory of these two nets is freed afterwards, the training engine's is not
    layers = layer_rows(*layer_costs.measure("ga", tuple(options.size), 1, options.repeats, shape))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        torch = None
        if python is not None:
            spec = training_step.torch_spec(shape, options.size, GTA.classes, threads)
            torch = stack.enter_context(TorchSteps(python, spec))
        measured = training_step.measure(shape, options.size, options.repeats, options.data_root,
                                         folder, torch)
    rows += step_rows(*measured, torch and torch.version) + layers
    rows.append(["load average at the end", f"{os.getloadavg()[0]:.1f}", ""])
    table = Table(["a training step", "measured", "at most"], rows, title(options),
                  notes=notes(options, reason))
    print_and_write([table], options.output, form)


def machine_rows(engine, threads):
    """Rows on what the times were measured on; arguments as running_engine() returns them."""
    return [
        ["processor", processor(), ""],
        ["cores usable", str(usable_cores()), ""],
        ["matrix products", f"{engine['blas']}, kernel {engine['kernel']}, {threads} threads", ""],
        ["load average at the start", f"{os.getloadavg()[0]:.1f}", ""],
    ]


def step_rows(turns, guard, display, torch_version):
    """Rows of tools/train.py against bare solver.step and, where it was timed, PyTorch.

    turns: training_step.Turns; guard: seconds of the check of all parameters, which tools/train.py
    makes once in `display` iterations; each iteration gets its share of them here.
    """
    loop = [seconds + guard / display for seconds in turns.times["loop"]]
    bare = turns.times["bare"]
    rows = [
        ["tools/train.py, one step", milliseconds(loop), ""],
        [f"of it, a {display}th of the display's guard", milliseconds([guard / display]), ""],
        ["bare solver.step", milliseconds(bare), ""],
        ["of it, forward and backward", milliseconds(turns.gradients["bare"]), ""],
        ["tools/train.py / bare solver.step", ratio_text(paired_ratio(loop, bare)),
         str(LOOP_TARGET)],
    ]
    if torch_version is not None:
        torch = turns.times["torch"]
        gradients = paired_ratio(turns.gradients["bare"], turns.gradients["torch"])
        rows += [
            [f"PyTorch {torch_version}, one step", milliseconds(torch), ""],
            ["of it, forward and backward", milliseconds(turns.gradients["torch"]), ""],
            ["tools/train.py / PyTorch", ratio_text(paired_ratio(loop, torch)), str(TORCH_TARGET)],
            ["bare forward and backward / PyTorch's", ratio_text(gradients), ""],
        ]
    return rows


def layer_rows(times, python_layers):
    """Rows of the GA step against the source-only step, from what layer_costs.measure() returns."""
    source, adapted = (layer_costs.step_seconds(times[stage]) for stage in ("source", "ga"))
    seconds = {name: layer_costs.layer_seconds(times["ga"], name) for name in python_layers}
    step = statistics.median(adapted)
    rows = [
        ["source-only, 2 images, forward and backward", milliseconds(source), ""],
        ["GA, 1 + 1 images, forward and backward", milliseconds(adapted), ""],
        ["GA / source-only", ratio_text(paired_ratio(adapted, source)), str(GA_TARGET)],
    ]
    rows += [[f"share of {name}", f"{100 * spent / step:.3f} %", ""]
             for name, spent in seconds.items()]
    return rows + [["share of the Python layers together",
                    f"{100 * sum(seconds.values()) / step:.3f} %", f"{100 * LAYERS_TARGET:g} %"]]


def title(options):
    """The command that wrote the table, without the names of this machine's folders."""
    height, width = options.size
    command = (f"python3 tools/bench/bench_training.py --size {height} {width} "
               f"--width {options.width} --repeats {options.repeats}")
    if options.data_root:
        command += " --data-root FOLDER"
    if options.without_torch:
        command += " --without-torch"
    return f"Written by {command}"


def notes(options, reason):
    """Sentences under the table. reason: why PyTorch is not in the comparison, or None."""
    height, width = options.size
    frames = "gta5_half" if options.data_root else "toy"
    sentences = [
        f"The net: front-end for 19 classes, fc6 and fc7 of {options.width} channels, convolutions "
        f"padded (no reflected margin), one image of {height} x {width}. "
        "Solver: solvers/gta_source.prototxt with iter_size 1.",
        f"tools/train.py: its own engine and loop on {frames} frames from its data layer, with log "
        "and guards, without snapshots. Bare: solver.step on random blobs that are in the net "
        "already. PyTorch: eager mode, the same net, SGD and number of threads, random tensors.",
        "They take turns. Times are medians; ratios are medians over "
        f"{options.repeats} pairs, with the smallest and the largest; the first turn is not "
        "counted. Other work on the machine lengthens every time.",
        "GA and source-only: each layer timed on its own, without the solver's update.",
    ]
    if options.width != GTA.shape.fc or (height, width) != FULL_SIZE:
        sentences.insert(0, "A smaller check: the bounds are meant for "
                            f"{GTA.shape.fc} channels and {FULL_SIZE[0]} x {FULL_SIZE[1]}.")
    if reason:
        sentences.append(f"No comparison with PyTorch: {reason}")
    return sentences


if __name__ == "__main__":
    run_command(main)
