"""Several processes that train one net together, started by an MPI launcher.

Every process builds the same net and reads its own share of the batches. Before each update the
gradients are averaged over the processes, so that all keep the same weights. Rank 0 alone checks,
logs, tests, prints and snapshots; the other processes, the workers, only take the steps.
"""
import os
import sys
import tempfile
import time
import traceback

import numpy as np

from data import sharing
from data.errors import InputError
from data.files import ROOT
from tools.lib.command import exit_code
from tools.lib.device_options import use_tf32
from tools.lib.runtime import mpi
from tools.lib.training import nccl
from tools.lib.training.engine import Engine
from tools.lib.training.loop import Signals, train
from tools.lib.training.snapshots import Snapshots
from tools.lib.training.solver import resolve, use_data_root

#: Seconds that a failed process waits before it ends the others: the launcher loses the output that
#: it has not read by then.
OUTPUT_SECONDS = 1.0


class Alone:
    """The group of a run in one process, which has nothing to exchange."""

    rank, size, gpu_offset, seconds = 0, 1, 0, 0.0

    def average_gradients(self, net):
        """Replaces every parameter's gradient by its mean over the processes."""
        self.average(blobs_once(net, "diff"))

    def connect_gpus(self):
        """Lets average_gradients() exchange between the GPUs in use; every process calls it."""

    def average(self, arrays):
        """Replaces each array by its mean over the processes, in place."""

    def mean(self, values):
        """{name: mean over the processes} of {name: number}."""
        return dict(values)

    def agreed(self, signals):
        """A view of tools.lib.training.loop.Signals that is the same in every process."""
        return signals

    def send_plan(self, plan):
        """Sends the plan of rank 0 to the workers; receive_plan() returns it there."""

    def broadcast_weights(self, net):
        """Gives every process the weights of rank 0."""


ALONE = Alone()


class Group(Alone):
    """The processes of an MPI communicator.

    gpu_offset: number of this process's GPU, counted from the solver's device_id. seconds: time
    spent so far in waiting for the others and exchanging gradients.
    """

    def __init__(self, communicator):
        self._communicator = communicator
        self.rank, self.size = communicator.rank, communicator.size
        self.gpu_offset = _gpu_offset(communicator)
        self.seconds = 0.0
        self._signals = None
        self._gpus = None

    def connect_gpus(self):
        self._gpus, reason = nccl.connect(self._communicator)
        if reason and self.rank == 0:
            sys.stderr.write(f"gradients travel through the host and MPI, not between the GPUs: "
                             f"{reason}\n")

    def average_gradients(self, net):
        if self._gpus is None:
            super().average_gradients(net)
        else:
            self.seconds += self._gpus.average_gradients(net)

    def average(self, arrays):
        started = time.monotonic()
        for values in arrays:
            self._communicator.Allreduce(_in_place(), values)
            values /= self.size
        self.seconds += time.monotonic() - started

    def mean(self, values):
        """As Alone.mean; in the same exchange the processes agree on the signals that came."""
        names = sorted(values)
        sums = np.array([values[name] for name in names])
        self._communicator.Allreduce(_in_place(), sums)
        if self._signals is not None:
            self._signals.agree(self._communicator)
        return dict(zip(names, sums / self.size))

    def agreed(self, signals):
        self._signals = _AgreedSignals(signals)
        return self._signals

    def send_plan(self, plan):
        self._communicator.bcast(plan)

    def receive_plan(self):
        """What rank 0 gave to send_plan()."""
        return self._communicator.bcast(None)

    def broadcast_weights(self, net):
        for values in blobs_once(net, "data"):
            self._communicator.Bcast(values)


def join():
    """The group of this process: ALONE unless an MPI launcher started several.

    Also sets which batches the data layers of this process read. InputError when mpi4py is missing
    or belongs to another MPI than the launcher.
    """
    size = mpi.launched()[1]
    if size == 1:
        return ALONE
    mpi.make_importable()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as problem:
        raise InputError(f"started as one of {size} processes, but mpi4py does not work in the "
                         f"runtime: {problem}", fix=mpi.SETUP) from None
    if MPI.COMM_WORLD.size != size:
        raise InputError(f"the launcher started {size} processes, but their MPI library sees "
                         f"{MPI.COMM_WORLD.size}: launcher and library belong to different MPIs",
                         fix="start them with tools/mpirun, or install mpi4py for the launcher's "
                             "MPI in the runtime")
    group = Group(MPI.COMM_WORLD)
    sharing.set_current(sharing.Share(group.rank, group.size))
    return group


def train_as_worker(group):
    """Takes the steps of a run that rank 0 has checked; returns the exit code, as rank 0 does."""
    options, entry = group.receive_plan()
    use_data_root(options)
    use_tf32(options.tf32)
    resolved = resolve(options)
    os.chdir(ROOT)
    for field in ("test_net", "test_net_param", "test_iter", "test_state", "test_interval"):
        resolved.param.ClearField(field)        # rank 0 runs the tests
    with tempfile.TemporaryDirectory() as folder:
        snapshots = _NoSnapshots(resolved.output, folder)
        engine = Engine(resolved, folder, group)
        if entry is not None:
            snapshots.restore(engine, entry)
        group.broadcast_weights(engine.net)
        with Signals(_ignore) as signals:
            stopped = train(engine, snapshots, _NoOutput(), _NoOutput(), group.agreed(signals), [],
                            _ignore)
    return 0 if stopped is None else 128 + stopped


class _NoSnapshots(Snapshots):
    """Restores from the run's folder and writes nothing there.

    folder: of the run, which this process must be able to read; aside: for the copy that restore()
    makes.
    """

    def __init__(self, folder, aside):
        self.folder, self.partial = folder, aside

    def save(self, engine):
        """Does nothing: rank 0 writes the snapshot."""
        return {"iteration": engine.iteration, "model": {"name": None}}


class _NoOutput:
    """A log and a progress line that write nothing."""

    def __getattr__(self, name):
        return _ignore


def _ignore(*_arguments, **_values):
    return None


def abort_others_on_failure(main):
    """Wraps main for run_command(): a process that fails also ends the others of its group."""
    def run():
        try:
            code = exit_code(main)
        except SystemExit:
            raise
        except BaseException:
            if mpi.launched()[1] == 1:
                raise
            traceback.print_exc()
            code = 1
        rank, size = mpi.launched()
        # From 128 on, a signal has stopped the run: all processes have agreed to stop.
        if 0 < code < 128 and size > 1 and "mpi4py.MPI" in sys.modules:
            sys.stderr.write(f"process {rank} of {size} has failed (exit code {code}): the "
                             "others are ended too\n")
            sys.stderr.flush()
            time.sleep(OUTPUT_SECONDS)
            sys.modules["mpi4py.MPI"].COMM_WORLD.Abort(code)
        return code
    return run


def blobs_once(net, part):
    """The net's parameter arrays ("data" or "diff"); an array that layers share comes once."""
    seen = set()
    for blobs in net.params.values():
        for blob in blobs:
            values = getattr(blob, part)
            if values.ctypes.data not in seen:
                seen.add(values.ctypes.data)
                yield values


class _AgreedSignals:
    """The signals at the last exchange: all processes stop and snapshot at the same iteration."""

    def __init__(self, signals):
        self._signals = signals
        self.stop, self._snapshot = None, False

    @property
    def snapshot(self):
        return self._snapshot

    @snapshot.setter
    def snapshot(self, wanted):
        self._snapshot = self._signals.snapshot = wanted

    def agree(self, communicator):
        flags = np.array([self._signals.stop or 0, int(self._signals.snapshot)])
        communicator.Allreduce(_in_place(), flags, _maximum())
        self.stop, self._snapshot = int(flags[0]) or None, bool(flags[1])


def _gpu_offset(communicator):
    """This process's number, 0, 1, ..., among those of its machine.

    0 in all of them where the launcher shows every process other GPUs (CUDA_VISIBLE_DEVICES): CUDA
    counts the visible GPUs from 0.
    """
    from mpi4py import MPI
    own = communicator.Split_type(MPI.COMM_TYPE_SHARED, communicator.rank)
    shown = own.allgather(os.environ.get("CUDA_VISIBLE_DEVICES"))
    offset = 0 if len(set(shown)) == own.size else own.rank
    own.Free()
    return offset


def _in_place():
    from mpi4py import MPI
    return MPI.IN_PLACE


def _maximum():
    from mpi4py import MPI
    return MPI.MAX
