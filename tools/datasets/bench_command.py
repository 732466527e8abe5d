"""The command line of tools/bench_reading.py."""
import argparse
import os
import random
import time

import numpy as np

from data.errors import InputError
from data.packed import close_all
from data.parallel import each_result
from data.registry import open_dataset
from tools.scoring.score_command import add_data_arguments


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="bench_reading.py", description="Folder against LMDB, in frames a second.")
    add_data_arguments(parser)
    parser.add_argument("--lmdb", required=True, metavar="FOLDER", help="what make_lmdb.py made of this split")
    parser.add_argument("--turns", type=int, default=5, help="turns of each; the medians are printed (default %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default %(default)s)")
    args = parser.parse_args(arguments)
    if args.turns < 1 or args.workers < 1:
        parser.error("--turns and --workers: expected at least 1")
    return args


def main(arguments=None):
    args = parse(arguments)
    folder = open_dataset(args.dataset, args.data_root, args.label_space)
    packed = open_dataset("lmdb", path=os.path.abspath(args.lmdb))
    pairs = [(folder, folder.frames(args.split)), (packed, packed.frames("all"))]
    if [frame.name for frame in pairs[0][1]] != [frame.name for frame in pairs[1][1]]:
        raise InputError("--lmdb %s does not hold %s %s" % (args.lmdb, args.dataset, args.split))
    databases = {os.path.dirname(path) for frame in pairs[1][1] for path in (frame.image, frame.label) if path}
    files = [[path for frame in pairs[0][1] for path in (frame.image, frame.label) if path],
             [os.path.join(database, "data.mdb") for database in databases]]
    print("%d frames in shuffled order, %d process%s, median of %d turns" % (
        len(pairs[0][1]), args.workers, "es" * (args.workers > 1), args.turns))
    for what, function in (("image and label decoded", _decode), ("bytes alone", _fetch)):
        for cold in (False, True):
            rates = measure(pairs, files, function, cold, args.turns, args.workers)
            print("%-24s %s: folder %8.1f frames/s, LMDB %8.1f frames/s, LMDB / folder %.2f" % (
                what, "cold" if cold else "warm", rates[0], rates[1], rates[1] / rates[0]), flush=True)


def measure(pairs, files, function, cold, turns, workers):
    """Median frames a second of each (DataSet, frames), taken in turns so that the machine's other work hits both."""
    rates = [[], []]
    for turn in range(turns):
        order = list(range(len(pairs[0][1])))
        random.Random(turn).shuffle(order)
        for side, (data, frames) in enumerate(pairs):
            if cold:
                _forget(files[side])
            start = time.perf_counter()
            for _ in each_result(lambda index: function(data, frames[index]), order, workers):
                pass
            rates[side].append(len(order) / (time.perf_counter() - start))
    return [float(np.median(side)) for side in rates]


def _decode(data, frame):
    if frame.label is None:
        data.read_image(frame)
    else:
        data.read_pair(frame)


def _fetch(data, frame):
    data.encoded_image(frame)


def _forget(paths):
    """Drops files from the kernel's cache. What this process has mapped would stay, so databases are closed first."""
    close_all()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
