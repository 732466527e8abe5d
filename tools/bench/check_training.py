"""The trainings of tools/check_gpu.py, through tools/train.py."""
import os
import signal
import statistics
import time
from dataclasses import replace

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from data.files import sha256, write_whole
from models.build import nets
from models.experiments.fields import DataSide
from models.experiments.gta import GTA
from models.shapes import SLIM
from tools.bench.toy_run import last_iteration, require_exit, start, write_solver
from tools.bench.training_step import gta_solver
from tools.lib.runtime import source_builds
from tools.lib.training.log import LOG, iteration_seconds

#: Iterations of the toy run on a GPU, where they are short, and on the CPU.
TOY_GPU, TOY_CPU = 200, 20
#: Iterations of the source stage on a GPU and on the CPU.
SOURCE_GPU, SOURCE_CPU = 200, 20


def stopped_and_resumed(settings):
    """Yields a sentence; InputError where a run that was stopped ends with other bytes."""
    iterations = TOY_CPU if settings.gpu is None else TOY_GPU
    folder = os.path.join(settings.folder, "toy")
    os.makedirs(folder)
    solver = write_solver("ga_ca", folder, max_iter=iterations, snapshot=iterations, display=1)
    whole, stopped = (os.path.join(folder, name) for name in ("whole", "stopped"))
    device = ["--device", settings.device]
    with open(os.path.join(folder, "log.txt"), "w+b") as log:
        _train(solver, whole, log, *device)
        _train(solver, stopped, log, *device, stop_at=iterations // 3)
        reached = last_iteration(stopped)
        _train(solver, stopped, log, *device, "--resume")
    name = f"toy_ga_ca_iter_{iterations}"
    for kind, content in (("caffemodel", sha256), ("solverstate", _state)):
        first, second = (content(os.path.join(run, f"{name}.{kind}")) for run in (whole, stopped))
        if first != second:
            raise InputError(f"a run stopped after iteration {reached} of {iterations} and resumed "
                             f"ends with another {kind} than one that was never stopped")
    yield (f"Stopped by SIGTERM after iteration {reached} of {iterations} and resumed: the last "
           "caffemodel and the solver's state have the same bytes as those of a run never stopped.")


def _state(path):
    """A solverstate's bytes without the name of its caffemodel, which has the run's folder."""
    state = caffe_pb2.SolverState()
    with open(path, "rb") as file:
        state.ParseFromString(file.read())
    state.ClearField("learned_net")
    return state.SerializeToString()


def source_rate(settings):
    """Yields a sentence with the rate of the full-width source stage, for each precision."""
    on_gpu = settings.gpu is not None
    shape = (GTA.shape if on_gpu else SLIM)._replace(margin=0)
    side, iterations = (320, SOURCE_GPU) if on_gpu else (64, SOURCE_CPU)
    # toy frames of 96 x 160, enlarged so that a crop fits into them
    frames = DataSide("toy", "source_train", resize=4.0 if on_gpu else 1.0)
    sizes = replace(GTA, shape=shape, crop=(side, side), batch=2, source=frames, classes=8,
                    label_space="toy")
    folder = os.path.join(settings.folder, "source")
    os.makedirs(folder)
    net = os.path.join(folder, "net.prototxt")
    write_whole(net, text_format.MessageToString(nets(sizes)["source.prototxt"]))
    solver = gta_solver("source")
    solver.ClearField("weights")        # the time of a step does not depend on them
    solver.net, solver.iter_size, solver.max_iter = net, 1, iterations
    solver.snapshot, solver.snapshot_after_train = 0, False
    solver.display = max(iterations // 10, 1)
    path = os.path.join(folder, "source.prototxt")
    write_whole(path, text_format.MessageToString(solver))
    yield (f"{iterations} iterations of the source stage, fc6 and fc7 of {shape.fc} channels, "
           f"padded, crops of {side} x {side} of enlarged toy frames, 2 images a batch, random "
           "weights, no snapshots.")
    for tf32 in _precisions(on_gpu):
        output = os.path.join(folder, "tf32" if tf32 else "float32")
        began = time.monotonic()
        with open(os.path.join(folder, "log.txt"), "w+b") as log:
            _train(path, output, log, "--device", settings.device, *["--tf32"] * tf32)
        seconds = time.monotonic() - began
        rate = 1 / statistics.median(iteration_seconds(os.path.join(output, LOG)))
        yield (f"{'TF32' if tf32 else 'float32'}: {rate:.1f} iterations a second (median of the "
               f"displays); {seconds:.1f} s in all, start included.")


def _precisions(on_gpu):
    """Whether TF32, for each training: where Caffe has it, the paper's schedule would use it."""
    if on_gpu and source_builds.has_patch(source_builds.TF32_OPTION):
        return True, False
    return (False,)


def _train(solver, output, log, *options, stop_at=None):
    """Runs train.py to its end, or stops it by SIGTERM once it has done iteration `stop_at`.

    Raises InputError when it ends otherwise.
    """
    process = start(solver, output, log, *options)
    expected = 0
    try:
        if stop_at is not None:
            expected = 128 + signal.SIGTERM
            while process.poll() is None and (last_iteration(output) or 0) < stop_at:
                time.sleep(0.01)
            process.terminate()
        code = process.wait()
    finally:
        process.kill()
        process.wait()
    require_exit(code, log, expected)
