"""Frames to leave out: skip.txt in a data set's folder, one frame's name a line. What it takes out
is always said."""
import functools
import os
import sys

from data.errors import InputError
from data.lists import read_list

SKIP_FILE = "skip.txt"


def read_skipped(folder):
    """The names in folder/skip.txt as {name: "path:line"}; empty without that file. Raises
    InputError if it is damaged."""
    path = os.path.join(folder, SKIP_FILE)
    return dict(read_list(path)) if os.path.lexists(path) else {}


def without_skipped(frames, folder, split):
    """The frames of `split` that skip.txt does not name. How many it does is written to stderr,
    once a process."""
    skipped = read_skipped(folder)
    kept = [frame for frame in frames if frame.name not in skipped]
    if len(kept) < len(frames):
        _say(f"{os.path.join(folder, SKIP_FILE)} takes {len(frames) - len(kept)} of "
             f"{len(frames)} frames out of {split}")
    return kept


def names_without_frame(data, splits):
    """[(name, "path:line")] of a DataSet's skip.txt that are in none of `splits` and in no other
    split that is there."""
    unknown = read_skipped(data.folder)
    looked_at = [(split, data.options) for split in (*splits, *data.record.splits)]
    for split, options in looked_at + data.record.other_splits(data.folder, data.options):
        if not unknown:
            break
        try:
            frames = data.record.list_frames(data.folder, split, options)
        except InputError:  # not there: the usual splits need not be
            continue
        for frame in frames:
            unknown.pop(frame.name, None)
    return list(unknown.items())


@functools.lru_cache(maxsize=None)
def _say(message):
    sys.stderr.write(message + "\n")
