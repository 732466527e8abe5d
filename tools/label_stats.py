# PYTHON_ARGCOMPLETE_OK
"""Counts how much of an image each class fills in the labels of a source.

The category loss (Eq. 8) reads these statistics. tools/run_experiment.py makes those it needs.

    python3 tools/label_stats.py --dataset gta5 --split train --output data/statistics/gta5.json
    python3 tools/label_stats.py --dataset toy --split source_train --output toy.json --show toy.png
    python3 tools/label_stats.py --dataset gta5_half --data-root DATA --split "train[:54]" \
        --benchmark

data/label_statistics.py defines the numbers. Memory: a few labels in each process, and 8 bytes for
each class in each image, or window, that contains it, because the quantiles are exact: 2.5 MB for
GTA5's 25,000 labels with 12.6 of 19 classes in each, and 33 MB for a million windows of 256 x 256
pixels with 4.2 classes in each.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.categories.statistics_command import main
from tools.lib.command import run_command

if __name__ == "__main__":
    run_command(main)
