"""Counts how much of an image each class fills in the labels of a source: the statistics of the
category loss.

    python3 tools/label_stats.py --dataset gta5 --split train --output data/statistics/gta5.json
    python3 tools/label_stats.py --dataset toy --split source_train --output toy.json --show toy.png
    python3 tools/label_stats.py --dataset gta5_half --data-root DATA --split "train[:54]"
    --benchmark

What is counted: data/label_statistics.py. Memory: a few labels a worker, and 8 bytes for each class in
each image, or window, that
contains it, which the exact quantiles need: 2.5 MB for GTA5's 25,000 labels, with 12.6 of 19
classes in each, and 33 MB for the million of their windows of 256 x 256, with 4.2 classes in each.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.categories.statistics_command import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
