"""Several processes that train one net together, started by an MPI launcher.

Every process makes the same net, reads its own share of the batches, and adds its gradients
to those of the others before each update, so that all keep the same weights. Process 0
leads: it alone checks, logs, tests, prints and snapshots.
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
from tools.lib.runtime import mpi
from tools.lib.training.engine import Engine
from tools.lib.training.loop import Signals, train
from tools.lib.training.snapshots import Snapshots
from tools.lib.training.solver import resolve, use_data_root

#: Seconds for the launcher to pass on what a process has said: what it has not read when the process
#: aborts is lost.
FORWARD = 1.0


class Alone:
    """One process: nothing to share."""

    rank, size, gpu_offset, seconds = 0, 1, 0, 0.0
    leads = True

    def average_gradients(self, net):
        """Every parameter's gradient becomes its mean over the processes."""
        self.average(blobs_once(net, "diff"))

    def average(self, arrays):
        """Each array becomes its mean over the processes, in place; that of one process is
        itself."""

    def mean(self, values):
        """{name: mean over the processes} of {name: number}."""
        return dict(values)

    def agreed(self, signals):
        """A tools.lib.training.signals.Signals that says the same in every process."""
        return signals

    def announce(self, plan):
        """Process 0 tells the others what to do; see hear()."""

    def equalize(self, net):
        """Gives every process the weights of process 0."""


ALONE = Alone()


class Group(Alone):
    """The processes of an MPI communicator.

    gpu_offset: the number of this process's GPU, counted from the solver's. seconds: spent so far
    in waiting for the others and exchanging gradients.
    """

    def __init__(self, communicator):
        self._communicator = communicator
        self.rank, self.size = communicator.rank, communicator.size
        self.gpu_offset = _gpu_offset(communicator)
        self.leads = self.rank == 0
        self.seconds = 0.0
        self._signals = None

    def average(self, arrays):
        started = time.monotonic()
        for values in arrays:
            self._communicator.Allreduce(_in_place(), values)
            values /= self.size
        self.seconds += time.monotonic() - started

    def mean(self, values):
        """As Alone.mean; the signals that came to any process are agreed upon with it."""
        names = sorted(values)
        sums = np.array([values[name] for name in names])
        self._communicator.Allreduce(_in_place(), sums)
        if self._signals is not None:
            self._signals.agree(self._communicator)
        return dict(zip(names, sums / self.size))

    def agreed(self, signals):
        self._signals = _AgreedSignals(signals)
        return self._signals

    def announce(self, plan):
        self._communicator.bcast(plan)

    def hear(self):
        """What process 0 announced."""
        return self._communicator.bcast(None)

    def equalize(self, net):
        for values in blobs_once(net, "data"):
            self._communicator.Bcast(values)


def join():
    """The group this process was started in: ALONE unless an MPI launcher started several.

    Says to the data layers which batches are theirs. InputError when mpi4py is missing.
    """
    if mpi.launched()[1] == 1:
        return ALONE
    mpi.make_importable()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as problem:
        raise InputError(f"started as one of {mpi.launched()[1]} processes, but mpi4py does not "
                         f"work in the runtime: {problem}", fix=mpi.SETUP) from None
    if MPI.COMM_WORLD.size != mpi.launched()[1]:
        raise InputError(f"the launcher started {mpi.launched()[1]} processes, but their MPI "
                         f"library sees {MPI.COMM_WORLD.size}: launcher and library "
                         "belong to different MPIs",
                         fix="start them with tools/mpirun, or install mpi4py for the launcher's "
                             "MPI in the runtime")
    group = Group(MPI.COMM_WORLD)
    sharing.set_current(sharing.Share(group.rank, group.size))
    return group


def together(main):
    """main for run_command(): a process that fails says so and ends the others with it."""
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
        # 128 and more: stopped by a signal, as all have agreed
        if 0 < code < 128 and size > 1 and "mpi4py.MPI" in sys.modules:
            sys.stderr.write(f"process {rank} of {size} has failed (exit code {code}): the "
                             "others are ended too\n")
            sys.stderr.flush()
            time.sleep(FORWARD)
            sys.modules["mpi4py.MPI"].COMM_WORLD.Abort(code)
        return code
    return run


def blobs_once(net, part):
    """The net's parameter arrays ("data" or "diff"); one that layers share comes once."""
    seen = set()
    for blobs in net.params.values():
        for blob in blobs:
            values = getattr(blob, part)
            if values.ctypes.data not in seen:
                seen.add(values.ctypes.data)
                yield values


class _AgreedSignals:
    """Signals as of the last agreement, so that every process stops and snapshots at the same
    iteration."""

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
    """0, 1, ... among the communicator's processes that share this machine's memory, whatever
    launcher started them.

    0 in all of them where the launcher shows GPUs of its own to each, which CUDA then counts from
    0.
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


def follow(group):
    """Trains with process 0, which has checked everything; returns the exit code as it does."""
    options, entry = group.hear()
    use_data_root(options)
    resolved = resolve(options)
    os.chdir(ROOT)
    # process 0 tests for all
    for field in ("test_net", "test_net_param", "test_iter", "test_state", "test_interval"):
        resolved.param.ClearField(field)
    with tempfile.TemporaryDirectory() as folder:
        snapshots = _NoSnapshots(resolved.output, folder)
        engine = Engine(resolved, folder, group)
        if entry is not None:
            snapshots.restore(engine, entry)
        group.equalize(engine.net)
        with Signals(_ignore) as signals:
            stopped = train(engine, snapshots, _Silent(), _Silent(), group.agreed(signals), [],
                            _ignore)
    return 0 if stopped is None else 128 + stopped


class _NoSnapshots(Snapshots):
    """Restores from the run's folder and writes nothing.

    folder: the run's, which this process must be able to read; aside: for a restored copy.
    """

    def __init__(self, folder, aside):
        self.folder, self.partial = folder, aside

    def save(self, engine):
        """The leader's business."""
        return {"iteration": engine.iteration, "model": {"name": None}}


class _Silent:
    """A log and a progress line that say nothing."""

    def __getattr__(self, name):
        return _ignore


def _ignore(*_arguments, **_values):
    return None
