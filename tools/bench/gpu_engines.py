"""The GA + CA step in every engine: which engines take part, their turns, and the largest batch."""
import json
import os
from collections import namedtuple
from contextlib import ExitStack

import threadpoolctl

from data.errors import InputError
from data.files import ROOT
from data.progress import progress_bar
from models.build import nets
from tools.bench.random_nets import experiment
from tools.bench.step_process import StepProcess, TorchSteps
from tools.bench.training_step import check_same_size, torch_spec
from tools.lib.runtime import source_builds
from tools.lib.runtime.enter import python_command, runtime_environment

#: label: its name in the tables.  start: function of the images of each domain that returns a
#: StepProcess.  tf32: whether it may compute in TF32.
#: one_column_buffer: whether its convolutions share the memory of their columns, None for PyTorch.
Engine = namedtuple("Engine", "label start tf32 one_column_buffer", defaults=(None,))

#: What one engine measured.  images: of each domain.  times: seconds of each step but the first.
#: memory: bytes.  free: bytes on the GPU before anything was allocated, None where unknown.
#: layers: as caffe_step answers the line "layers", None for PyTorch.
Result = namedtuple("Result", "label tf32 images times memory free layers")

CAFFE_STEP = ["-m", "tools.bench.caffe_step"]
VARIANTS = {"cpu": "CPU", "cuda": "CUDA"}


def caffe_engine(shape, size, gpu, build=None, tf32=False):
    """Caffe in a source build, or in the runtime in use (None).

    size: (height, width) of the labels; gpu: its number, or None for the CPU.
    """
    environ = dict(os.environ, CAFFE_TF32=str(int(tf32)))
    if build is None:
        label, python = "Caffe", python_command([])
    else:
        record = source_builds.read_record(build)
        label, python = f"Caffe, {VARIANTS[record['variant']]}", [source_builds.python(build)]
        environ = runtime_environment(dict(environ, CAFFE_BUILD=build, PYTHONPATH=""))
    label += ", TF32" if tf32 else ""
    spec = dict(shape=shape, size=size, gpu=gpu)

    def start(images):
        return StepProcess(python + CAFFE_STEP + [json.dumps(dict(spec, images=images))], environ,
                           label)

    return Engine(label, start, tf32,
                  source_builds.has_patch(source_builds.ONE_COLUMN_BUFFER, environ))


def torch_engine(shape, size, gpu, python, threads, tf32=False):
    """PyTorch in the interpreter `python`; the other arguments are those of caffe_engine()."""
    classes = experiment(shape, size, 1).classes
    spec = dict(torch_spec(shape, size, classes, threads, "ga_ca"), gpu=gpu, tf32=tf32,
                adaptation=adaptation(shape, size))
    return Engine(
        "PyTorch, TF32" if tf32 else "PyTorch",
        lambda images: TorchSteps(python, dict(spec, images=2 * images, labels=images)), tf32)


def adaptation(shape, size):
    """The settings of the adaptation losses for torch_adapted.py, read from Caffe's net."""
    net = nets(experiment(shape, size, 1))["ga_ca.prototxt"]
    layers = {layer.python_param.layer: layer for layer in net.layer if layer.type == "Python"}
    domain = json.loads(layers["DomainAdversarialLoss"].python_param.param_str)
    rule = json.loads(layers["ConstrainedMILLoss"].python_param.param_str)
    # threadpoolctl is one file in Python, which PyTorch does not bring
    paths = [ROOT, os.path.dirname(threadpoolctl.__file__)]
    return dict(paths=paths, hidden=shape.hidden, normalised="RMSNorm" in layers,
                objective=domain["objective"],
                weight=domain["weight"], statistics=os.path.join(ROOT, rule.pop("statistics")),
                rule=rule, mil_weight=layers["ConstrainedMILLoss"].loss_weight[0])


def take_turns(engines, images, repeats):
    """Results of all engines, which step in turns, with `images` of each domain in the batch."""
    with ExitStack() as stack:
        running, memory = [], []
        for engine in engines:
            process = stack.enter_context(engine.start(images))
            running.append(process)
            check_same_size(running[0].first["parameters"], process.first["parameters"])
            memory.append(process.step()["memory"])     # allocates: before the next one starts
        times = [[] for _ in running]
        for _ in progress_bar(range(repeats), desc=f"{images} + {images} images", unit="turn"):
            for process, seconds in zip(running, times):
                seconds.append(process.step()["seconds"])
        return [
            Result(engine.label, engine.tf32, images, seconds, taken, process.first.get("free"),
                   None if isinstance(process, TorchSteps) else process.ask("layers"))
            for engine, process, seconds, taken in zip(engines, running, times, memory)
        ]


def largest_batch(engine, repeats, free):
    """(Result of the largest batch whose steps succeed, error of the smallest batch that failed).

    The result is None when no batch succeeds, the error None when none fails. The error is returned
    because it need not be a lack of memory. free: bytes on the GPU before anything is allocated.
    """
    refusals = {}

    def attempt(images):
        try:
            return take_turns([engine], images, repeats)[0]
        except InputError as problem:       # running out of memory ends the process
            refusals[images] = problem.what
            return None

    one, two = attempt(1), attempt(2)
    found = one
    if one is not None and two is not None:
        more = max(two.memory - one.memory, 1)
        found = largest(attempt, max(2, 1 + int((free - one.memory) // more)))
    if not refusals:
        return found, None
    images = min(refusals)
    return found, f"{images} + {images} images: {refusals[images]}"


def largest(attempt, guess):
    """attempt(n) of the largest n for which it is not None; None when there is no such n.

    guess: the n to try first. attempt must be None for every n above the largest.
    """
    best, found, limit, stride, n = 0, None, None, 1, guess
    while limit is None or limit - best > 1:
        now = attempt(n)
        if now is None:
            limit = n
        else:
            best, found = n, now
        if limit is None:
            n, stride = best + stride, 2 * stride
        else:
            n = (best + limit) // 2
    return found
