"""Child processes by fork, which end when this process ends, however it ends.

`fork_child` starts a child that works beside this process (data/worker.py).  `run_in_child` calls
a function in a child, which may crash, hang or fill its memory without harm to this process, and
waits for the function's value.  A fork shares all imported modules and takes milliseconds.  Uses
the standard library only.
"""
import ctypes
import faulthandler
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import namedtuple

from data.errors import InputError

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


def fork_child(function, on_signals=signal.SIG_DFL):
    """Forks a process that calls function() and then ends; returns its number.

    The child's exit code is 0, or 1 after an exception.  on_signals: the child's handler of SIGINT,
    SIGTERM, SIGHUP and SIGUSR1: signal.SIG_DFL, they end it; signal.SIG_IGN, it ignores them.  The
    caller has to wait for the child (os.waitpid).
    Raises OSError where the system allows no further process.
    """
    parent = os.getpid()
    # Linux kills the child when the thread that forked it ends, which may be long before the
    # process; only the main thread lasts as long.
    from_main_thread = threading.current_thread() is threading.main_thread()
    # A signal waits until the child has set its handlers and Python has left os.fork(): an
    # exception of a handler that runs among the callbacks of os.fork() would be lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            if from_main_thread:
                die_with_parent(parent)
            for number in _PARENT_SIGNALS:
                signal.signal(number, on_signals)
            signal.pthread_sigmask(signal.SIG_SETMASK, before - set(_PARENT_SIGNALS))
            gc.freeze()  # the parent's objects are not this process's to finalise
            function()
            code = 0
        finally:
            os._exit(code)  # nothing may unwind into the parent's frames
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent(parent):
    """From now on this process is killed when its parent, process number `parent`, ends."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return  # not Linux
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


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
        pid = fork_child(lambda: _answer(function, answer, output, memory))
        try:
            ended = _wait(pid, seconds)
        finally:
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
    """Calls function(); writes its value or its error into the file `answer` as [kind, content]."""
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            _limit_memory(memory)
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        faulthandler.disable()  # it would write to the parent's terminal
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output.fileno(), 1), (output.fileno(), 2)):
            os.dup2(source, target)
        answer.write(json.dumps(_result(function)).encode())
        answer.flush()
    except BaseException:
        os.write(output.fileno(), traceback.format_exc().encode())
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
