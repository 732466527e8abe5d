"""Opens every file of a data set and says what is wrong with it; exit code 1 when something is.

    python3 tools/check_dataset.py --dataset camvid
    python3 tools/check_dataset.py --dataset gta5 --split train val test
    python3 tools/check_dataset.py --dataset cityscapes --split train --json report.json
    python3 tools/check_dataset.py --dataset bdds --split train val --images-only

Without --split it walks the whole data set. Of splits that come without labels it opens the images
alone. Frames that the data set's skip.txt names (one a line) are left out, and counted in the
report.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command  # noqa: E402
from tools.lib.datasets.check_command import main  # noqa: E402

if __name__ == "__main__":
    run_command(main)
