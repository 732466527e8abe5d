"""Batches in order, made ahead of time by worker processes."""
import logging
import os
import weakref

from data.errors import InputError
from data.worker import BUG, DONE, Worker, WorkerDied, shared_array

_DEPTH = 2  # batches a worker may be ahead by: one being made and one waiting
_log = logging.getLogger(__name__)


def open_stream(maker, workers):
    """A stream of the maker's batches (data.batches.BatchMaker), starting at batch 0.

    They are made by `workers` processes or, with 0, on demand in this one: the same batches.
    """
    return Prefetcher(maker, workers) if workers else DirectStream(maker)


class DirectStream:
    """The stream without processes."""

    def __init__(self, maker):
        self._maker = maker
        self.position = 0

    def set_position(self, batch):
        """The next fetch gives batch number `batch`."""
        self.position = batch

    def fetch(self, data, label):
        """Writes the next batch into the float32 arrays data and label.

        Raises InputError for files that cannot be used.
        """
        self._maker.fill(self.position, data, label)
        self.position += 1

    def close(self):
        """Does nothing: there is no process to end."""


class Prefetcher:
    """The same stream, made ahead by forked workers.

    Batch b is made by worker b % workers, in slot b % slots. Nothing is made before the first
    fetch, so that set_position after the start wastes nothing. A worker that dies is reported with
    the file that it was reading and started once more; its second death is an InputError.
    """

    def __init__(self, maker, workers):
        self._slots = [
            tuple(shared_array(shape) for shape in maker.shapes) for _ in range(workers * _DEPTH)
        ]
        self._generation = shared_array((1,), "int64")
        self._workers = [Worker(maker, self._slots, self._generation) for _ in range(workers)]
        self._restarted = set()
        self._answers = {}  # batch: (DONE | BAD_INPUT | BUG, details)
        self._asked = 0  # batches below this number have been asked for
        self.position = 0
        self._end = weakref.finalize(self, _kill_all, self._workers, os.getpid())

    def set_position(self, batch):
        """The next fetch gives batch number `batch`; forgets batches made for another place."""
        if batch != self.position:
            self._generation[0] += 1
            self._answers.clear()
            self.position = self._asked = batch

    def fetch(self, data, label):
        """Writes the next batch into the float32 arrays data and label, waiting for it if need be.

        Raises InputError for files that cannot be used, when their batch's turn comes, and for a
        worker that died twice.
        """
        self._ask_ahead()
        worker = self.position % len(self._workers)
        while self.position not in self._answers:
            self._attempt(worker, self._take_answer, worker)
        kind, details = self._answers[self.position]
        if kind == BUG:
            raise RuntimeError("a data worker failed:\n" + details)
        if kind != DONE:
            raise InputError(*details)
        for array, made in zip((data, label), self._slots[details]):
            array[...] = made
        del self._answers[self.position]
        self.position += 1
        self._ask_ahead()

    def close(self):
        """Ends the workers. Also happens when the stream is collected, and at exit."""
        self._end()

    def _ask_ahead(self):
        while self._asked < self.position + len(self._slots):
            batch = self._asked
            self._asked += 1  # first, so that a restart in between asks for this one too
            self._attempt(batch % len(self._workers), self._ask, batch)

    def _ask(self, batch):
        worker = batch % len(self._workers)
        # an unread pipe fills up and would block both sides
        while self._workers[worker].has_answer():
            self._take_answer(worker)
        self._workers[worker].ask(int(self._generation[0]), batch, batch % len(self._slots))

    def _take_answer(self, worker):
        generation, batch, kind, details = self._workers[worker].answer()
        if generation == self._generation[0]:
            self._answers[batch] = kind, details

    def _attempt(self, worker, action, argument):
        """Calls action(argument); a worker that turns out to be dead is started again.

        It is then asked once more for every batch that it has not delivered.
        """
        try:
            action(argument)
        except WorkerDied as death:
            message = (f"data worker {worker} ended by {death.how} while reading "
                       f"{death.file or 'nothing'}")
            if worker in self._restarted:
                raise InputError(message + ", for the second time",
                                 'look at that file and at the memory; "workers": 0 reads it in '
                                 "the main process") from None
            self._restarted.add(worker)
            _log.warning("%s; it is started again", message)
            self._workers[worker].start()
            for batch in range(self.position, self._asked):
                if batch % len(self._workers) == worker and batch not in self._answers:
                    self._attempt(worker, self._ask, batch)


def _kill_all(workers, owner):
    if os.getpid() == owner:  # a forked copy of the stream does not own the processes
        for worker in workers:
            worker.kill()
