"""Counts how much of an image each class fills in the labels of a source: the statistics of the category loss.

    python tools/label_stats.py --dataset gta5 --split train --output data/statistics/gta5.json
    python tools/label_stats.py --dataset toy --split source_train --output toy.json --show toy.png
    python tools/label_stats.py --dataset gta5_half --data-root DATA --split "train[:54]" --benchmark

What is counted: data/statistics.py. Memory: a few labels a worker, and 8 bytes an image and class, which the exact
quantiles need (3.8 MB for 25,000 labels in 19 classes).
"""
import _init_paths  # noqa: F401
from tools.runtime.enter import enter_runtime

enter_runtime()

from tools.categories.statistics_command import main  # noqa: E402
from tools.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
