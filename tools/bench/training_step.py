"""One training step: by tools/train.py, by bare solver.step and by PyTorch."""
import copy
import os
import time
from dataclasses import replace

import caffe
import numpy as np
from google.protobuf import text_format

from data.files import ROOT
from models.build import nets
from models.experiments.fields import DataSide
from models.experiments.gta import GTA
from models.shapes import CONVS_A_BLOCK, STRIDE
from tools.bench.random_nets import fill, with_random_data
from tools.lib.checking.solver_file import load_solver
from tools.lib.training import run_folder
from tools.lib.training.engine import Engine
from tools.lib.training.guards import ClassifierMonitor, check_parameters
from tools.lib.training.parallel import ALONE
from tools.lib.training.run import parse, run_loop
from tools.lib.training.snapshots import Snapshots
from tools.lib.training.solver import engine_param, resolve, use_data_root

#: Frames of the data layer, and the factor that resizes them so that 256 x 256 fits into them.
GTA5_HALF = DataSide("gta5_half", "train")
TOY = DataSide("toy", "source_train", resize=3.0)
#: How often the check of all parameters is timed; the median counts.
GUARDS = 3


class Turns:
    """A monitor of the training loop: times each iteration, then lets the others take a step each.

    others: {name: function that takes a step and returns {"seconds", "gradients"}}.
    times: {"loop" or name: [seconds]}; gradients: {name: [seconds]}. The first turn is not counted,
    because it allocates memory.
    """

    def __init__(self, others):
        self._others = others
        self.times = {name: [] for name in ["loop", *others]}
        self.gradients = {name: [] for name in others}
        self._since = time.perf_counter()

    def check(self, iteration, _values):
        """Called by the loop at the end of each iteration."""
        loop = time.perf_counter() - self._since
        steps = {name: step() for name, step in self._others.items()}
        if iteration:
            self.times["loop"].append(loop)
            for name, step in steps.items():
                self.times[name].append(step["seconds"])
                self.gradients[name].append(step["gradients"])
        self._since = time.perf_counter()


class BareSteps:
    """Caffe's own solver on `net` (NetParameter), whose data are random images and labels.

    targets: images of the target domain in the batch, beside experiment.batch of the source.
    now: the clock; for a GPU one that waits until the GPU has finished its work.
    """

    def __init__(self, param, net, experiment, folder, targets=0, now=time.perf_counter):
        param = copy.deepcopy(param)
        param.ClearField("net")
        param.net_param.CopyFrom(
            with_random_data(copy.deepcopy(net), experiment.crop, experiment.batch, targets,
                             experiment.shape.margin))
        self._solver = caffe.get_solver(_write(folder, "bare.prototxt", param))
        self.net, self._now = self._solver.net, now
        fill(self.net, experiment.classes)
        self._solver.add_callback(lambda: None, self._note)

    def _note(self):
        self._gradients = self._now()

    def step(self):
        """One step; returns its {"seconds", "gradients": seconds forward and backward}."""
        start = self._now()
        self._solver.step(1)
        return dict(seconds=self._now() - start, gradients=self._gradients - start)

    def parameters(self):
        """Numbers in the net's parameters."""
        return sum(blob.count for blobs in self.net.params.values() for blob in blobs)


def measure(shape, size, repeats, data_root, folder, torch=None):
    """Times `repeats` turns: (Turns, seconds of the check of all parameters, `display`).

    The check is made once in `display` iterations. folder: for temporary files.
    data_root: folder with gta5_half, or None for the toy.  torch: TorchSteps, or None.
    """
    source = GTA5_HALF if data_root else TOY
    experiment = replace(GTA, shape=shape, crop=tuple(size), batch=1, source=source)
    net = nets(experiment)["source.prototxt"]
    resolved = _resolved(net, repeats, data_root, folder)
    os.makedirs(resolved.output)
    run_folder.write_prototxts(resolved)
    snapshots = Snapshots(resolved.output)
    engine = Engine(resolved, snapshots.partial, ALONE)
    try:
        bare = BareSteps(engine_param(resolved, folder), net, experiment, folder)
        others = {"bare": bare.step}
        if torch is not None:
            check_same_size(bare.parameters(), torch.parameters)
            others["torch"] = torch.step
        turns = Turns(others)
        if run_loop(engine, resolved, snapshots, [ClassifierMonitor(), turns]) is not None:
            raise KeyboardInterrupt
        guard = float(np.median([_guard_seconds(engine) for _ in range(GUARDS)]))
        return turns, guard, resolved.param.display
    finally:
        snapshots.close()
        for layer in engine.net.layers:
            if hasattr(layer, "set_position"):
                layer.close()


def check_same_size(parameters, others):
    """AssertionError unless two engines' nets have the same number of parameters."""
    if parameters != others:
        raise AssertionError(f"the nets differ: {parameters} and {others} parameters")


def torch_spec(shape, size, classes, threads, stage="source"):
    """The sizes and the solver's numbers for torch_step.py, for one image on the CPU.

    size: (height, width) of the labels; threads: of PyTorch.
    """
    solver = gta_solver(stage)
    return dict(channels=shape.channels, convs=CONVS_A_BLOCK, fc=shape.fc, classes=classes,
                dropout=shape.dropout, stride=STRIDE, padded=shape.margin == 0, size=list(size),
                input=[side + 2 * shape.margin for side in size], images=1, labels=1,
                threads=threads, gpu=None, tf32=False,
                rate=solver.base_lr, momentum=solver.momentum, weight_decay=solver.weight_decay)


def gta_solver(stage="source"):
    """The committed solver (SolverParameter) of a stage at full width."""
    return load_solver(os.path.join(ROOT, "solvers", f"gta_{stage}.prototxt"))


def _resolved(net, repeats, data_root, folder):
    """The settings of a run of the committed solver on `net`: one image a step, no snapshots."""
    solver = gta_solver()
    solver.ClearField("weights")        # the time of a step does not depend on them
    solver.net = _write(folder, "net.prototxt", net)
    solver.iter_size, solver.max_iter = 1, repeats + 1
    solver.snapshot, solver.snapshot_after_train = 0, False
    arguments = ["--solver", _write(folder, "speed.prototxt", solver),
                 "--output", os.path.join(folder, "run")]
    options = parse(arguments + (["--data-root", data_root] if data_root else []))
    use_data_root(options)
    return resolve(options)


def _guard_seconds(engine):
    start = time.perf_counter()
    check_parameters(engine.net, engine.iteration)
    return time.perf_counter() - start


def _write(folder, name, message):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(message))
    return path
