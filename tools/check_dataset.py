# PYTHON_ARGCOMPLETE_OK
"""Opens every file of a data set and reports its problems; exit code 1 when there is one.

    python3 tools/check_dataset.py --dataset camvid
    python3 tools/check_dataset.py --dataset gta5 --split train val test
    python3 tools/check_dataset.py --dataset cityscapes --split train --json report.json
    python3 tools/check_dataset.py --dataset bdds --split train val --images-only

Without --split it reads the whole data set. In splits that come without labels it opens the images
only. Frames that the data set's skip.txt names (one in each line) are left out, and the report says
how many.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.datasets.check_command import main

if __name__ == "__main__":
    run_command(main)
