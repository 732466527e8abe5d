"""Scores one or several models on a labelled split and prints IoU a class.

    python3 tools/test.py --model models/toy/deploy.prototxt --weights A.caffemodel B.caffemodel \
        --dataset toy --split target_val --json scores.json
    python3 tools/test.py --predictions FOLDER --dataset cityscapes --split val
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command  # noqa: E402
from tools.lib.scoring.score_command import main  # noqa: E402

if __name__ == "__main__":
    run_command(main)
