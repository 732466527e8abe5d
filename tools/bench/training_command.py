"""The command line of tools/bench/bench_training.py, and its table."""
import argparse
import os
import re
import statistics
import tempfile
from contextlib import ExitStack

from data.cores import usable_cores
from data.errors import InputError
from data.files import write_whole
from data.registry import open_dataset
from models.experiments.gta import GTA
from tools.bench import layer_times, training_step
from tools.bench.ratios import milliseconds, paired_ratio, shown
from tools.bench.torch_env import CPU, NoTorch, TorchSteps, torch_python
from tools.lib.command import count
from tools.lib.runtime.checkup import ask
from tools.lib.tables import Table, format_of, render

#: Upper bounds of the ratios.
LOOP_TARGET, TORCH_TARGET, GA_TARGET, LAYERS_TARGET = 1.05, 1.1, 1.08, 0.01

#: Input that the bounds are meant for.
FULL_SIZE = 256, 256


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="python3 tools/bench/bench_training.py",
                                     description="Speed of a training step, as ratios.")
    layer_times.add_size(parser)
    parser.add_argument("--width", type=count, default=GTA.shape.fc, help="channels of fc6 and fc7 "
                                                                          "(default: %(default)s)")
    parser.add_argument("--repeats", type=count, default=5, help="turns of each comparison "
                                                                 "(default: %(default)s)")
    parser.add_argument("--data-root", metavar="FOLDER",
                        help="folder that holds gta5_half, whose frames are then read (default: "
                             "toy frames, drawn)")
    add_torch(parser)
    parser.add_argument("--output", help="write the table to this file as well (.txt, .md, .csv or "
                                         ".tex)")
    options = parser.parse_args(arguments)
    layer_times.check_size(options.size)
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


def add_torch(parser):
    """The options of a benchmark's command line that say which PyTorch to compare with."""
    torch = parser.add_mutually_exclusive_group()
    torch.add_argument("--torch-python", metavar="PATH",
                       help="a Python that has PyTorch (default: an environment in the repository, "
                            "made when it is not there yet)")
    torch.add_argument("--without-torch", action="store_true", help="leave the comparison with "
                                                                    "PyTorch out")


def main(arguments=None):
    """Measures everything in one run, prints the table and optionally writes it."""
    options = parse(arguments)
    form = options.output and format_of(options.output)
    engine, threads = running_engine()
    python, reason = find_torch(options)
    rows = machine_rows(engine, threads)
    shape = GTA.shape._replace(margin=0, fc=options.width)
    # first, because these two nets are given back to the system, and the training engine's is not
    layers = layer_rows(*layer_times.measure("ga", tuple(options.size), 1, options.repeats, shape))
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
    print(render(table, "text"), end="")
    if form:
        write_whole(options.output, render(table, form))


def running_engine():
    """(what the doctor's probe says of Caffe, BLAS threads it uses)."""
    engine = ask("engine")
    if "failed" in engine:
        raise InputError(f"Caffe does not start: {engine['failed']}", "python3 tools/doctor.py")
    return engine, engine["threads"] or usable_cores()


def find_torch(options, kind=CPU):
    """(Python with PyTorch or None, reason why there is none). kind: of torch_env."""
    if options.without_torch:
        return None, "--without-torch was given."
    if options.torch_python:
        return options.torch_python, None
    try:
        return torch_python(kind), None
    except NoTorch as problem:
        return None, f"{problem}."


def machine_rows(engine, threads):
    """What the times were measured on."""
    return [["processor", processor(), ""], ["cores usable",
                                             str(usable_cores()), ""],
            [
                "matrix products",
                f"{engine['blas']}, kernel {engine['kernel']}, {threads} threads", ""
            ], ["load average at the start", f"{os.getloadavg()[0]:.1f}", ""]]


def processor(path="/proc/cpuinfo"):
    """The processor's name, "unknown" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else "unknown"


def step_rows(turns, guard, display, torch_version):
    """Rows of tools/train.py against bare solver.step and, where it was timed, PyTorch.

    turns: training_step.Turns; guard: seconds, once in `display` iterations and shared among them
    here.
    """
    loop = [seconds + guard / display for seconds in turns.times["loop"]]
    bare = turns.times["bare"]
    rows = [["tools/train.py, one step", milliseconds(loop), ""],
            [f"of it, a {display}th of the display's guard",
             milliseconds([guard / display]), ""], ["bare solver.step",
                                                    milliseconds(bare), ""],
            ["of it, forward and backward",
             milliseconds(turns.gradients["bare"]), ""],
            [
                "tools/train.py / bare solver.step",
                shown(paired_ratio(loop, bare)),
                str(LOOP_TARGET)
            ]]
    if torch_version is not None:
        torch = turns.times["torch"]
        rows += [[f"PyTorch {torch_version}, one step", milliseconds(torch), ""],
                 ["of it, forward and backward", milliseconds(turns.gradients["torch"]), ""],
                 ["tools/train.py / PyTorch", shown(paired_ratio(loop, torch)), str(TORCH_TARGET)],
                 ["bare forward and backward / PyTorch's", shown(paired_ratio(
                     turns.gradients["bare"], turns.gradients["torch"])), ""]]
    return rows


def layer_rows(times, python_layers):
    """Rows of the GA step against the source-only step; arguments as layer_times.measure returns
    them."""
    source, adapted = (layer_times.step_seconds(times[stage]) for stage in ("source", "ga"))
    seconds = {name: layer_times.layer_seconds(times["ga"], name) for name in python_layers}
    middle = statistics.median(adapted)
    rows = [["source-only, 2 images, forward and backward", milliseconds(source), ""],
            ["GA, 1 + 1 images, forward and backward", milliseconds(adapted), ""],
            ["GA / source-only", shown(paired_ratio(adapted, source)), str(GA_TARGET)]]
    rows += [[f"share of {name}", f"{100 * part / middle:.3f} %", ""]
             for name, part in seconds.items()]
    return rows + [[
        "share of the Python layers together", f"{100 * sum(seconds.values()) / middle:.3f} %",
        f"{100 * LAYERS_TARGET:g} %"
    ]]


def title(options):
    """The command that wrote the table; a folder of the machine stays out of it."""
    given = ["--data-root FOLDER"] if options.data_root else []
    given += ["--without-torch"] if options.without_torch else []
    return "Written by python3 tools/bench/bench_training.py --size %d %d --width %d --repeats %d" % (
        *options.size, options.width, options.repeats) + "".join(" " + flag for flag in given)


def notes(options, reason):
    """Sentences under the table."""
    height, width = options.size
    said = [f"The net: front-end for 19 classes, fc6 and fc7 of {options.width} channels, "
            "convolutions padded (no reflected margin), one image "
            f"of {height} x {width}. Solver: solvers/gta_source.prototxt with iter_size 1.",
            "tools/train.py: its own engine and loop on %s frames from its data layer, log and "
            "guards included, snapshots not. "
            "Bare: solver.step on random blobs that lie in the net already. PyTorch: eager, the "
            "same net, SGD and threads, "
            "random tensors." % ("gta5_half" if options.data_root else "toy"),
            f"They take turns; times are medians, ratios are medians over {options.repeats} "
            "pairs with the smallest and the largest, and a "
            "first turn is not counted. Other work on the machine lengthens every time.",
            "GA and source-only: each layer timed on its own, without the solver's update."]
    if options.width != GTA.shape.fc or (height, width) != FULL_SIZE:
        said.insert(
            0, "A smaller check: the bounds are meant for %d channels and %d x %d." %
            ((GTA.shape.fc, ) + FULL_SIZE))
    return said + ([f"No comparison with PyTorch: {reason}"] if reason else [])
