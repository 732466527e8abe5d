# PYTHON_ARGCOMPLETE_OK
"""Trains the net of a Caffe solver prototxt; a stopped run can be resumed.

    python3 tools/train.py --solver solvers/toy_source.prototxt
    python3 tools/train.py --solver solvers/toy_source.prototxt --resume
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.training.parallel import abort_others_on_failure
from tools.lib.training.run import main

if __name__ == "__main__":
    run_command(abort_others_on_failure(main))
