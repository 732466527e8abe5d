"""Signals during training: stop after this iteration, snapshot and go on, or leave at once."""
import os
import signal


class Signals:
    """Notes what was asked for; the loop looks after each iteration.

    SIGINT, SIGTERM  `stop` becomes the signal's number; a second one leaves at once
                     with 128 + number, without a snapshot
    SIGUSR1          `snapshot` becomes True, until the loop sets it back

    Python runs its handlers between bytecodes only, and a step of a large net takes
    minutes of C++.  Engine's per-layer callbacks make that one layer.
    """

    def __init__(self, tell):
        """tell(text) is called when a signal comes, to say what will happen."""
        self.stop = None
        self.snapshot = False
        self._tell = tell
        self._before = {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_stop)
        self._before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._on_snapshot)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _on_stop(self, number, _frame):
        if self.stop is not None:
            os._exit(128 + number)
        self.stop = number
        self._tell(f"{signal.Signals(number).name}: finishing this iteration, then a snapshot; "
                   "once more leaves at once")

    def _on_snapshot(self, _number, _frame):
        self.snapshot = True
