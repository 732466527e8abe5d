"""Boost.Python for a Python that Debian 12's own package was not made for."""
import concurrent.futures
import glob
import os

from data.cores import usable_cores
from tools.build import wheel_parts
from tools.build.configure import python_headers
from tools.build.debian_parts import fetch_source
from tools.build.programs import run_logged

#: The Python of Debian 12.
DEBIANS = "3.11"
SOURCE_VERSION = "1.74.0+ds1-21"
SUITE = "bookworm"


def library_name():
    """File name of the library for this Python."""
    return f"libboost_python{wheel_parts.PYTHON.replace('.', '')}.so.1.74.0"


def build(work, libraries, log, mirror):
    """Compiles libs/python of Debian 12's Boost; returns the library's path."""
    tree, out = os.path.join(work, "boost"), os.path.join(work,
                                                          "boost-python-" + wheel_parts.PYTHON)
    if not os.path.isdir(tree):
        fetch_source("boost1.74", SOURCE_VERSION, SUITE, work, tree, mirror)
    os.makedirs(out, exist_ok=True)
    sources = [
        path for path in glob.glob(os.path.join(tree, "libs/python/src/**/*.cpp"), recursive=True)
        if "/numpy/" not in path
    ]
    flags = [
        "-O2", "-fPIC", "-DNDEBUG", "-DBOOST_PYTHON_SOURCE",
        "-I" + os.path.join(libraries, "usr/include"), "-I" + python_headers()
    ]

    def compile_one(path):
        target = os.path.join(out, os.path.relpath(path, tree).replace("/", "_") + ".o")
        if not os.path.exists(target):
            run_logged(["g++"] + flags + ["-c", path, "-o", target + ".aside"], log, out)
            os.replace(target + ".aside", target)
        return target

    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as pool:
        objects = list(pool.map(compile_one, sources))
    path = os.path.join(out, library_name())
    run_logged(["g++", "-shared", "-Wl,-soname," + library_name(), "-o", path] + objects, log, out)
    return path
