"""From .deb files to a folder that works: offline folders, unpacking, last touches."""
import concurrent.futures
import glob
import os
import subprocess

from data.cores import usable_cores
from data.errors import InputError
from data.files import sha256
from tools.lib.runtime import places

HERE = os.path.dirname(os.path.abspath(__file__))
#: SHA-256 and file name of every package, for folders that no signature vouches for.
DEBS_LOCK = os.path.join(HERE, "debian.lock")

#: The runtime's Python started by subprocesses (sys.executable names it): through the prefix's
#: loader.
WRAPPER = """#!/bin/sh
# The runtime's Python, started through its own loader.
home=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
unset PYTHONHOME
exec "$home/{loader}" --library-path "{libraries}" "$home/usr/bin/{python}" "$@"
"""

#: Debian's sitecustomize is a link to the machine's /etc; this one makes child processes find the
#: way back.
SITECUSTOMIZE = '''"""sys.executable names a program that can be started: Python through the prefix's loader."""
import os
import sys

os.environ.pop("PYTHONHOME", None)
sys.executable = sys._base_executable = os.path.normpath(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../bin/python"))
'''


def offline(folder):
    """Paths of the locked packages among the .deb files of `folder`, whatever their names.

    Raises InputError naming what is missing: a file counts only when its SHA-256 is in the lock.
    """
    if not os.path.isdir(folder):
        raise InputError(f"--debs: no folder {folder}")
    there = {sha256(path): path for path in glob.glob(os.path.join(glob.escape(folder), "*.deb"))}
    wanted = locked()
    missing = [name for digest, name in wanted if digest not in there]
    if missing:
        raise InputError(f"--debs {folder}: {len(missing)} of {len(wanted)} packages are "
                         f"missing or differ from the lock, first {missing[0]}",
                         fix="python3 tools/setup_caffe.py --list-debs prints every file with its "
                             "SHA-256")
    return [there[digest] for digest, _ in wanted]


def locked(path=DEBS_LOCK):
    """[(sha256, file name)] of the committed package list."""
    with open(path, encoding="ascii") as file:
        return [tuple(line.split()) for line in file if line.strip() and not line.startswith("#")]


def unpack(paths, folder, progress):
    """Unpacks .deb files into `folder`, several at once."""
    os.makedirs(folder)
    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(lambda path: _unpack_one(path, folder), paths):
            progress()


def _unpack_one(path, folder):
    try:
        done = subprocess.run(["dpkg-deb", "-x", path, folder], stderr=subprocess.PIPE,
                              universal_newlines=True)
    except FileNotFoundError:
        raise InputError("dpkg-deb is missing: it unpacks the Debian packages",
                         fix="install dpkg") from None
    if done.returncode:
        raise InputError(f"cannot unpack {path}: {done.stderr.strip()}",
                         fix="make room on the disk or delete the file, then run this again")


def finish(tree):
    """Writes the prefix's `bin/python` and the sitecustomize module that names it."""
    relative = os.path.relpath(places.loader(tree), tree)
    libraries = places.library_path("$home")
    os.makedirs(os.path.join(tree, "bin"), exist_ok=True)
    wrapper = os.path.join(tree, "bin/python")
    _replace(wrapper, WRAPPER.format(loader=relative, libraries=libraries, python=places.PYTHON))
    os.chmod(wrapper, 0o755)
    _replace(os.path.join(tree, "usr/lib", places.PYTHON, "sitecustomize.py"), SITECUSTOMIZE)


def _replace(path, text):
    """Writes a file in place of whatever is there: writing through a link would leave the
    prefix."""
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
