"""Caffe's solver and nets, and the few things the loop asks of them."""
import os
import tempfile

import caffe
import numpy as np
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from tools.training.guards import check_loss
from tools.training.seeding import step_seed
from tools.training.solver import engine_param


class Engine:
    """One solver on one device.

    resolved:  tools.training.solver.Resolved
    snapshots: folder that caffe_snapshot() writes to
    """

    def __init__(self, resolved, snapshots):
        self.param = resolved.param
        self.seed = resolved.seed
        self._prefix = os.path.join(snapshots, resolved.prefix)
        self.on_gpu = self.param.solver_mode == caffe_pb2.SolverParameter.GPU
        if self.on_gpu:
            caffe.set_device(self.param.device_id)
            caffe.set_mode_gpu()
        else:
            caffe.set_mode_cpu()
        with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
            file.write(text_format.MessageToString(engine_param(resolved, snapshots)))
            file.flush()
            self.solver = caffe.get_solver(file.name)
        self.net = self.solver.net
        self.test_nets = list(self.solver.test_nets)
        self._sums = {}
        self._last = len(self.net.layers) - 1
        # Each callback is a few bytecodes, in which Python notices signals: a long step
        # would otherwise hold Ctrl-C back until it ends.
        self.net.after_forward(self._add_outputs)
        self.net.after_backward(lambda layer: None)
        self.solver.add_callback(lambda: None, self._check_loss)

    @property
    def iteration(self):
        """How often the weights have been updated."""
        return self.solver.iter

    def step(self):
        """One iteration: iter_size forward and backward passes and the update.

        Returns {"loss": weighted sum, blob name: value, ...}, means over the passes.
        Raises guards.NotFinite and whatever a Python layer raised; the weights are then
        those before the step.
        """
        self.seed_generators()
        self._sums = {}
        self.solver.step(1)
        return {name: value / self.param.iter_size for name, value in self._sums.items()}

    def forward(self):
        """The train net's forward pass alone, as Caffe does once after the last update."""
        self.seed_generators()
        self._sums = {}
        self.net.forward()
        return dict(self._sums)

    def seed_generators(self):
        """Makes what this iteration draws a function of (seed, iteration)."""
        seed = step_seed(self.seed, self.iteration)
        caffe.set_random_seed(seed)
        np.random.seed(seed)

    def _add_outputs(self, layer):
        if layer == self._last:
            for name, value in read_outputs(self.net).items():
                self._sums[name] = self._sums.get(name, 0.0) + value

    def _check_loss(self):
        check_loss(self.net, self.iteration, self._sums["loss"])

    def seek(self):
        """Puts the train net's data layers where this iteration needs them."""
        set_position(self.net, self.iteration * self.param.iter_size)

    def caffe_snapshot(self):
        """Lets Caffe write its snapshot; returns the (caffemodel, solverstate) paths."""
        self.solver.snapshot()
        stem = "%s_iter_%d" % (self._prefix, self.iteration)
        return stem + ".caffemodel", stem + ".solverstate"


def read_outputs(net):
    """{"loss": sum of all weighted losses, output blob: value}.

    A blob with several values counts with their sum in the loss and its mean as a value.
    """
    weights = net.blob_loss_weights
    values = {"loss": sum(weight * float(np.sum(net.blobs[name].data, dtype=np.float64))
                          for name, weight in weights.items() if weight)}
    for name in net.outputs:
        values[name] = float(np.mean(net.blobs[name].data, dtype=np.float64))
    return values


def set_position(net, batches):
    """Tells every Python layer with a position how many batches have been served before."""
    for layer in net.layers:
        if hasattr(layer, "set_position"):
            layer.set_position(batches)
