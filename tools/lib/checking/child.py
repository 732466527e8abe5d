"""Runs a function in a child process that may crash, hang or eat memory without harm.

The child is a fork: it shares what is already imported and costs milliseconds.  It
has its own session, so that whatever it started (prefetching workers) ends with it;
it ends when the parent ends; it leaves no core file and no zombie.
"""
import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import namedtuple

from data.errors import InputError

#: What became of a child.  Exactly one of the fields is set:
#: value - what the function returned;   error - the InputError it raised;
#: exception - text of another exception; signal - number of the signal that killed it;
#: status - exit code when it left without a result; timeout - seconds after which it was stopped.
#: stderr - what it and its libraries wrote, whatever happened.
Outcome = namedtuple("Outcome", "value error exception signal status timeout stderr",
                     defaults=(None,) * 7)

_PR_SET_PDEATHSIG = 1


def run_in_child(function, seconds, memory=None):
    """Calls function() in a forked child and returns an Outcome.

    The value must be made of what JSON can hold.  seconds: wall-clock bound; memory:
    bytes of private memory that the child may add to what it starts with (None: no bound).
    Interrupting the parent (Ctrl-C) ends the child too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as words:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _be_child(function, answer, words, parent, memory)
        try:
            ended = _wait(pid, seconds)
        finally:
            # the child is not reaped yet, so its group's number is still its own
            _kill_group(pid)
            _, status = os.waitpid(pid, 0)
        stderr = _contents(words)
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


def _be_child(function, answer, words, parent, memory):
    """The child's whole life; never returns."""
    code = 1
    try:
        os.setsid()
        die_with_parent(parent)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            limit = _private() + memory
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGABRT):
            signal.signal(number, signal.SIG_DFL)
        faulthandler.disable()                 # it would write to the parent's terminal
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (words.fileno(), 1), (words.fileno(), 2)):
            os.dup2(source, target)
        reply = _reply(function)
        answer.write(json.dumps(reply).encode())
        answer.flush()
        code = 0
    except BaseException:                      # nothing may unwind into the parent's frames
        os.write(words.fileno(), traceback.format_exc().encode())
    finally:
        os._exit(code)


def _reply(function):
    try:
        return ["value", function()]
    except InputError as problem:
        return ["error", [problem.what, problem.fix]]
    except Exception as problem:
        place = traceback.extract_tb(problem.__traceback__)[-1]
        return ["exception", f"{type(problem).__name__}: {problem} "
                             f"({os.path.basename(place.filename)}:{place.lineno})"]


def die_with_parent(parent):
    """From now on this process is killed when its parent, process number `parent`, ends."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return                                 # not Linux: the time bound remains
    if os.getppid() != parent:                 # it died before we asked
        os._exit(1)


def _private():
    """Bytes of private writable memory of this process, which is what RLIMIT_DATA counts.

    (RLIMIT_AS would count the hundreds of GB of addresses that CUDA reserves and never fills.)
    """
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData:")) * 1024


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
    for kill in (os.killpg, os.kill):          # os.kill: the child may not have its session yet
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _contents(file):
    file.seek(0)
    return file.read().decode("utf-8", "replace")
