"""Writes the files that a builder generates, or compares them with the committed ones."""
import argparse
import os
import sys

from google.protobuf import text_format

from data.files import ROOT, write_whole


def prototxt(message):
    """Text of a protobuf message, the same in every version of protobuf (str(message) is not)."""
    return text_format.MessageToString(message)


def header(builder, source=None):
    """First line of a generated file: its builder, and the file to change (None: the builder)."""
    if source is None:
        return f"# Written by {builder}: change that, then build again.\n"
    return f"# Written by {builder} from {source}: change that, then build again.\n"


def stale(files):
    """Paths of the files on disk that are missing or differ from their text.

    files: {path relative to the repository: text}.
    """
    differing = []
    for path, text in sorted(files.items()):
        full = os.path.join(ROOT, path)
        if not os.path.exists(full) or open(full, encoding="utf-8").read() != text:
            differing.append(path)
    return differing


def build_command(description, files):
    """The command line of a builder: writes the files that are not up to date.

    files: {path relative to the repository: text}.  With --check it only names them, and ends with
    exit code 2 when there are any.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    differing = stale(files)
    for path in differing:
        if check:
            print(f"stale: {path}")
            continue
        write_whole(os.path.join(ROOT, path), files[path])
        print(f"wrote {path} ({files[path].count(chr(10))} lines)")
    print(f"{len(files)} files, {len(differing)} {'stale' if check else 'written'}")
    if check and differing:
        sys.exit(2)
