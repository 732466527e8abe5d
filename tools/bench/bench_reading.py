"""Frames a second of a data set read as a folder and from its LMDB, in turns, in one run.

    python3 tools/make_lmdb.py --dataset gta5_half --split train --output data/lmdb/gta5_half
    python3 tools/bench/bench_reading.py --dataset gta5_half --split train --lmdb data/lmdb/gta5_half

Warm: the files are in the kernel's cache. Cold: their pages are dropped from it before every turn.
Bytes alone: the encoded bytes are fetched and not decoded, which is all that the two kinds of
storage can differ in.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.bench.reading_command import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
