"""Packs a split of any data set into LMDB, which the data layer then reads as the data set `lmdb`.

    python3 tools/make_lmdb.py --dataset gta5 --split train --output data/sets/gta5_train
    python3 tools/make_lmdb.py --dataset cityscapes --split train --images-only --output
    data/sets/cityscapes_target

In a net: {"dataset": "lmdb", "split": "all", "options": {"path": "gta5_train"}}; in commands:
--dataset lmdb:path=gta5_train. Stopped at any moment, the same command goes on. Every frame is
compared with its original at the end.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command  # noqa: E402
from tools.lib.datasets.lmdb_command import main  # noqa: E402

if __name__ == "__main__":
    run_command(main)
