"""Times a training step: tools/train.py against bare Caffe, against PyTorch, and GA against
source-only.

    python3 tools/bench/bench_training.py --data-root FOLDER --output docs/results/training_speed.md

The net is the full-width front-end for 19 classes, padded (no reflected margin), one image of 256 x
256.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.bench.training_command import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
