"""The private runtime: a folder with Debian 11's Caffe and Python, and how programs start in it.

Debian's programs look for their libraries below /usr. Here they start through the folder's own
dynamic loader, which is told where the libraries lie.
"""
import glob
import os

from data.files import ROOT

#: The set-up writes this file last: a folder that has it is complete.
READY = "ready.json"
PYTHON = "python3.9"

#: It replaces Debian's sitecustomize, a link to the machine's /etc. With it, sys.executable is
#: bin/python, so that child processes start through the loader too.
SITECUSTOMIZE = '''"""sys.executable names a program that can be started: Python through the \
prefix's loader."""
import os
import sys

os.environ.pop("PYTHONHOME", None)
sys.executable = sys._base_executable = os.path.normpath(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../bin/python"))
'''


def prefix_folder(environ=None):
    """Folder of the private runtime: CAFFE_PREFIX, by default <repository>/.caffe."""
    environ = os.environ if environ is None else environ
    return os.path.abspath(environ.get("CAFFE_PREFIX") or os.path.join(ROOT, ".caffe"))


def is_ready(folder):
    """True when the set-up has finished in `folder`."""
    return os.path.isfile(os.path.join(folder, READY))


def library_path(folder):
    """The folders of the runtime's libraries, joined by colons, OpenBLAS first.

    The folders of the reference BLAS and LAPACK are left out: libblas.so.3 must be OpenBLAS.
    """
    usr = os.path.join(folder, "usr/lib/x86_64-linux-gnu")
    return ":".join([os.path.join(usr, "openblas-pthread"),
                     os.path.join(folder, "lib/x86_64-linux-gnu"),
                     usr,
                     os.path.join(folder, "usr/lib")])


def loader(folder):
    """Path of the runtime's own dynamic loader, None when it is missing.

    The machine's loader cannot be used: its glibc is newer than the runtime's.
    """
    return next(iter(sorted(glob.glob(os.path.join(folder, "lib/x86_64-linux-gnu/ld-*.so")))), None)


def command(folder, program, arguments=()):
    """argv that runs `program`, a name in usr/bin, through the runtime's loader."""
    return [loader(folder), "--library-path", library_path(folder),
            os.path.join(folder, "usr/bin", program)] + list(arguments)


def site_packages(folder):
    """Folder of the wheels; the runtime's Python searches it without being told."""
    return os.path.join(folder, "usr/local/lib", PYTHON, "dist-packages")


def starter(loader_inside):
    """Text of bin/python. loader_inside: the loader's path, relative to the runtime's folder."""
    return f"""#!/bin/sh
# The runtime's Python, started through its own loader.
home=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
unset PYTHONHOME
exec "$home/{loader_inside}" --library-path "{library_path("$home")}" "$home/usr/bin/{PYTHON}" "$@"
"""


def write_starter(tree):
    """Writes bin/python and the sitecustomize module that names it into the unpacked `tree`.

    Subprocesses start the runtime's Python by bin/python.
    """
    path = os.path.join(tree, "bin/python")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _replace(path, starter(os.path.relpath(loader(tree), tree)))
    os.chmod(path, 0o755)
    _replace(os.path.join(tree, "usr/lib", PYTHON, "sitecustomize.py"), SITECUSTOMIZE)


def _replace(path, text):
    """Writes a file in place of a file or link: writing through a link would leave the folder."""
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
