"""The command line of tools/bench/bench_reading.py."""
import argparse
import os
import random
import resource
import sys
import time

import numpy as np

from data.cores import usable_cores
from data.errors import InputError
from data.files import write_whole
from data.packed import close_all
from data.parallel import each_result
from data.registry import open_dataset
from tools.lib.command import count
from tools.lib.dataset_options import add_data_arguments, add_workers_argument
from tools.lib.tables import Table, format_of, render


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="bench_reading.py", description="Folder against LMDB, in "
                                                                          "frames a second.")
    add_data_arguments(parser)
    parser.add_argument("--lmdb", required=True, metavar="FOLDER", help="what make_lmdb.py made of "
                                                                        "this split")
    parser.add_argument("--turns", type=count, default=5, help="turns of each; the medians are "
                                                               "printed (default %(default)s)")
    add_workers_argument(parser, default=1)
    parser.add_argument("--output", help="write the figures to this file as well (.txt, .md, .csv "
                                         "or .tex)")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    form = args.output and format_of(args.output)
    folder = open_dataset(args.dataset, args.data_root, args.label_space)
    packed = open_dataset("lmdb", path=os.path.abspath(args.lmdb))
    pairs = [(folder, folder.frames(args.split)), (packed, packed.frames("all"))]
    if [frame.name for frame in pairs[0][1]] != [frame.name for frame in pairs[1][1]]:
        raise InputError(f"--lmdb {args.lmdb} does not hold {args.dataset} {args.split}")
    databases = {
        os.path.dirname(path)
        for frame in pairs[1][1]
        for path in (frame.image, frame.label) if path
    }
    files = [[path for frame in pairs[0][1] for path in (frame.image, frame.label) if path],
             [os.path.join(database, "data.mdb") for database in databases]]
    rows = []
    for what, function in (("image and label decoded", _decode), ("bytes alone", _fetch)):
        for cold in (False, True):
            rates, processor = measure(pairs, files, function, cold, args.turns, args.workers)
            rows.append(["%s, %s" %
                         (what, "cold" if cold else "warm")] + [f"{rate:.1f}" for rate in rates] +
                        [f"{rates[1] / rates[0]:.2f}", f"{processor[1] / processor[0]:.2f}"])
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    table = Table(
        ["frames a second", "folder", "LMDB", "LMDB / folder", "in processor time"], rows,
        "Written by `python3 tools/bench/bench_reading.py "
        f"{' '.join(sys.argv[1:] if arguments is None else arguments)}`: {len(pairs[0][1])} "
        f"frames in shuffled order, {args.workers} process{'es' * (args.workers > 1)}, median of "
        f"{args.turns} turns; "
        f"{usable_cores()} cores, load average of the machine meanwhile {os.getloadavg()[0]:.1f}."
    )
    print(render(table, "text"), end="")
    if args.output:
        write_whole(args.output, render(table, form))


def measure(pairs, files, function, cold, turns, workers):
    """(frames a second, frames a second of processor time), each the medians of the two (DataSet,
    frames).

    Taken in turns, so that the machine's other work hits both; processor time, which leaves out the
    waiting, does not know of it.
    """
    rates = [[], []]
    for turn in range(turns):
        order = list(range(len(pairs[0][1])))
        random.Random(turn).shuffle(order)
        for side, (data, frames) in enumerate(pairs):
            if cold:
                _forget(files[side])
            start = _clocks()
            for _ in each_result(lambda index: function(data, frames[index]), order, workers):
                pass
            rates[side].append(len(order) / (_clocks() - start))
    return np.median(rates, axis=1).T


def _clocks():
    """Seconds by the clock, and of processor time of this process and the workers it has had."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array(
        [time.perf_counter(),
         time.process_time() + workers.ru_utime + workers.ru_stime])


def _decode(data, frame):
    if frame.label is None:
        data.read_image(frame)
    else:
        data.read_pair(frame)


def _fetch(data, frame):
    data.encoded_image(frame)


def _forget(paths):
    """Drops files from the kernel's cache. What this process has mapped would stay, so databases
    are closed first."""
    close_all()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
