"""Writes the lock files of the source build, of MPI and of the comparison with PyTorch anew, as pip
resolves them today.

Each list tools/build/locks/*.in becomes a lock file for the Python that runs this, with
versions and SHA-256, and so does `torch`; `mpi` is for every Python that a runtime may have.
Needs pip with its package index.
"""
import argparse
import glob
import os
import subprocess
import tempfile

import _init_paths  # noqa: F401

from data.files import sha256, write_whole
from tools.bench.torch_lock import write_locks
from tools.build import wheel_parts
from tools.build.lock_runtime import lock_wheels
from tools.lib.command import run_command
from tools.lib.runtime import mpi, wheels

#: Lists that name everything themselves: nothing that they depend on is wanted.
EXACT = ("cuda", "inspect", "tools")
MPI = ("mpi4py", "mpich")
MPI_PYTHONS = ("3.9", "3.10", "3.11", "3.12")
MPI_HEAD = "# Written by `python3 tools/build/lock_build.py mpi`: the newest wheels, for Python %s.\n"


def lock_mpi():
    """Text of the MPI lock: for each project one version, and the hash of its wheel for each
    Python."""
    found = {}
    for version in MPI_PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(wheels.pip_command("download") + wheels.target_python(version)
                           + ["--no-deps", "--dest", folder] + list(MPI), check=True)
            for name in os.listdir(folder):
                found.setdefault("==".join(name.split("-")[:2]),
                                 set()).add(sha256(os.path.join(folder, name)))
    return MPI_HEAD % ", ".join(MPI_PYTHONS) + "".join(
        project + "".join(" \\\n    --hash=sha256:" + digest
                          for digest in sorted(found[project])) + "\n" for project in sorted(found))


def main():
    names = sorted(os.path.basename(path)[:-3]
                   for path in glob.glob(wheel_parts.requested("*"))) + ["mpi", "torch"]
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="*", metavar="LIST", help="which lists (default: "
                                                                 f"{' '.join(names)})")
    for name in parser.parse_args().lists or names:
        if name == "mpi":
            write_whole(mpi.LOCK, lock_mpi())
            print(os.path.relpath(mpi.LOCK))
            continue
        if name == "torch":
            print("\n".join(os.path.relpath(path) for path in write_locks()))
            continue
        target = wheel_parts.THIS_PYTHON + (["--no-deps"] if name in EXACT else [])
        with tempfile.TemporaryDirectory() as folder:
            text = lock_wheels(folder, wheel_parts.requested(name), target, "lock_build.py")
        write_whole(wheel_parts.lock(name), text)
        print(os.path.relpath(wheel_parts.lock(name)))


if __name__ == "__main__":
    run_command(main)
