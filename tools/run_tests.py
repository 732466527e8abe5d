"""Runs the tests in the Caffe runtime, setting it up first where it is missing.

Arguments go to pytest as they are: `tools/run_tests.py -k gate -x`.
"""
import os
import sys

import _init_paths

from tools.runtime.enter import enter_runtime

if __name__ == "__main__":
    enter_runtime(set_up=True)

import pytest  # noqa: E402

from tools.command import run_command  # noqa: E402


def main():
    os.chdir(_init_paths.ROOT)
    return int(pytest.main(sys.argv[1:] or ["tests"]))


if __name__ == "__main__":
    run_command(main)
