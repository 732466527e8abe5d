"""A forked process that fills batches in shared memory, and the parent's handle on it."""
import math
import mmap
import os
import signal
import traceback
import weakref
from multiprocessing.connection import Pipe

import cv2
import numpy as np

from data.child_process import fork_child
from data.errors import InputError

DONE, BAD_INPUT, BUG = "done", "bad input", "bug"  # how a batch ended, in a worker's answer

_NOTE_BYTES = 4096
_parent_ends = weakref.WeakSet()  # the parent's pipe ends, which a later fork must not keep open


class WorkerDied(Exception):
    """The worker process has ended.

    how: "signal 9" or "exit code 1"; file: the frame that it opened last, "" for none.
    """

    def __init__(self, how, file):
        super().__init__(how, file)
        self.how = how
        self.file = file


def shared_array(shape, dtype=np.float32):
    """A zeroed array in memory that forked processes share.

    The memory has no name in the file system, so nothing of it is left behind. Raises InputError,
    naming the options that decide on the size, where there is not that much memory.
    """
    count = math.prod(shape)  # np.prod wraps around
    size = max(count * np.dtype(dtype).itemsize, 1)
    try:
        memory = mmap.mmap(-1, size)
    except (OSError, OverflowError):
        raise InputError(f"no memory for {' x '.join(map(str, shape))} values made ahead, "
                         f"{size / 1e9:.1f} GB",
                         'make "crop", "margin", the images of a batch or "workers" smaller: each '
                         "worker keeps two batches") from None
    return np.frombuffer(memory, dtype, count).reshape(shape)


class Worker:
    """One worker process, which answers requests in the order in which they were made.

    maker: data.batches.BatchMaker; slots: list of shared (data, label) arrays; generation: shared
    int64 array of one number. A request of an older generation gets no answer.
    """

    def __init__(self, maker, slots, generation):
        self._maker, self._slots, self._generation = maker, slots, generation
        self._note = shared_array((_NOTE_BYTES,), np.uint8)
        self.start()

    def start(self):
        """Forks the process (again, when it has died)."""
        self._note[:] = 0
        self.pid, self._pipe = fork_worker(self._serve)

    def ask(self, generation, batch, slot):
        """Requests batch number `batch` in slot number `slot`. Raises WorkerDied."""
        try:
            self._pipe.send((generation, batch, slot))
        except OSError:
            raise self._death() from None

    def has_answer(self):
        """Whether answer() will return (or raise) at once."""
        return self._pipe.poll()

    def answer(self):
        """The next (generation, batch, DONE | BAD_INPUT | BUG, details); waits for it.

        Raises WorkerDied.
        """
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None

    def kill(self):
        """Ends the process at once; it holds nothing that could be lost."""
        if self.pid:
            end_worker(self.pid, self._pipe)
            self.pid = 0

    def _death(self):
        try:
            status = os.waitpid(self.pid, 0)[1]
            if os.WIFSIGNALED(status):
                how = f"signal {os.WTERMSIG(status)}"
            else:
                how = f"exit code {os.WEXITSTATUS(status)}"
        except ChildProcessError:
            how = "unknown exit code"
        self.pid = 0
        self._pipe.close()
        return WorkerDied(how, bytes(self._note).rstrip(b"\0").decode("utf-8", "replace"))

    # Below: in the child.

    def _serve(self, pipe):
        while True:
            try:
                generation, batch, slot = pipe.recv()
            except EOFError:
                return
            if generation != self._generation[0]:
                continue
            try:
                self._maker.fill(batch, *self._slots[slot], reading=self._write_note)
                answer = DONE, slot
            except InputError as error:
                answer = BAD_INPUT, (error.what, error.fix)
            except Exception:
                answer = BUG, traceback.format_exc()
            try:
                pipe.send((generation, batch) + answer)
            except OSError:
                return

    def _write_note(self, text):
        data = text.encode("utf-8", "replace")[:_NOTE_BYTES]
        self._note[:len(data)] = np.frombuffer(data, np.uint8)
        self._note[len(data):] = 0


def fork_worker(serve):
    """(pid, pipe) of a new process that calls serve(its end of the pipe) and then ends.

    It ends with this process and leaves this process's signals alone. When it is gone, pipe.recv()
    raises EOFError. InputError when the system allows no further process.
    """
    mine, theirs = Pipe()

    def work():
        cv2.setNumThreads(0)
        for end in list(_parent_ends) + [mine]:
            end.close()
        serve(theirs)

    try:
        # these signals ask the parent to finish and save, for which it needs its workers
        pid = fork_child(work, on_signals=signal.SIG_IGN)
    except OSError:
        mine.close()
        theirs.close()
        raise InputError("no new process for a worker: the limit on processes or the memory is "
                         "reached",
                         "use fewer workers, or raise the limit (ulimit -u)") from None
    theirs.close()
    _parent_ends.add(mine)
    return pid, mine


def end_worker(pid, pipe):
    """Ends the process at once: it holds nothing that could be lost."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    pipe.close()
