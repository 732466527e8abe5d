"""Runs the tests in the Caffe runtime, setting it up first where it is missing.

A private MPI (17 MB) is fetched too, for the tests of several processes; without it they are
skipped.
Arguments go to pytest as they are: `tools/run_tests.py -k gate -x`. `--report FILE.md` before them
also writes the outcome, with the runtime it was found in, as a page. A test that hangs ends the
run.
"""
import os
import sys

import _init_paths

from tools.lib.runtime.enter import enter_runtime

if __name__ == "__main__":
    enter_runtime(set_up=True)

import pytest  # noqa: E402

from data.errors import InputError  # noqa: E402
from data.files import write_whole  # noqa: E402
from tools.lib.command import run_command  # noqa: E402
from tools.lib.outputs import require_file  # noqa: E402
from tools.lib.runtime import mpi  # noqa: E402
from tools.lib.runtime.hang_watch import HangWatch  # noqa: E402
from tools.lib.runtime.probe import versions  # noqa: E402
from tools.lib.runtime.test_report import TestReport  # noqa: E402

#: Seconds a test may take: the longest takes about 30 on two idle cores.
LONGEST = 900


def main():
    arguments, path = sys.argv[1:], None
    if arguments[:1] == ["--report"]:
        if len(arguments) == 1:
            raise InputError("--report names no file", fix="tools/run_tests.py --report FILE.md")
        path, arguments = os.path.abspath(arguments[1]), arguments[2:]
    require_file(path, "--report")
    os.chdir(_init_paths.ROOT)
    try:
        mpi.set_up("%d.%d" % sys.version_info[:2])
    except InputError as problem:
        print(f"no MPI, and no tests of several processes: {problem}")
    report = TestReport((["--report", "FILE"] if path else []) + arguments)
    code = int(pytest.main(arguments or ["tests"], plugins=[report, HangWatch(LONGEST)]))
    if path:
        found = versions()["versions"]
        write_whole(
            path,
            report.page({
                name: found[name]
                for name in ("numpy", "scipy", "cv2", "google.protobuf") if found[name]
            }))
    return code


if __name__ == "__main__":
    run_command(main)
