# PYTHON_ARGCOMPLETE_OK
"""Packs a split of any data set into LMDB, which the data layer then reads as data set `lmdb`.

    python3 tools/make_lmdb.py --dataset gta5 --split train --output data/sets/gta5_train
    python3 tools/make_lmdb.py --dataset cityscapes --split train --images-only \
        --output data/sets/cityscapes_target

In a net: {"dataset": "lmdb", "split": "all", "options": {"path": "gta5_train"}}; in commands:
--dataset lmdb:path=gta5_train. After an interruption the same command continues. At the end every
frame is compared with its original.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.datasets.lmdb_command import main

if __name__ == "__main__":
    run_command(main)
