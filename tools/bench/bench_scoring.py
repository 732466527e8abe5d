"""Times the scoring of predictions that are there already against Cityscapes' own evaluation.

    python3 tools/bench/bench_scoring.py --images 24 --repeats 5

Both read the same 2048 x 1024 PNG pairs; runs alternate; medians, ratio and peak memory are
printed.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.bench.scoring_command import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
