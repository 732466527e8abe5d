"""What run_tests adds to pytest, tried on a pytest inside: hanging tests, every outcome."""
import itertools
import signal
import subprocess
import sys

import pytest

from tools.lib.runtime.machine import git_state
from tools.lib.runtime.pytest_plugins import TestReport

NUMBERS = itertools.count()
TESTS = """
import pytest
def test_passes(): pass
def test_fails(): assert False
@pytest.mark.skip(reason="no moon tonight")
def test_skipped(): pass
@pytest.fixture
def broken(): raise ValueError
def test_breaks_before_it_starts(broken): pass
@pytest.fixture
def skips(): pytest.skip("no moon tonight")
def test_skipped_by_its_fixture(skips): pass
"""

WATCHED = """
import pytest
from tools.lib.runtime.pytest_plugins import HangWatch
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", ".", sys.argv[1]],
                     plugins=[HangWatch(1)]))
"""
#: It locks a lock twice, in C and without giving up Python's global lock, as pycaffe would.
DEADLOCK = """import ctypes
def test_inner():
    c, lock = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    c.pthread_mutex_lock(lock)
    c.pthread_mutex_lock(lock)
"""


@pytest.fixture
def watched(tmp_path, repo_root):
    """watched(text): the ended process of a watched run of one file of tests."""
    def run(text):
        path = tmp_path / "test_inner.py"
        path.write_text(text)
        code = f"import sys; sys.path[0] = {repo_root!r}\n{WATCHED}"
        return subprocess.run([sys.executable, "-c", code, str(path)], cwd=str(tmp_path),
                              capture_output=True, text=True, timeout=120)
    return run


@pytest.mark.parametrize("text, line", [
    ("import time\ndef test_inner(): time.sleep(100)\n", 2), (DEADLOCK, 5)],
    ids=["sleep", "deadlock in C"])
def test_a_test_that_hangs_ends_the_run_and_its_line_is_named(watched, text, line):
    ended = watched(text)
    assert ended.returncode == -signal.SIGALRM
    assert f"line {line} in test_inner" in ended.stderr


def test_the_watch_is_no_thread_and_outlives_a_test_with_an_alarm_handler_of_its_own(watched):
    ended = watched("""import os, signal, time
def test_first():
    assert len(os.listdir("/proc/self/task")) == 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
def test_inner(): time.sleep(100)
""")
    assert ended.returncode == -signal.SIGALRM and "line 5 in test_inner" in ended.stderr


def test_a_test_that_ends_is_left_alone(watched):
    ended = watched("def test_inner(): pass\n")
    assert ended.returncode == 0 and ended.stderr == ""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """page(text): the page about a file of tests."""
    def run(text):
        # its name must be new: Python imports a module once
        path = tmp_path / (f"test_inner_{next(NUMBERS)}.py")
        monkeypatch.chdir(tmp_path)
        path.write_text(text)
        report = TestReport(["--report", "FILE"])
        pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(path)],
                    plugins=[report])
        return report.page({"numpy": "9.9"})
    return run


def test_every_outcome_is_counted_once_and_failures_and_reasons_are_named(page, capsys):
    text = page(TESTS)
    assert "| tests | 1 passed, 2 failed, 2 skipped |" in text
    assert "::test_fails\n- " in text and "::test_breaks_before_it_starts" in text
    commit = git_state()["commit"][:12] if git_state() else "unknown"
    assert f"| commit | {commit}" in text
    assert "- 2: no moon tonight" in text and "| packages | numpy 9.9 |" in text


def test_a_file_that_cannot_be_read_has_failed(page, capsys):
    assert "0 passed, 1 failed" in page("def test_x(: pass")
    assert "1 skipped" in page("import pytest\npytest.skip('not here', allow_module_level=True)")


def test_a_run_without_failures_and_warnings_lists_none(page, capsys):
    text = page("def test_passes(): pass")
    assert "Failed" not in text and "Warnings:" not in text and "| warnings | 0 |" in text


def test_warnings_are_counted_and_named(page, capsys):
    text = page("""import warnings
def test_one(): warnings.warn("old  way", DeprecationWarning)
def test_two(): warnings.warn("old way", DeprecationWarning)
""")
    assert "| warnings | 2 |" in text and "\nWarnings:\n\n- 1: " in text
    assert text.count("DeprecationWarning: old way") == 2
