"""A process that fills batches in shared memory, and the parent's handle on it."""
import functools
import math
import mmap
import os
import signal
import traceback
import weakref
from multiprocessing.connection import Pipe

import cv2
import numpy as np

from data.child_process import OpenFile, start_child
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


class SharedArray(np.ndarray):
    """A numpy array in memory that child processes share, forked or spawned.

    The memory has no name in the file system, so nothing of it is left behind.
    """

    number = None       # of the open file whose memory it is; views of the array have none

    def __reduce__(self):
        if self.number is None:
            return super().__reduce__()
        return _map, (OpenFile(self.number), self.shape, self.dtype)


def shared_array(shape, dtype=np.float32):
    """A zeroed SharedArray.

    Raises InputError, naming the options that set the size, when the memory is too small.
    """
    size = _size(shape, dtype)
    try:
        mmap.mmap(-1, size).close()     # a file that is too large would be noticed at its use
        number = os.memfd_create("batches")
        os.ftruncate(number, size)
        array = _map(number, shape, dtype)
    except (OSError, OverflowError):
        raise InputError(f"no memory for {' x '.join(map(str, shape))} values made ahead, "
                         f"{size / 1e9:.1f} GB",
                         'make "crop", "margin", the images of a batch or "workers" smaller: each '
                         'worker keeps two batches') from None
    weakref.finalize(array, os.close, number)
    return array


def _map(number, shape, dtype):
    memory = mmap.mmap(number, _size(shape, dtype))
    array = np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape).view(SharedArray)
    array.number = number
    return array


def _size(shape, dtype):
    return max(math.prod(shape) * np.dtype(dtype).itemsize, 1)      # np.prod wraps around


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
        """Starts the process (again, when it has died)."""
        self._note[:] = 0
        self.pid, self._pipe = start_worker(functools.partial(
            _serve, maker=self._maker, slots=self._slots, generation=self._generation,
            note=self._note))

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


def _serve(pipe, maker, slots, generation, note):
    """Fills slots as requested over the pipe, until its other end is closed."""
    while True:
        try:
            asked, batch, slot = pipe.recv()
        except EOFError:
            return
        if asked != generation[0]:
            continue
        try:
            maker.fill(batch, *slots[slot], reading=functools.partial(_write_note, note))
            answer = DONE, slot
        except InputError as error:
            answer = BAD_INPUT, (error.what, error.fix)
        except Exception:
            answer = BUG, traceback.format_exc()
        try:
            pipe.send((asked, batch) + answer)
        except OSError:
            return


def _write_note(note, text):
    data = text.encode("utf-8", "replace")[:_NOTE_BYTES]
    note[:len(data)] = np.frombuffer(data, np.uint8)
    note[len(data):] = 0


def _work(serve, pipe):
    cv2.setNumThreads(0)
    for end in list(_parent_ends):      # a fork has copies of them
        end.close()
    serve(pipe)


# Below: in the parent.


def start_worker(serve):
    """(pid, pipe) of a new process that calls serve(its end of the pipe) and then ends.

    It ends with this process and leaves this process's signals alone. When it is gone, pipe.recv()
    raises EOFError. InputError when the system allows no further process.
    """
    mine, theirs = Pipe()
    _parent_ends.add(mine)
    try:
        # these signals ask the parent to finish and save, for which it needs its workers
        pid = start_child(functools.partial(_work, serve, theirs), on_signals=signal.SIG_IGN)
    except OSError:
        mine.close()
        raise InputError("no new process for a worker: the limit on processes or the memory is "
                         "reached",
                         "use fewer workers, or raise the limit (ulimit -u)") from None
    finally:
        theirs.close()
    return pid, mine


def end_worker(pid, pipe):
    """Ends the process at once: it holds nothing that could be lost."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    pipe.close()
