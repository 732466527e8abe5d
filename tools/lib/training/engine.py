"""Caffe's solver and nets: one iteration, the test phases, and their seeds.

Every random number is a function of (seed, number of the pass), and every batch of its number:
before each pass Caffe's and NumPy's generators are seeded, and the data layers are given the
number of the next batch. A resumed run therefore needs no state beside Caffe's own.
"""
import os
import tempfile

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from tools.lib.checking.device import use_device
from tools.lib.checking.stock_data import LabelWatch
from tools.lib.training.classifier_steps import ClassifierSteps, steps_of
from tools.lib.training.guards import check_loss
from tools.lib.training.probes import DomainProbe, PresenceProbe, presence_by_class, presence_values
from tools.lib.training.solver import (
    engine_param,
    layers_of_tests,
    tests_before,
    train_layers,
)


class Engine:
    """One solver on one device.

    resolved: tools.lib.training.solver.Resolved; folder: where caffe_snapshot() writes to;
    group: the processes that train together (tools.lib.training.parallel).
    """

    def __init__(self, resolved, folder, group):
        self.param = resolved.param
        self.seed = resolved.seed
        self.group = group
        self._prefix = os.path.join(folder, resolved.prefix)
        self.on_gpu = self.param.solver_mode == caffe_pb2.SolverParameter.GPU
        choose_device(self.param, group)
        with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
            file.write(text_format.MessageToString(engine_param(resolved, folder)))
            file.flush()
            self.solver = caffe.get_solver(file.name)
        self.net = self.solver.net
        if self.on_gpu:
            group.connect_gpus()
        self.test_nets = list(self.solver.test_nets)
        self._classifier = None
        if steps_of(self.net) > 1:
            self._classifier = ClassifierSteps(
                self.net, train_layers(resolved), self.param, folder,
                # step 0 would be the pass's own seed
                lambda number, step: self.seed_generators(self._number(number), step + 1),
                self.group.average_gradients)
        #: False while the classifier's further steps run: the state then belongs to no iteration.
        self.complete = True
        self._domain_probe, self._presence_probe = DomainProbe(self.net), PresenceProbe(self.net)
        self._sums, self._pass, self._begun, self._probing = {}, 0, 0, False
        self._last = len(self.net.layers) - 1
        # Python notices a signal only while it runs bytecode. The callbacks run some after every
        # layer, so that Ctrl-C does not wait for the end of a long step.
        self.net.before_forward(self._begin_pass)
        every = [train_layers(resolved), *layers_of_tests(resolved)]
        for net, layers in zip([self.net, *self.test_nets], every):
            labels = LabelWatch(net, layers, resolved.name)
            if labels:
                net.before_forward(labels)
        self.net.after_forward(self._add_outputs)
        self.net.before_backward(self._probe_gradients)
        self.solver.add_callback(lambda: None, self._finish_gradients)

    @property
    def iteration(self):
        """How often the weights have been updated."""
        return self.solver.iter

    def step(self, probing=False):
        """One iteration: forward and backward passes, the update, the classifier's further steps.

        probing: whether probe() will read this iteration's features and gradients.

        There are iter_size passes. Returns {"loss": weighted sum of losses, output blob: value}:
        means over the passes of all processes; "classifier_loss" is L_D in the classifier's last
        step. Raises guards.NotFinite and whatever a Python layer raises; where `complete` is True,
        the weights are then those before the step.
        """
        self._sums, self._pass, self._begun, self._probing = {}, 0, self.iteration, probing
        self.solver.step(1)
        values = {name: value / self.param.iter_size for name, value in self._sums.items()}
        if self._classifier is not None:
            self.complete = False
            values["classifier_loss"] = self._classifier.run()
            self.complete = True
        return self.group.mean(values)

    def forward(self):
        """The train net's forward pass alone; Caffe runs it once after the last update."""
        self._sums, self._pass, self._begun = {}, 0, self.iteration
        self.net.forward()
        return self.group.mean(self._sums)

    def probe(self):
        """The probes' values: ({name: value}, {class: {"precision", "recall"}}).

        They are those of all processes together; both are empty for a net without adaptation.

        Features and gradients are those of the last step(probing=True) and no longer there in the
        next call; presence is counted over all passes since the last call. Every process has to
        call it.
        """
        sums, counts = self._domain_probe.take(), self._presence_probe.take()
        self.group.average([array for array in (sums, counts) if array is not None])
        values, by_class = {}, {}
        if sums is not None and sums.any():
            values.update(DomainProbe.values(sums, self.param.iter_size))
        if counts is not None:
            values.update(presence_values(counts))
            by_class = presence_by_class(self._presence_probe.classes, counts)
        return values, by_class

    @property
    def updated_nets(self):
        """The nets whose parameters have a history, one for each of Caffe's solvers."""
        return [self.net] if self._classifier is None else [self.net, self._classifier.net]

    def seed_generators(self, *numbers):
        """Seeds Caffe's and NumPy's generators with (seed, *numbers)."""
        seed = step_seed(self.seed, *numbers)
        caffe.set_random_seed(seed)
        np.random.seed(seed)

    def _number(self, index):
        """The number of pass `index` of this iteration among all passes of the run."""
        # Passes are counted over all processes: n of them compute what one does with iter_size n.
        passes = self._begun * self.param.iter_size + index
        return passes * self.group.size + self.group.rank

    def _begin_pass(self, layer):
        if layer == 0:
            number = self._number(self._pass)
            self.seed_generators(number)
            set_position(self.net, number)
            self._pass += 1

    def _add_outputs(self, layer):
        if layer == self._last:
            values = read_outputs(self.net)
            check_loss(self.net, self.iteration, values["loss"])
            for name, value in values.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
            self._presence_probe.count()
            if self._classifier is not None:
                self._classifier.keep(self._pass - 1)

    def _probe_gradients(self, layer):
        if self._probing and layer == self._domain_probe.maker:
            self._domain_probe.add()

    def _finish_gradients(self):
        self.group.average_gradients(self.net)

    def caffe_snapshot(self):
        """Lets Caffe write its snapshot; returns {"model": path, "state": path}.

        Where the classifier takes further steps, "classifier" is the path of its state.
        """
        self.solver.snapshot()
        stem = f"{self._prefix}_iter_{self.iteration}"
        files = {"model": stem + ".caffemodel", "state": stem + ".solverstate"}
        if self._classifier is not None:
            files["classifier"] = stem + ".classifierstate"
            self._classifier.write_state(files["classifier"])
        return files

    def restore(self, state, classifier):
        """Continues from a snapshot's files.

        state: path of its solverstate, whose learned_net names the model.  classifier: path of the
        state of the classifier's further steps, None for a snapshot without one.  InputError when
        the net takes such steps and the snapshot lacks their state, or the other way round.
        """
        if (classifier is None) != (self._classifier is None):
            have = "no state" if classifier is None else "a state"
            raise InputError(f"the snapshot holds {have} of the classifier's further steps, and "
                             "the net's classifier_steps needs the opposite")
        self.solver.restore(state)
        if classifier is not None:
            self._classifier.solver.restore(classifier)


def choose_device(param, group):
    """Selects the solver's device for Caffe.

    InputError when that GPU is missing, or Caffe was built without GPU code.
    """
    gpu = gpu_of(param, group)
    use_device(gpu, f"--device gpu:{gpu}, or the solver's solver_mode and device_id")


def gpu_of(param, group):
    """Number of the GPU that a solver computes on in this process; None on the CPU."""
    on_gpu = param.solver_mode == caffe_pb2.SolverParameter.GPU
    return param.device_id + group.gpu_offset if on_gpu else None


def read_outputs(net):
    """{"loss": sum of all weighted losses, output blob: value}.

    A blob with several values adds their sum to the loss; its own value is their mean.
    """
    weights = net.blob_loss_weights
    values = {"loss": sum(weight * float(np.sum(net.blobs[name].data, dtype=np.float64))
                          for name, weight in weights.items() if weight)}
    for name in net.outputs:
        values[name] = float(np.mean(net.blobs[name].data, dtype=np.float64))
    return values


def set_position(net, batches):
    """Tells every Python layer that counts batches how many have been served before."""
    for layer in net.layers:
        if hasattr(layer, "set_position"):
            layer.set_position(batches)


def run_tests(engine, signals):
    """Runs every test net for its test_iter batches with the current weights, as Caffe does.

    Returns [{output blob: mean over the batches}] by test net, with "loss" where the solver
    sets test_compute_loss; [] when a signal to stop comes meanwhile. A test goes on in the data
    where the one before has stopped; the place is a function of the iteration.
    """
    engine.seed_generators(engine.iteration)
    results = []
    for net, batches in zip(engine.test_nets, engine.param.test_iter):
        net.share_with(engine.net)
        set_position(net, tests_before(engine.param, engine.iteration) * batches)
        sums = {}
        for _ in range(batches):
            if signals.stop is not None:
                return []
            net.forward()
            for name, value in read_outputs(net).items():
                sums[name] = sums.get(name, 0.0) + value
        if not engine.param.test_compute_loss:
            sums.pop("loss", None)
        results.append({name: value / batches for name, value in sums.items()})
    return results


def step_seed(seed, *numbers):
    """The 32-bit seed of the generators for one iteration or pass, or a step within it.

    Neighbouring seeds and iterations give unrelated numbers: a run with seed 2 is not the run with
    seed 1 shifted by one iteration.
    """
    return int(np.random.SeedSequence((seed, *numbers)).generate_state(1)[0])
