r"""Frames a second of a data set read as a folder and from its LMDB, in turns, in one run.

    python3 tools/make_lmdb.py --dataset gta5_half --split train --output data/lmdb/gta5_half
    python3 tools/bench/bench_reading.py --dataset gta5_half --split train \
        --lmdb data/lmdb/gta5_half

Warm: the files are in the kernel's cache. Cold: their pages are dropped from it before every turn.
Bytes alone: the encoded bytes are fetched and not decoded; the two kinds of storage can differ in
nothing else.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import functools
import os
import random
import resource
import sys
import time

import numpy as np

from data.cores import usable_cores
from data.errors import InputError
from data.lmdb_format import close_all
from data.parallel import each_result
from data.registry import open_dataset
from tools.lib.command import CommandParser, command_line, count, run_command
from tools.lib.dataset_options import add_data_arguments, add_workers_argument
from tools.lib.tables import Table, format_of, print_and_write


def parse(arguments=None):
    """The options of the command line."""
    parser = CommandParser(prog="bench_reading.py",
                           description="Folder against LMDB, in frames a second.")
    add_data_arguments(parser)
    parser.add_argument("--lmdb", required=True, metavar="FOLDER",
                        help="the LMDB that make_lmdb.py made of this split")
    parser.add_argument("--turns", type=count, default=5,
                        help="turns of each; the medians are printed (default %(default)s)")
    add_workers_argument(parser, default=1)
    parser.add_argument("--output",
                        help="write the figures to this file as well (.txt, .md, .csv or .tex)")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measures, prints the table and writes it to --output."""
    args = parse(arguments)
    form = args.output and format_of(args.output)
    folder = open_dataset(args.dataset, args.data_root, args.label_space)
    packed = open_dataset("lmdb", path=os.path.abspath(args.lmdb))
    pairs = [(folder, folder.frames(args.split)), (packed, packed.frames("all"))]
    count_of_frames = len(pairs[0][1])
    if [frame.name for frame in pairs[0][1]] != [frame.name for frame in pairs[1][1]]:
        raise InputError(f"--lmdb {args.lmdb} does not hold {args.dataset} {args.split}")
    files = [frame_files(pairs[0][1]),
             [os.path.join(folder, "data.mdb")
              for folder in {os.path.dirname(path) for path in frame_files(pairs[1][1])}]]
    rows = []
    for name, function in (("image and label decoded", _decode), ("bytes alone", _fetch)):
        for cold in (False, True):
            rates, processor = measure(pairs, files, function, cold, args.turns, args.workers)
            rows.append([f"{name}, {'cold' if cold else 'warm'}"]
                        + [f"{rate:.1f}" for rate in rates]
                        + [f"{rates[1] / rates[0]:.2f}", f"{processor[1] / processor[0]:.2f}"])
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    command = command_line("tools/bench/bench_reading.py", arguments)
    table = Table(
        ["frames a second", "folder", "LMDB", "LMDB / folder", "in processor time"], rows,
        f"Written by `{command}`: {count_of_frames} frames in "
        f"shuffled order, {args.workers} process{'es' * (args.workers > 1)}, median of "
        f"{args.turns} turns; {usable_cores()} cores, load average of the machine meanwhile "
        f"{os.getloadavg()[0]:.1f}.")
    print_and_write([table], args.output, form)


def frame_files(frames):
    """Paths of the frames' images and labels."""
    return [path for frame in frames for path in (frame.image, frame.label) if path]


def measure(pairs, files, function, cold, turns, workers):
    """(frames a second, frames a second of processor time), medians, each a value for either set.

    pairs: two (DataSet, frames), which take turns, so that other work on the machine slows both.
    files: paths of each of the two. function: called with (DataSet, frame). Processor time leaves
    out the time in which the process waited.
    """
    rates = [[], []]
    for turn in range(turns):
        order = list(range(len(pairs[0][1])))
        random.Random(turn).shuffle(order)
        for side, (data, frames) in enumerate(pairs):
            if cold:
                _drop_from_cache(files[side])
            start = _clocks()
            read = functools.partial(_read, function, data, frames)
            for _ in each_result(read, order, workers):
                pass
            rates[side].append(len(order) / (_clocks() - start))
    return np.median(rates, axis=1).T


def _read(function, data, frames, index):
    function(data, frames[index])


def _clocks():
    """Seconds by the clock, and of processor time of this process and its ended workers."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array(
        [time.perf_counter(), time.process_time() + workers.ru_utime + workers.ru_stime])


def _decode(data, frame):
    if frame.label is None:
        data.read_image(frame)
    else:
        data.read_pair(frame)


def _fetch(data, frame):
    data.encoded_image(frame)


def _drop_from_cache(paths):
    """Drops files from the kernel's cache.

    Pages that this process has mapped would stay, so databases are closed first.
    """
    close_all()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    run_command(main)
