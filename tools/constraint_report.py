"""Sets the class sizes that a model predicts on unlabelled images against those of the source's
labels.

    python3 tools/constraint_report.py --model models/toy/deploy.prototxt --weights A.caffemodel
    B.caffemodel \
        --dataset toy --split target_val --statistics data/statistics/toy.json --output reports/toy

No label is opened: it is what can be said about a model on a target that nobody has labelled.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.categories.report_command import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
