"""Runs the tests in the Caffe runtime, setting it up first where it is missing.

A private MPI (17 MB) is fetched too, for the tests of several processes; without it they are
skipped. Arguments go to pytest: `tools/run_tests.py -k gate -x`. `--report FILE.md` before them
also writes a page with the outcome and the runtime. A test that hangs ends the run.
"""
import os
import sys

import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

if __name__ == "__main__":
    enter_runtime(set_up=True)

import pytest  # noqa: E402

from data.errors import InputError  # noqa: E402
from data.files import ROOT, write_whole  # noqa: E402
from tools.lib.command import run_command  # noqa: E402
from tools.lib.outputs import require_file  # noqa: E402
from tools.lib.runtime import RUNNING_PYTHON, mpi  # noqa: E402
from tools.lib.runtime.probe import versions  # noqa: E402
from tools.lib.runtime.pytest_plugins import HangWatch, TestReport  # noqa: E402

#: Seconds a test may take: the longest takes about 30 on two idle cores.
LONGEST = 900


def main():
    arguments, path = sys.argv[1:], None
    if arguments[:1] == ["--report"]:
        if len(arguments) == 1:
            raise InputError("--report names no file",
                             fix="python3 tools/run_tests.py --report FILE.md")
        path, arguments = os.path.abspath(arguments[1]), arguments[2:]
    require_file(path, "--report")
    os.chdir(ROOT)
    try:
        mpi.set_up(RUNNING_PYTHON)
    except InputError as problem:
        print(f"no MPI, and no tests of several processes: {problem}")
    report = TestReport((["--report", "FILE"] if path else []) + arguments)
    code = int(pytest.main(arguments or ["tests"], plugins=[report, HangWatch(LONGEST)]))
    if path:
        found = versions()["versions"]
        named = ("numpy", "scipy", "cv2", "google.protobuf")
        write_whole(path, report.page({name: found[name] for name in named if found[name]}))
    return code


if __name__ == "__main__":
    run_command(main)
