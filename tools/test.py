# PYTHON_ARGCOMPLETE_OK
"""Scores one or several models on a labelled split and prints the IoU of each class.

    python3 tools/test.py --model models/toy/deploy.prototxt --weights A.caffemodel B.caffemodel \
        --dataset toy --split target_val --json scores.json
    python3 tools/test.py --predictions FOLDER --dataset cityscapes --split val
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.scoring.score_command import main

if __name__ == "__main__":
    run_command(main)
