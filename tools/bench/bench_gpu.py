"""Speed of a full-width GA + CA step on a GPU: Caffe, with and without TF32, beside PyTorch.

    python3 tools/bench/bench_gpu.py --output docs/results/gpu_speed.md
    python3 tools/bench/bench_gpu.py --device cpu --size 32 48 --padded --width 64 --repeats 2

The second command needs no GPU and checks the program itself. All engines have the same net and
losses. They take steps with one image of each domain, then with the largest batch that fits. Prints
images a second, ratios, memory, the Python layers' share of the time, and the bytes that each
Python layer brings to the host.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import glob
import os

from data.errors import InputError
from models.experiments.gta import GTA
from tools.bench import gpu_engines, torch_env
from tools.bench.gpu_tables import LAYER_NOTES, LAYERS, STEPS, layer_rows, step_rows
from tools.bench.random_nets import add_size, check_size
from tools.bench.timing import processor, running_engine
from tools.lib.command import CommandParser, count, run_command
from tools.lib.device_options import device, gpu_number
from tools.lib.runtime import source_builds
from tools.lib.runtime.machine import cards
from tools.lib.tables import Table, format_of, print_and_write

CHECK = "python3 tools/bench/bench_gpu.py --device cpu --size 32 48 --padded --width 64 --repeats 2"


def parse(arguments=None):
    """The options of the command line, checked."""
    parser = CommandParser(prog="python3 tools/bench/bench_gpu.py",
                           description="Speed of a GA + CA step in every engine.")
    parser.add_argument("--device", type=device, default="gpu:0", metavar="cpu|gpu:N",
                        help="default: gpu:0")
    parser.add_argument("--builds", nargs="+", metavar="FOLDER",
                        help="source builds to compare, and 'none' for the runtime in use "
                             "(default: on a GPU all CUDA builds of .caffe-build, on the CPU "
                             "'none')")
    add_size(parser)
    parser.add_argument("--padded", action="store_true",
                        help="convolutions padded, the input is --size itself (default: 186 pixels "
                             "more on each side)")
    parser.add_argument("--width", type=count, default=GTA.shape.fc,
                        help="channels of fc6 and fc7 (default: %(default)s)")
    parser.add_argument("--repeats", type=count, default=10,
                        help="timed steps (default: %(default)s)")
    torch_env.add_torch(parser)
    parser.add_argument("--output", help="write the tables to this file as well (.txt or .md)")
    options = parser.parse_args(arguments)
    check_size(options.size)
    return options


def main(arguments=None):
    """Measures everything in one run, prints the tables and writes them to --output."""
    options = parse(arguments)
    form = options.output and format_of(options.output)
    number = gpu_number(options.device)
    if number is not None and not cards():
        raise InputError("no NVIDIA GPU with a driver on this machine, so nothing was measured",
                         f"{CHECK} checks the program itself")
    engines, reason = find_engines(options, number)
    results = gpu_engines.take_turns(engines, 1, options.repeats)
    refusals = []
    if number is not None:
        free = next(result.free for result in results if result.free)
        for engine in engines:
            result, refusal = gpu_engines.largest_batch(engine, options.repeats, free)
            results += [result] if result else []
            refusals += [refusal] if refusal else []
    tables = [
        Table(STEPS, step_rows(results), title(options),
              notes=notes(options, number, engines, reason) + refusals),
        Table(LAYERS, layer_rows(results),
              "Python layers, each timed on its own after all other work was done",
              notes=LAYER_NOTES)
    ]
    print_and_write(tables, options.output, form)


def find_engines(options, number):
    """(Engines, reason why PyTorch is not among them or None).

    number: of the GPU, None for the CPU.
    """
    shape = GTA.shape._replace(fc=options.width, margin=0 if options.padded else GTA.shape.margin)
    size = tuple(options.size)
    precisions = (False,) if number is None else (False, True)
    if options.builds:
        builds = [None if folder == "none" else os.path.abspath(folder)
                  for folder in options.builds]
    else:
        builds = found_builds(number)
    engines = [gpu_engines.caffe_engine(shape, size, number, build, tf32)
               for build in builds for tf32 in precisions]
    python, reason = torch_env.find_torch(
        options, torch_env.CPU if number is None else torch_env.CUDA)
    if python is not None:
        threads = running_engine()[1]
        engines += [gpu_engines.torch_engine(shape, size, number, python, threads, tf32)
                    for tf32 in precisions]
    return engines, reason


def found_builds(number):
    """Folders of the finished CUDA builds; on the CPU (None) [None], the runtime in use."""
    if number is None:
        return [None]
    records = glob.glob(os.path.join(source_builds.HOME, "*", source_builds.RECORD))
    folders = [os.path.dirname(path) for path in sorted(records)]
    # a link names the chosen build a second time
    builds = [folder for folder in folders if not os.path.islink(folder)
              and source_builds.read_record(folder)["variant"] == "cuda"]
    if not builds:
        raise InputError(f"no finished build for CUDA in {source_builds.HOME}",
                         "python3 tools/build/build_caffe.py --variant cuda")
    return builds


def title(options):
    """The command that wrote the tables, without the names of this machine's folders."""
    height, width = options.size
    command = f"python3 tools/bench/bench_gpu.py --device {options.device} --size {height} {width}"
    command += " --padded" * options.padded
    if options.builds:
        names = (os.path.join(".caffe-build", os.path.basename(os.path.normpath(folder)))
                 if folder != "none" else folder for folder in options.builds)
        command += f" --builds {' '.join(names)}"
    command += f" --width {options.width} --repeats {options.repeats}"
    command += " --without-torch" * options.without_torch
    return f"Written by {command}"


def notes(options, number, engines, reason):
    """Sentences under the first table. number, engines, reason: as in find_engines()."""
    margin = 0 if options.padded else GTA.shape.margin
    height, width = options.size
    if number is None:
        machine = (f"Computed on the CPU ({processor()}, load average {os.getloadavg()[0]:.1f} at "
                   "the end): a check of the program, no GPU was seen. Memory is the process's "
                   "peak.")
    else:
        machine = (f"GPU: {cards()[number]}. Memory is the GPU's free memory at the start, "
                   "after the context was made, minus that after a step.")
    sentences = [
        machine,
        f"GA + CA for 19 classes, fc6 and fc7 of {options.width} channels, inputs of "
        f"{height + 2 * margin} x {width + 2 * margin}, labels of {height} x {width}, float32, "
        "random images and weights, the solver of solvers/gta_ga_ca.prototxt with iter_size 1.",
        "PyTorch: eager mode, the same net and losses; the class sizes are found by the same numpy "
        "code on the host.",
        "With 1 + 1 images the engines take turns, and the ratio is the median of the pairs with "
        "the smallest and the largest. Times are medians; the first step is not counted. With more "
        "images each engine runs alone."
    ]
    sentences.append("Column buffers: " + "; ".join(
        f"{engine.label}, {'one' if engine.one_column_buffer else 'one a convolution'}"
        for engine in engines if engine.one_column_buffer is not None) + ".")
    return sentences + ([f"No PyTorch: {reason}"] if reason else [])


if __name__ == "__main__":
    run_command(main)
