"""Writes the lock files of the source build anew, for the Python that runs this.

Each list tools/source_build/locks/*.in becomes a lock file with versions and SHA-256, as
pip resolves it today. Needs pip with its package index.
"""
import argparse
import glob
import os
import tempfile

import _init_paths  # noqa: F401

from tools.command import run_command
from tools.lock_runtime import lock_wheels
from tools.runtime.files import write_whole
from tools.source_build import wheel_parts

#: Lists that name everything themselves: nothing that they depend on is wanted.
EXACT = ("cuda", "cudnn", "tools")


def main():
    names = sorted(os.path.basename(path)[:-3] for path in glob.glob(wheel_parts.requested("*")))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="*", metavar="LIST", help="which lists (default: %s)" % " ".join(names))
    for name in parser.parse_args().lists or names:
        target = wheel_parts.THIS_PYTHON + (["--no-deps"] if name in EXACT else [])
        with tempfile.TemporaryDirectory() as folder:
            text = lock_wheels(folder, wheel_parts.requested(name), target, "lock_build.py")
        write_whole(wheel_parts.lock(name), text)
        print(os.path.relpath(wheel_parts.lock(name)))


if __name__ == "__main__":
    run_command(main)
