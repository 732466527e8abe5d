"""Child processes that end when this process ends, however it ends.

`start_child` starts a child that works beside this process (data/worker.py).  `run_in_child` calls
a function in a child, which may crash, hang or fill its memory without harm to this process, and
waits for the function's value.

A child is a fork, which shares all imported modules and takes milliseconds.  A fork copies the
locks of a library's threads and not the threads, so after `spawn_from_now_on` a child is a new
Python instead, to which the function is pickled; that takes the time of the imports.  Uses the
standard library only.
"""
import contextlib
import ctypes
import faulthandler
import functools
import gc
import json
import os
import pickle
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import namedtuple
from multiprocessing.connection import Connection

from data.errors import InputError
from data.files import ROOT

#: How a child ended.  Exactly one of the fields before stderr is set:
#: value - what the function returned;   error - the InputError it raised;
#: exception - text of another exception; signal - number of the signal that killed it;
#: status - exit code when it left without a result; timeout - seconds after which it was stopped.
#: stderr - what it and its libraries wrote, whatever happened.
Outcome = namedtuple("Outcome", "value error exception signal status timeout stderr",
                     defaults=(None,) * 7)

# Sent to the whole group, these ask this process to finish and save: none is meant for a child.
_PARENT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1


#: What starts a child of spawn_from_now_on().
_NEW_PYTHON = ("import sys; sys.path.insert(0, sys.argv[1]); from data import child_process; "
               "child_process.run_request(*map(int, sys.argv[2:]))")

_spawning = False
_opencv_threads = 1


def _end_opencv_threads():
    """OpenCV keeps its threads waiting; a fork has none of them, and would wait for them."""
    global _opencv_threads
    opencv = sys.modules.get("cv2")
    if hasattr(opencv, "setNumThreads"):
        _opencv_threads = opencv.getNumThreads()
        opencv.setNumThreads(1)


def _allow_opencv_threads():
    opencv = sys.modules.get("cv2")
    if hasattr(opencv, "setNumThreads"):
        opencv.setNumThreads(_opencv_threads)       # they start when they are needed


os.register_at_fork(before=_end_opencv_threads, after_in_parent=_allow_opencv_threads,
                    after_in_child=_allow_opencv_threads)


class OpenFile(int):
    """The number of an open file, which a child has too, under the same number."""


def spawn_from_now_on():
    """Makes every child a new Python where its function can be pickled.

    For a process in which a library's threads run from now on, such as CUDA's.
    """
    global _spawning
    _spawning = True


def start_child(function, on_signals=signal.SIG_DFL):
    """Starts a process that calls function() and then ends; returns its number.

    The child's exit code is 0, or 1 after an exception.  on_signals: the child's handler of SIGINT,
    SIGTERM, SIGHUP and SIGUSR1: signal.SIG_DFL, they end it; signal.SIG_IGN, it ignores them.  The
    caller has to wait for the child (os.waitpid).
    Raises OSError where the system allows no further process.
    """
    with _signals_held() as blocked:
        return _start(function, on_signals, blocked)


@contextlib.contextmanager
def _signals_held():
    """Lets every signal wait; gives the set of those that were blocked already.

    A child has set its handlers, and this process knows the child's number, before one comes.  An
    exception of a handler that runs among the callbacks of os.fork() would be lost.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _start(function, on_signals, blocked):
    # Linux kills the child when the thread that started it ends, which may be long before the
    # process; only the main thread lasts as long.
    from_main_thread = threading.current_thread() is threading.main_thread()
    parent = os.getpid() if from_main_thread else 0
    if _spawning:
        try:
            request = _Request(function)
        except Exception:   # a closure, or an object of Caffe: only a fork has what it refers to
            pass
        else:
            return request.spawn(parent, on_signals, blocked)
    pid = os.fork()
    if not pid:
        _be_child(lambda: function, parent, on_signals, blocked)
    return pid


def _be_child(find, parent, on_signals, blocked):
    """Calls the function that find() returns, and ends this process.

    parent: its number, or 0 for a child that may outlive the parent; blocked: the signals that the
    parent blocks.
    """
    code = 1
    try:
        if parent:
            die_with_parent(parent)
        for number in _PARENT_SIGNALS:
            signal.signal(number, on_signals)
        signal.pthread_sigmask(signal.SIG_SETMASK, set(blocked) - set(_PARENT_SIGNALS))
        gc.freeze()  # the parent's objects are not this process's to finalise
        find()()
        code = 0
    finally:
        os._exit(code)  # nothing may unwind into the parent's frames


class _Request(pickle.Pickler):
    """A function as a new Python gets it, in a file without a name."""

    def __init__(self, function):
        self._file = tempfile.TemporaryFile()
        super().__init__(self._file)
        self._open = [self._file.fileno()]      # files that the child needs
        try:
            pickle.dump(sys.path, self._file)   # on its own: it finds the modules of the rest
            self.dump(function)
        except BaseException:
            self._file.close()
            raise
        self._file.seek(0)

    def reducer_override(self, value):
        """Pickles open files and pipes as their numbers."""
        if isinstance(value, OpenFile):
            self._open.append(int(value))
            return int, (int(value),)
        if isinstance(value, Connection):
            self._open.append(value.fileno())
            return Connection, (value.fileno(), value.readable, value.writable)
        return NotImplemented

    def spawn(self, parent, on_signals, blocked):
        """Starts the new Python; returns its number. The arguments are those of _be_child()."""
        arguments = map(str, (self._file.fileno(), parent, int(on_signals)))
        try:
            for number in self._open:
                os.set_inheritable(number, True)
            return os.posix_spawn(sys.executable, [sys.executable, "-c", _NEW_PYTHON, ROOT,
                                                   *arguments],
                                  os.environ, setsigmask={*blocked, *_PARENT_SIGNALS})
        finally:
            for number in self._open:
                os.set_inheritable(number, False)
            self._file.close()


def run_request(number, parent, on_signals):
    """In a new Python: calls the function in the open file of that number, and ends."""
    def find():
        try:
            with open(number, "rb") as file:
                sys.path[:] = pickle.load(file)
                return pickle.load(file)
        except Exception:
            traceback.print_exc()
            raise

    _be_child(find, parent, signal.Handlers(on_signals),
              signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def die_with_parent(parent):
    """From now on this process is killed when its parent, process number `parent`, ends."""
    if _ask_for_death_signal(signal.SIGKILL) and os.getppid() != parent:
        os._exit(1)  # it ended before the call


def wait_for_parent(parent):
    """In a child of start_child(): returns when its parent, process number `parent`, has ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    if _ask_for_death_signal(signal.SIGUSR2) and os.getppid() == parent:
        signal.sigwait({signal.SIGUSR2})


def _ask_for_death_signal(number):
    """The system sends this signal when the parent ends; False where it cannot."""
    try:
        return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number) == 0
    except (OSError, AttributeError):
        return False  # not Linux


def run_in_child(function, seconds, memory=None):
    """Calls function() in a child process and returns an Outcome.

    The value must be one that JSON can hold.  seconds: wall-clock bound; memory: bytes of
    private memory that the child may take beyond its first ones (None: no bound).  The child has
    its own session: the processes that it started end with it.  It leaves no core file and no
    zombie.  Interrupting this process (Ctrl-C) ends the child too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as output:
        child = functools.partial(_answer, function, OpenFile(answer.fileno()),
                                  OpenFile(output.fileno()), memory)
        pid = None
        try:
            with _signals_held() as blocked:
                pid = _start(child, signal.SIG_DFL, blocked)
            ended = _wait(pid, seconds)
        finally:
            if pid is not None:
                # the child is not reaped yet, so its group's number is still its own
                _kill_group(pid)
                _, status = os.waitpid(pid, 0)
        stderr = _contents(output)
        if not ended:
            return Outcome(timeout=seconds, stderr=stderr)
        if os.WIFSIGNALED(status):
            return Outcome(signal=os.WTERMSIG(status), stderr=stderr)
        try:
            kind, content = json.loads(_contents(answer))
        except ValueError:
            return Outcome(status=os.WEXITSTATUS(status), stderr=stderr)
    if kind == "value":
        return Outcome(value=content, stderr=stderr)
    if kind == "error":
        return Outcome(error=InputError(*content), stderr=stderr)
    return Outcome(exception=content, stderr=stderr)


# Below: in the child of run_in_child.


def _answer(function, answer, output, memory):
    """Calls function(); writes its value or error into the open file `answer` as [kind, content].

    output: the open file that the child's standard output and error go to.
    """
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            _limit_memory(memory)
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        faulthandler.disable()  # it would write to the parent's terminal
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        found = _result(function)
        sys.stdout.flush()      # os._exit() would lose what they hold
        sys.stderr.flush()
        with open(answer, "wb", closefd=False) as file:
            file.write(json.dumps(found).encode())
    except BaseException:
        os.write(output, traceback.format_exc().encode())
        raise


def _result(function):
    try:
        return ["value", function()]
    except InputError as problem:
        return ["error", [problem.what, problem.fix]]
    except Exception as problem:
        place = traceback.extract_tb(problem.__traceback__)[-1]
        return ["exception", f"{type(problem).__name__}: {problem} "
                             f"({os.path.basename(place.filename)}:{place.lineno})"]


def _limit_memory(more):
    """Lets this process take `more` bytes of private memory beyond those that it has."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = _private_bytes() + more
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _private_bytes():
    """Bytes of private writable memory of this process, which is what RLIMIT_DATA counts.

    (RLIMIT_AS would count the hundreds of GB of addresses that CUDA reserves and never fills.)
    """
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData:")) * 1024


# Below: in the parent.


def _wait(pid, seconds):
    """True when the child ended by itself within `seconds`; does not reap it."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    return True


def _kill_group(pid):
    for kill in (os.killpg, os.kill):  # os.kill: the child may not have its session yet
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _contents(file):
    file.seek(0)
    return file.read().decode("utf-8", "replace")
