"""Frames to leave out: skip.txt in a data set's folder, one frame's name a line. What it takes out is always said."""
import functools
import os
import sys

from data.lists import read_list

SKIP_FILE = "skip.txt"


def read_skipped(folder):
    """The names in folder/skip.txt as {name: "path:line"}; empty without that file. Raises InputError if it is damaged."""
    path = os.path.join(folder, SKIP_FILE)
    return dict(read_list(path)) if os.path.lexists(path) else {}


def without_skipped(frames, folder, split):
    """The frames of `split` that skip.txt does not name. How many it does is written to stderr, once a process."""
    skipped = read_skipped(folder)
    kept = [frame for frame in frames if frame.name not in skipped]
    if len(kept) < len(frames):
        _say("%s takes %d of %d frames out of %s" % (
            os.path.join(folder, SKIP_FILE), len(frames) - len(kept), len(frames), split))
    return kept


@functools.lru_cache(maxsize=None)
def _say(message):
    sys.stderr.write(message + "\n")
