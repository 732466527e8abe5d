"""The GA + CA step in every engine: who takes part, their turns, and the largest batch that
fits."""
import json
import os
from collections import namedtuple
from contextlib import ExitStack

from tqdm import tqdm

from data.errors import InputError
from data.files import ROOT
from models.build import nets
from tools.bench.layer_times import experiment
from tools.bench.step_process import StepProcess
from tools.bench.torch_env import TorchSteps
from tools.bench.training_step import check_same_size, torch_spec
from tools.lib.runtime import source_builds
from tools.lib.runtime.enter import python_command
from tools.lib.runtime.environment import runtime_environment

#: One engine. start: function of the images of each domain that gives a StepProcess; tf32: whether
#: it may use it.
Contender = namedtuple("Contender", "label start tf32")

#: What one engine did. times: seconds of each step, the first one apart; memory: bytes; free: bytes
#: on
#: the GPU before, None where unknown; layers: as caffe_step answers, None for PyTorch.
Result = namedtuple("Result", "label tf32 images times memory free layers")

WORKER = ["-m", "tools.bench.caffe_step"]
VARIANTS = {"cpu": "CPU", "cuda": "CUDA", "cudnn": "cuDNN"}


def caffe_contender(shape, size, gpu, build=None, tf32=False):
    """Caffe in a source build, or in the runtime in use (None). gpu: number, or None for the
    CPU."""
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
        return StepProcess(python + WORKER + [json.dumps(dict(spec, images=images))], environ,
                           label)

    return Contender(label, start, tf32)


def torch_contender(shape, size, gpu, python, threads, tf32=False):
    """PyTorch in the interpreter `python`."""
    spec = dict(torch_spec(shape, size,
                           experiment(shape, size, 1).classes, threads, "ga_ca"), gpu=gpu,
                tf32=tf32, adaptation=adaptation(shape, size))
    return Contender(
        "PyTorch, TF32" if tf32 else "PyTorch",
        lambda images: TorchSteps(python, dict(spec, images=2 * images, labels=images)), tf32)


def adaptation(shape, size):
    """What torch_adapted.py needs to know, read from the net that Caffe trains."""
    net = nets(experiment(shape, size, 1))["ga_ca.prototxt"]
    layers = {layer.python_param.layer: layer for layer in net.layer if layer.type == "Python"}
    domain = json.loads(layers["DomainAdversarialLoss"].python_param.param_str)
    rule = json.loads(layers["ConstrainedMILLoss"].python_param.param_str)
    return dict(root=ROOT, hidden=shape.hidden, objective=domain["objective"],
                weight=domain["weight"], statistics=os.path.join(ROOT, rule.pop("statistics")),
                rule=rule, mil_weight=layers["ConstrainedMILLoss"].loss_weight[0])


def take_turns(contenders, images, repeats):
    """Results of all contenders, step by step in turns, `images` of each domain in the batch."""
    with ExitStack() as stack:
        running, memory = [], []
        for contender in contenders:
            process = stack.enter_context(contender.start(images))
            check_same_size(
                running[0].first["parameters"] if running else process.first["parameters"],
                process.first["parameters"])
            running.append(process)
            memory.append(process.step()["memory"])     # allocates: before the next one starts
        times = [[] for _ in running]
        for _ in tqdm(range(repeats), desc=f"{images} + {images} images", unit="turn"):
            for process, found in zip(running, times):
                found.append(process.step()["seconds"])
        return [
            Result(contender.label, contender.tf32, images, found, taken, process.first.get("free"),
                   None if isinstance(process, TorchSteps) else process.ask("layers"))
            for contender, process, found, taken in zip(contenders, running, times, memory)
        ]


def largest_batch(contender, repeats, free):
    """(Result of the largest batch whose steps succeed, what the engine said of the smallest that
    failed).

    free: bytes on the GPU before anything is taken. The reader is told the reason, for it need not
    be memory.
    """
    refusals = {}

    def attempt(images):
        try:
            return take_turns([contender], images, repeats)[0]
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
    """What attempt(n) returns for the largest n for which it is not None; None when there is none.
    guess: where to look first."""
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
