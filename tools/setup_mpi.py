# PYTHON_ARGCOMPLETE_OK
"""Sets up a private MPI (MPICH and mpi4py) for training in several processes.

No root is needed, and nothing is written outside .mpi. A machine that has an MPI of its own, and a
runtime that can import mpi4py, needs no set-up.
"""
import argparse

import _init_paths  # noqa: F401

from tools.lib.command import CommandParser, run_command
from tools.lib.runtime import mpi
from tools.lib.runtime.enter import runtime_python


def main():
    CommandParser(description=__doc__,
                  formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    mpi.set_up(runtime_python())


if __name__ == "__main__":
    run_command(main)
