"""The command line of tools/bench/bench_gpu.py, and its tables."""
import argparse
import glob
import os
import statistics

from data.errors import InputError
from data.files import write_whole
from models.experiments.gta import GTA
from tools.bench import gpu_step, layer_times, torch_env
from tools.bench.ratios import milliseconds, paired_ratio, shown
from tools.bench.training_command import add_torch, find_torch, processor, running_engine
from tools.lib.command import count
from tools.lib.runtime import gpu, source_builds
from tools.lib.scoring.score_command import device
from tools.lib.tables import Table, format_of, render

MIB = 2.0 ** 20


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="python3 tools/bench/bench_gpu.py",
                                     description="Speed of a GA + CA step in every engine.")
    parser.add_argument("--device", type=device, default=0, metavar="cpu|gpu:N",
                        help="default: gpu:0")
    parser.add_argument("--builds", nargs="+", metavar="FOLDER",
                        help="source builds to compare (default: on a GPU all CUDA builds of "
                             ".caffe-build, on the CPU the "
                             "runtime in use)")
    layer_times.add_size(parser)
    parser.add_argument("--padded", action="store_true",
                        help="convolutions padded, the input is --size itself (default: 186 pixels "
                             "more on each side)")
    parser.add_argument("--width", type=count, default=GTA.shape.fc, help="channels of fc6 and fc7 "
                                                                          "(default: %(default)s)")
    parser.add_argument("--repeats", type=count, default=10, help="timed steps (default: "
                                                                  "%(default)s)")
    add_torch(parser)
    parser.add_argument("--output", help="write the tables to this file as well (.txt or .md)")
    options = parser.parse_args(arguments)
    layer_times.check_size(options.size)
    return options


def main(arguments=None):
    """Measures everything in one run, prints the tables and optionally writes them."""
    options = parse(arguments)
    form = options.output and format_of(options.output)
    number = None if options.device == "cpu" else options.device
    if number is not None and not gpu.cards():
        raise InputError("no NVIDIA GPU with a driver on this machine, so nothing was measured",
                         fix="python3 tools/bench/bench_gpu.py --device cpu --size 32 48 --padded "
                             "--width 64 --repeats 2 checks the "
                             "program itself")
    contenders, reason = takers(options, number)
    results = gpu_step.take_turns(contenders, 1, options.repeats)
    refusals = []
    if number is not None:
        free = next(result.free for result in results if result.free)
        found = [
            gpu_step.largest_batch(contender, options.repeats, free) for contender in contenders
        ]
        results += [result for result, _ in found if result is not None]
        refusals = [refusal for _, refusal in found if refusal is not None]
    tables = [
        Table(STEPS, step_rows(results), title(options),
              notes=notes(options, number, reason) + refusals),
        Table(LAYERS, layer_rows(results), "Python layers, each timed on its own after all "
              "other work was done", notes=LAYER_NOTES)
    ]
    print("\n".join(render(table, "text") for table in tables), end="")
    if form:
        write_whole(options.output, "\n".join(render(table, form) for table in tables))


def takers(options, number):
    """(Contenders, why PyTorch is not among them or None)."""
    shape = GTA.shape._replace(fc=options.width, margin=0 if options.padded else GTA.shape.margin)
    size = tuple(options.size)
    precisions = (False,) if number is None else (False, True)
    builds = [os.path.abspath(folder)
              for folder in options.builds] if options.builds else found_builds(number)
    contenders = [
        gpu_step.caffe_contender(shape, size, number, build, tf32) for build in builds
        for tf32 in precisions
    ]
    python, reason = find_torch(options, torch_env.CPU if number is None else torch_env.CUDA)
    if python is not None:
        threads = running_engine()[1]
        contenders += [
            gpu_step.torch_contender(shape, size, number, python, threads, tf32)
            for tf32 in precisions
        ]
    return contenders, reason


def found_builds(number):
    """Folders of the finished CUDA builds; on the CPU [None], the runtime in use."""
    if number is None:
        return [None]
    found = [
        os.path.dirname(path)
        for path in sorted(glob.glob(os.path.join(source_builds.HOME, "*", source_builds.RECORD)))
    ]
    # the link to the chosen one names a build a second time
    found = [
        folder for folder in found
        if not os.path.islink(folder) and source_builds.read_record(folder)["variant"] != "cpu"
    ]
    if not found:
        raise InputError(f"no finished build for CUDA in {source_builds.HOME}",
                         "python3 tools/build/build_caffe.py --variant cudnn")
    return found


STEPS = [
    "engine", "images", "a step", "images a second", "step / PyTorch's",
    "images a second / PyTorch's", "memory", "in Python layers"
]
LAYERS = [
    "engine", "images", "layer", "forward and backward", "share of the step", "taken forward",
    "taken backward"
]
LAYER_NOTES = ["Taken: the blobs that the layer's Python code looks at or fills. On a GPU they "
               "come to the host and may go back, "
               "so at most twice that is moved; blobs that it does not take stay where they are."]


def step_rows(results):
    """Rows of the first table.

    A step is compared with PyTorch's of the same batch and precision, images a second with
    PyTorch's at one image of each domain, or at the largest batch of each.
    """
    torch = {(result.images, result.tf32): result.times
             for result in results if result.layers is None}
    rates = {(result.images > 1, result.tf32): images_a_second(result)
             for result in results if result.layers is None}
    rows = []
    for result in results:
        other, rate = torch.get((result.images, result.tf32)), rates.get((result.images
                                                                          > 1, result.tf32))
        rows.append([
            result.label, f"{result.images} + {result.images}",
            milliseconds(result.times), f"{images_a_second(result):.2f}",
            "" if other is None or other is result.times else shown(
                paired_ratio(result.times, other)), "" if rate is None or result.layers is None else
            f"{images_a_second(result) / rate:.3f}", f"{result.memory / MIB:.0f} MiB",
            python_share(result.layers)
        ])
    return rows


def images_a_second(result):
    """Images of both domains, at the median of the steps."""
    return 2 * result.images / statistics.median(result.times)


def python_share(layers):
    """Share of the layers' time that the Python layers take, in words."""
    if layers is None:
        return ""
    return "%.2f %%" % (100 * sum(found[0] for name, found in layers.items() if name != "all") /
                        layers["all"])


def layer_rows(results):
    """Rows of the second table."""
    return [[
        result.label, f"{result.images} + {result.images}", name,
        milliseconds([found[0]]), f"{100 * found[0] / result.layers['all']:.3f} %"
    ] + [f"{taken / MIB:.2f} MiB" for taken in found[1:]] for result in results if result.layers
            for name, found in sorted(result.layers.items()) if name != "all"]


def title(options):
    """The command that wrote the tables; folders of the machine stay out of it."""
    given = [
        "--device", "cpu" if options.device == "cpu" else f"gpu:{options.device}", "--size",
        *map(str, options.size)
    ]
    given += ["--padded"] * options.padded + [
        "--width", str(options.width), "--repeats",
        str(options.repeats)
    ]
    given += ["--without-torch"] * options.without_torch
    return "Written by python3 tools/bench/bench_gpu.py " + " ".join(given)


def notes(options, number, reason):
    """Sentences under the first table."""
    margin = 0 if options.padded else GTA.shape.margin
    height, width = (side + 2 * margin for side in options.size)
    said = [
        "GA + CA for 19 classes, fc6 and fc7 of %d channels, inputs of %d x %d, labels of %d x "
        "%d, float32, random images and "
        "weights, the solver of solvers/gta_ga_ca.prototxt with iter_size 1." %
        (options.width, height, width, *options.size),
        "PyTorch: eager, the same net and losses; the class sizes are found by the same numpy "
        "code on the host.",
        "With 1 + 1 images they take turns, and the ratio is the median of the pairs with the "
        "smallest and the largest; "
        "times are medians, a first step is not counted. With more images each runs alone."
    ]
    if number is None:
        said.insert(0, f"Computed on the CPU ({processor()}, load average {os.getloadavg()[0]:.1f} "
                       "at the end): a check of the program, no GPU was seen. Memory is "
                       "the process's peak.")
    else:
        said.insert(0, f"GPU: {gpu.cards()[number]}. Memory is what the GPU has less than at the "
                       "start, without the context.")
    return said + ([f"No PyTorch: {reason}"] if reason else [])
