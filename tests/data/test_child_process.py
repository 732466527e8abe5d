"""Child processes that crash, hang or start others, and end when their parent ends."""
import os
import signal
import subprocess
import sys
import time
import warnings

import cv2
import numpy as np
import pytest

from data.child_process import run_in_child, start_child

from data_files import children


@pytest.fixture(autouse=True)
def no_child_is_left():
    before = children()
    yield
    assert children() == before


def _wait_for_the_end(pid):
    deadline = time.monotonic() + 5
    while not _dead(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _dead(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _reap(pid):
    try:
        # where this process is number 1, orphans become its children
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


@pytest.mark.parametrize("deed, field, value", [
    (lambda: [1, {"a": None}], "value", [1, {"a": None}]),
    (lambda: os.kill(os.getpid(), signal.SIGSEGV), "signal", signal.SIGSEGV),
    (lambda: os.abort(), "signal", signal.SIGABRT),
    (lambda: os._exit(7), "status", 7),
    (lambda: sys.exit(3), "status", 1)])
def test_the_outcome_says_how_a_child_ended(deed, field, value):
    outcome = run_in_child(deed, 10)
    assert getattr(outcome, field) == value
    assert [name for name in outcome._fields[:-1] if getattr(outcome, name) is not None] == [field]


def test_memory_is_bounded():
    outcome = run_in_child(lambda: len(bytearray(1 << 30)), 10, memory=1 << 28)
    assert "MemoryError" in outcome.exception


def test_what_the_child_started_ends_with_it(tmp_path):
    """As a data layer's workers: processes of the child that it does not wait for."""
    def start():
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                                env=dict(os.environ)).pid
    pid = run_in_child(start, 10).value
    assert pid is not None
    _wait_for_the_end(pid)
    _reap(pid)


def test_an_interrupt_reaches_the_parent_and_ends_the_child():
    def handler(number, frame):
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_in_child(lambda: (os.kill(os.getppid(), signal.SIGALRM), time.sleep(60)), 30)
    finally:
        signal.signal(signal.SIGALRM, before)


def exit_code(pid):
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("deed, code", [
    (lambda: None, 0), (lambda: 1 / 0, 1), (lambda: sys.exit(3), 1), (lambda: os._exit(7), 7)])
def test_a_forked_child_never_returns_into_the_parents_frames(deed, code):
    here = os.getpid()
    pid = start_child(deed)
    assert os.getpid() == here and exit_code(pid) == code


@pytest.mark.parametrize("on_signals, code", [(signal.SIG_IGN, 0), (signal.SIG_DFL, None)])
def test_a_child_has_decided_about_signals_before_one_can_reach_it(on_signals, code):
    pid = start_child(lambda: time.sleep(0.3), on_signals)
    os.kill(pid, signal.SIGTERM)
    status = os.waitpid(pid, 0)[1]
    if code is None:
        assert os.WTERMSIG(status) == signal.SIGTERM
    else:
        assert os.WEXITSTATUS(status) == code


def test_a_forked_child_ends_with_a_parent_that_is_killed():
    """The parent is a process of this test's own, killed as where memory is short."""
    code = ("import time\n"
            "from data.child_process import start_child\n"
            "print(start_child(lambda: time.sleep(60)), flush=True)\n"
            "time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    _wait_for_the_end(pid)
    _reap(pid)


def test_opencvs_threads_end_before_a_fork_and_may_start_again_on_both_sides():
    picture = np.zeros((2000, 2000, 3), np.uint8)
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        cv2.GaussianBlur(picture, (9, 9), 0)
        threads = len(os.listdir("/proc/self/task"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")      # from Python 3.12 on, a fork tells of threads
            outcome = run_in_child(lambda: [cv2.GaussianBlur(picture, (9, 9), 0).sum().item(),
                                            cv2.getNumThreads()], 30)
        assert outcome.value == [0, 4] and cv2.getNumThreads() == 4
        assert threads > 1 and len(os.listdir("/proc/self/task")) < threads
    finally:
        cv2.setNumThreads(before)
