"""The training loop: Caffe's own loop in Python around Caffe's step, and the signals to it."""
import collections
import contextlib
import math
import signal
import time

from data.errors import InputError
from tools.lib.signals import handled
from tools.lib.training import guards
from tools.lib.training.crash_watch import leave_at_once
from tools.lib.training.engine import run_tests
from tools.lib.training.solver import displays_at, learning_rate, snapshots_at, tests_at


def train(engine, snapshots, log, progress, signals, monitors, on_snapshot):
    """Trains until max_iter or a signal; returns the signal's number, or None at max_iter.

    Order within iteration i, as in Caffe: test; forward and backward, iter_size times; display;
    update. Then i + 1 updates are done, and a snapshot may be due.

    monitors: objects whose check(iteration, values) returns a warning or None. on_snapshot(entry)
    is called after each snapshot, with its entry in the manifest. Raises InputError when a guard,
    the data or the disk stops the run.
    """
    param, saved = engine.param, engine.iteration
    window, probed = collections.deque(maxlen=param.average_loss), {}
    started, since = time.monotonic(), engine.iteration

    def save():
        nonlocal saved
        guards.check_parameters(engine.net, engine.iteration)
        entry = snapshots.save(engine)
        saved = engine.iteration
        log.write("snapshot", saved, file=entry["model"]["name"])
        on_snapshot(entry)

    def write_line(kind, iteration, **values):
        try:
            log.write(kind, iteration, **values)
        except InputError:
            # A quota or a limit on a file's size that refuses the line may still allow a snapshot.
            if engine.iteration > saved:
                save()
            raise

    def display(iteration):
        nonlocal started, since, probed
        elapsed = time.monotonic() - started
        probed, presence = engine.probe()
        write_line("train", iteration, values=finite({**mean(window), **probed}),
                   **({"presence": presence} if presence else {}),
                   learning_rate=learning_rate(param, iteration),
                   iterations_per_second=(iteration - since) / elapsed if iteration > since
                   else None)
        started, since = time.monotonic(), iteration

    def test():
        for number, values in enumerate(run_tests(engine, signals)):
            write_line("test", engine.iteration, net=number, values=finite(values))
            text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            progress.write(f"iteration {engine.iteration}, test net {number}: {text}")

    while engine.iteration < param.max_iter and signals.stop is None:
        iteration = engine.iteration
        if tests_at(param, iteration):
            test()
            if signals.stop is not None:        # the signal came during a long test
                break
        try:
            values = engine.step(probing=displays_at(param, iteration))
        except guards.NotFinite:
            raise
        except Exception:
            # A layer failed: the weights are still those before this step, so keep them.
            if engine.iteration > saved and engine.complete:
                save()
            raise
        window.append(values)
        if displays_at(param, iteration):
            guards.check_parameters(engine.net, engine.iteration)
            display(iteration)
            values = {**values, **probed}
        progress.advance()
        progress.show({**mean(window), **probed})
        for warning in filter(None, [monitor.check(iteration, values) for monitor in monitors]):
            write_line("note", iteration, text=warning)
            progress.write("warning: " + warning)
        if snapshots_at(param, engine.iteration) or signals.snapshot:
            signals.snapshot = False
            save()

    if engine.iteration > saved and (signals.stop is not None or param.snapshot_after_train):
        save()
    if signals.stop is None:
        if displays_at(param, engine.iteration):
            window.append(engine.forward())
            display(engine.iteration)
        if tests_at(param, engine.iteration):
            test()
    return signals.stop


def mean(window):
    """{output: mean over the window's iterations}, as Caffe's average_loss does with the loss."""
    return {name: sum(values[name] for values in window) / len(window) for name in window[-1]}


def finite(values):
    """The values for JSON, which has no nan and no infinity: they become None."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


class Signals:
    """Notes signals to the run; the loop looks at them after each iteration.

    SIGINT, SIGTERM  `stop` becomes the signal's number; the second one ends the process at once
                     with 128 + number, without a snapshot
    SIGUSR1          `snapshot` becomes True, until the loop sets it back

    Python runs a signal's handler between two bytecodes only, and one step of a large net is
    minutes of C++. Engine's callbacks after every layer shorten the wait to one layer.
    """

    def __init__(self, report):
        """report(text) is called when a signal to stop comes, with what will happen."""
        self.stop = None
        self.snapshot = False
        self._report = report
        self._handlers = contextlib.ExitStack()

    def __enter__(self):
        self._handlers.enter_context(handled((signal.SIGINT, signal.SIGTERM), self._on_stop))
        self._handlers.enter_context(handled((signal.SIGUSR1,), self._on_snapshot))
        return self

    def __exit__(self, *_):
        self._handlers.close()

    def _on_stop(self, number, _frame):
        if self.stop is not None:
            leave_at_once(128 + number)
        self.stop = number
        self._report(f"{signal.Signals(number).name}: finishing this iteration, then a snapshot; "
                     "once more leaves at once")

    def _on_snapshot(self, _number, _frame):
        self.snapshot = True
