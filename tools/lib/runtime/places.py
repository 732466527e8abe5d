"""Where the repository and its private Caffe prefix lie, and how to start programs in it.
"""
import glob
import os

from data.files import ROOT

#: Written last by the set-up: a prefix that has it is complete.
READY = "ready.json"
PYTHON = "python3.9"


def prefix(environ=None):
    """Folder of the private runtime: CAFFE_PREFIX, by default <repository>/.caffe."""
    environ = os.environ if environ is None else environ
    return os.path.abspath(environ.get("CAFFE_PREFIX") or os.path.join(ROOT, ".caffe"))


def is_ready(folder):
    """True when the set-up has finished in `folder`."""
    return os.path.isfile(os.path.join(folder, READY))


def library_path(folder):
    """The prefix's library folders, joined by colons, OpenBLAS before anything else.

    The reference BLAS and LAPACK folders are left out: libblas.so.3 must be OpenBLAS.
    """
    usr = os.path.join(folder, "usr/lib/x86_64-linux-gnu")
    return ":".join([os.path.join(usr, "openblas-pthread"),
                     os.path.join(folder, "lib/x86_64-linux-gnu"),
                     usr,
                     os.path.join(folder, "usr/lib")])


def loader(folder):
    """The prefix's own dynamic loader (its glibc is older than the machine's); None when it is
    gone."""
    return next(iter(sorted(glob.glob(os.path.join(folder, "lib/x86_64-linux-gnu/ld-*.so")))), None)


def command(folder, program, arguments=()):
    """argv that runs `program` (a name in the prefix's usr/bin) under the prefix's loader."""
    return [loader(folder), "--library-path", library_path(folder),
            os.path.join(folder, "usr/bin", program)] + list(arguments)


def site_packages(folder):
    """Where the wheels lie: a folder that the prefix's Python searches by itself."""
    return os.path.join(folder, "usr/local/lib", PYTHON, "dist-packages")
