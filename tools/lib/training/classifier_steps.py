"""Further updates of the domain classifier within an iteration ("classifier_steps" of its loss).

Iteration i with k classifier steps:

    1. Caffe's own step: iter_size forward and backward passes, one update of everything
    2. k - 1 times: forward and backward through the classifier alone, on the features of those
       same passes, and an update of the classifier alone

A second Caffe solver does the updates, on a net of the classifier's layers that shares the
parameters of the train net. It follows the same rule (type, momentum, weight decay, lr_mult, ...)
with its own history, and the same schedule stretched by k - 1: its step j of iteration i has the
rate of the time i + j / (k - 1). History and count are the third file of a snapshot. With k = 1
there is no such solver; stock `caffe train` takes no further steps, as with k = 1.
"""
import os
import tempfile

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from layers import gpu_arrays
from layers.domain_classifier_check import GATE, LOSS, python_class
from tools.lib.training.guards import check_loss

#: Fields of the solver that the classifier's solver takes over.
RULE = ("type", "base_lr", "lr_policy", "gamma", "power", "stepsize", "stepvalue", "max_iter",
        "momentum", "momentum2", "rms_decay", "delta", "weight_decay", "regularization_type",
        "clip_gradients", "iter_size", "solver_mode", "device_id")
#: Name of its snapshots until they have that of the run.
PREFIX = "classifier"
LARGEST = 2 ** 31 - 1       # of protobuf's int32


def steps_of(net):
    """k of a caffe.Net: how often its domain classifier is updated in an iteration; 1 without one.

    InputError when a net with several classifiers asks for more than 1.
    """
    asked = [layer.classifier_steps for layer in net.layers if hasattr(layer, "classifier_steps")]
    if len(asked) > 1 and max(asked) > 1:
        raise InputError(f"classifier_steps is {max(asked)} in a net with {len(asked)} domain "
                         "losses; expected one loss", "use classifier_steps 1, or one classifier")
    return max(asked, default=1)


class ClassifierSteps:
    """The k - 1 further steps of every iteration, k > 1.

    net: the train net (caffe.Net); layers: its LayerParameters that run, in order; param: its
    SolverParameter; folder: where write_state() lets Caffe write; seed(number, step): seeds the
    generators for pass `number` of the further step `step`, both counted from 0; average(net):
    averages the gradients of a net over the processes.
    """

    def __init__(self, net, layers, param, folder, seed, average):
        self._count, self._passes, self._seed = steps_of(net) - 1, param.iter_size, seed
        gate, own = _classifier_layers(layers)
        features, link = gate.top
        # The gate's bottom: a layer of the classifier may change the gate's top in place.
        self._source = net.blobs[net.bottom_names[gate.name][0]]
        shape = list(self._source.shape)
        inputs = [_input(features, shape), _input(link, net.blobs[link].shape)]
        self._prefix = os.path.join(folder, PREFIX)
        self.solver = _solver(stretched(param, self._count), inputs + own, self._prefix)
        self.net = self.solver.net
        self.net.share_with(net)
        self._input, self._loss = self.net.blobs[features], self.net.blobs[own[-1].top[0]]
        # The features of one pass need no place of their own.
        self._kept = [self._input] if self._passes == 1 else _blobs(shape, self._passes)
        self._last = len(self.net.layers) - 1
        self._step = self._pass = 0
        self._sum = 0.0
        self.net.before_forward(self._begin_pass)
        self.net.after_forward(self._end_pass)
        self.solver.add_callback(lambda: None, lambda: average(self.net))

    def keep(self, number):
        """Keeps the features of pass `number` of this iteration, which has just run forwards."""
        _copy(self._source, self._kept[number])

    def run(self):
        """Takes the steps on the kept features; returns L_D in the last of them.

        L_D is taken before that step's update: a mean over this process's passes.
        """
        for step in range(self._count):
            self._step, self._pass, self._sum = step, 0, 0.0
            self.solver.step(1)
        return self._sum / self._passes

    def write_state(self, path):
        """Writes history and count as a solverstate; the weights are in the run's own model."""
        self.solver.snapshot()
        stem = f"{self._prefix}_iter_{self.solver.iter}"
        state = caffe_pb2.SolverState()
        with open(stem + ".solverstate", "rb") as file:
            state.ParseFromString(file.read())
        state.ClearField("learned_net")
        with open(path, "wb") as file:
            file.write(state.SerializeToString())
        for ending in (".solverstate", ".caffemodel"):
            os.unlink(stem + ending)

    def _begin_pass(self, layer):
        if layer == 0:
            if self._passes > 1:
                _copy(self._kept[self._pass], self._input)
            self._seed(self._pass, self._step)
            self._pass += 1

    def _end_pass(self, layer):
        if layer == self._last:
            value = float(np.sum(self._loss.data, dtype=np.float64))
            check_loss(self.net, self.solver.iter // self._count, value)
            self._sum += value


def stretched(param, count):
    """The rule and schedule of a SolverParameter for a solver that steps `count` times as often.

    InputError when an iteration's number then exceeds Caffe's largest.
    """
    made = caffe_pb2.SolverParameter()
    for field in RULE:
        if field == "stepvalue":
            made.stepvalue.extend(param.stepvalue)
        elif param.HasField(field):
            setattr(made, field, getattr(param, field))
    if param.max_iter * count > LARGEST:
        raise InputError(f"max_iter {param.max_iter} is too large for classifier_steps "
                         f"{count + 1}", f"use a max_iter up to {LARGEST // count}")
    made.max_iter = param.max_iter * count
    # a step beyond max_iter never comes, whatever its number
    made.stepvalue[:] = [min(value * count, LARGEST) for value in param.stepvalue]
    if param.HasField("stepsize"):
        made.stepsize = min(param.stepsize * count, LARGEST)
    if param.lr_policy == "exp":
        made.gamma = param.gamma ** (1 / count)
    elif param.lr_policy in ("inv", "sigmoid"):
        made.gamma = param.gamma / count
    return made


def _classifier_layers(layers):
    """(the gate, the layers between gate and loss with the loss) of a checked net's layers."""
    gate = next(layer for layer in layers if python_class(layer) == GATE)
    units, own = {gate.top[0]}, []
    for layer in layers[layers.index(gate) + 1:]:
        if units.intersection(layer.bottom):
            own.append(layer)
            units.update(layer.top)
            if python_class(layer) == LOSS:
                break
    return gate, own


def _input(blob, shape):
    layer = caffe_pb2.LayerParameter(name=f"input {blob}", type="Input", top=[blob])
    layer.input_param.shape.add().dim.extend(shape)
    return layer


def _solver(param, layers, prefix):
    param.train_net_param.layer.extend(layers)
    param.snapshot_prefix = prefix
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(param))
        file.flush()
        return caffe.get_solver(file.name)


def _blobs(shape, count):
    """`count` blobs of a shape, apart from any net that runs."""
    net = caffe_pb2.NetParameter(layer=[_input(f"pass{number}", shape) for number in range(count)])
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(net))
        file.flush()
        return list(caffe.Net(file.name, caffe.TRAIN).blobs.values())


def _copy(source, target):
    on_gpu = gpu_arrays.current()
    if on_gpu:
        on_gpu.copy(source, target)
    else:
        target.data[...] = source.data
