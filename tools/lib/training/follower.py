"""The processes that train beside process 0: the same steps, without checks, log, tests and
snapshots."""
import os
import tempfile

from data.files import ROOT
from tools.lib.training.engine import Engine
from tools.lib.training.loop import train
from tools.lib.training.options import use_data_root
from tools.lib.training.signals import Signals
from tools.lib.training.snapshots import Snapshots
from tools.lib.training.solver import resolve


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
