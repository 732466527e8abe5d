# PYTHON_ARGCOMPLETE_OK
"""Compares the class sizes that a model predicts on unlabelled images with those of the source.

    python3 tools/constraint_report.py --model models/toy/deploy.prototxt \
        --weights A.caffemodel B.caffemodel --dataset toy --split target_val \
        --statistics data/statistics/toy.json --output reports/toy

No label is opened: the report needs no labelled target.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.categories.constraint_report_command import main
from tools.lib.command import run_command

if __name__ == "__main__":
    run_command(main)
