# PYTHON_ARGCOMPLETE_OK
"""Draws image | before | after | truth, with the class legend, as one PNG.

    python3 tools/figure.py --model models/toy/deploy.prototxt --weights A.caffemodel B.caffemodel \
        --dataset toy --split target_val --most-changed 4 --output figure.png
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.scoring.figure_command import main

if __name__ == "__main__":
    run_command(main)
