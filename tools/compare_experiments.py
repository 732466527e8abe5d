# PYTHON_ARGCOMPLETE_OK
"""Compares stages of several experiments over seeds: mIoU, differences from the control, classes.

    python3 tools/compare_experiments.py toy:control toy:ga toy_confusion:ga --seeds 1 2 3
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command  # noqa: E402
from tools.lib.experiment.comparison import main  # noqa: E402

if __name__ == "__main__":
    run_command(main)
