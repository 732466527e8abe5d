"""Files that a builder generates and the repository keeps: write them, or compare."""
import os
import sys

from google.protobuf import text_format

from data.files import ROOT, write_whole


def prototxt(message):
    """Text of a protobuf message, the same in every version of protobuf (str(message) is not)."""
    return text_format.MessageToString(message)


def stale(files):
    """Those of `files` ({path relative to the repository: text}) that differ on disk or are
    absent."""
    differing = []
    for path, text in sorted(files.items()):
        full = os.path.join(ROOT, path)
        if not os.path.exists(full) or open(full, encoding="utf-8").read() != text:
            differing.append(path)
    return differing


def write_or_compare(files, check):
    """Brings `files` up to date; with `check` only names the stale ones, exit code 2."""
    differing = stale(files)
    for path in differing:
        if check:
            print(f"stale: {path}")
            continue
        full = os.path.join(ROOT, path)
        write_whole(full, files[path])
        print("wrote %s (%d lines)" % (path, files[path].count("\n")))
    print("%d files, %d %s" % (len(files), len(differing), "stale" if check else "written"))
    if check and differing:
        sys.exit(2)
