# PYTHON_ARGCOMPLETE_OK
"""Prints Table 1, 2 or 3 of the paper with our numbers beside its own, a row a class.

    python3 tools/paper_table.py paper1
    python3 tools/paper_table.py paper3 --result cityscapes:ga=scores.json --output table3.md
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command  # noqa: E402
from tools.lib.experiment.paper import main  # noqa: E402

if __name__ == "__main__":
    run_command(main)
