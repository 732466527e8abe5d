"""The frame of every command: what it prints and how it ends."""
import errno
import os
import subprocess
import sys

import pytest

from data.errors import InputError
from tools.lib.command import exit_code


def raises(problem):
    def main():
        raise problem
    return main


@pytest.mark.parametrize("returned, code", [(None, 0), (0, 0), (3, 3)])
def test_what_a_command_returns_is_its_exit_code(returned, code):
    assert exit_code(lambda: returned) == code


@pytest.mark.parametrize("problem, code, words", [
    (InputError("net.prototxt: no such file", "build it"), 2, "error: net.prototxt: no such file\n "
                                                              " build it\n"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2,
     "error: No space left on device\n  free some; temporary files go to the folder that the "
     "environment variable TMPDIR names\n"),
    (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs/logs"), 2,
     "error: runs/logs: Permission denied\n  FCN_TRACEBACK=1 shows where this happened\n"),
])
def test_a_problem_is_told_without_a_traceback(problem, code, words, capsys, monkeypatch):
    assert exit_code(raises(problem)) == code
    assert capsys.readouterr() == ("", words)
    monkeypatch.setenv("FCN_TRACEBACK", "1")
    with pytest.raises(type(problem)):
        exit_code(raises(problem))


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0)


def test_a_reader_that_leaves_is_no_error(repo_root):
    script = ("import sys; from tools.lib.command import run_command; "
              "run_command(lambda: print('line\\n' * 100000))")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=repo_root,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1
