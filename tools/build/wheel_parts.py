"""What a build takes from the Python package index: its Python packages, cmake, and NVIDIA's
toolkit."""
import glob
import os
import re
import shutil
import sys

from tools.lib.runtime import wheels
from tools.lib.runtime.setup import Counter

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "locks")
#: This Python, whichever runs the build.
THIS_PYTHON = ["--only-binary=:all:"]
PYTHON = "%d.%d" % sys.version_info[:2]


def requested(name):
    """The list of packages that a lock file is made from."""
    return os.path.join(HERE, name + ".in")


def lock(name):
    """Lock file of a list; `python` has one for each version of Python."""
    return os.path.join(HERE, (name + "-" + PYTHON if name == "python" else name) + ".lock")


def install(name, work, folder):
    """Downloads the locked packages of list `name` and unpacks them as `folder`, hashes checked."""
    store, aside = os.path.join(work, "wheels"), folder + ".aside"
    wheels.download(store,
                    Counter(name + " package", len(wheels.locked(lock(name)))).step, lock(name),
                    THIS_PYTHON)
    shutil.rmtree(aside, ignore_errors=True)
    wheels.install(store, aside, lock(name), THIS_PYTHON)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(aside, folder)


def toolkit(folder):
    """The CUDA toolkit inside the unpacked wheels."""
    return os.path.join(folder, "nvidia/cu13")


def finish_toolkit(folder):
    """Adds what cmake looks for and wheels cannot hold: lib64 and the links without a version."""
    for home in glob.glob(os.path.join(folder, "nvidia/*")):
        for path in glob.glob(os.path.join(home, "lib/lib*.so.*")):
            plain = re.sub(r"\.so\..*", ".so", path)
            if not os.path.lexists(plain):
                os.symlink(os.path.basename(path), plain)
        if not os.path.lexists(os.path.join(home, "lib64")):
            os.symlink("lib", os.path.join(home, "lib64"))


def place_cuda_libraries(folder, into):
    """Puts the run-time libraries of the unpacked wheels into the folder `into`."""
    os.makedirs(into, exist_ok=True)
    for path in glob.glob(os.path.join(folder, "nvidia/*/lib/lib*.so.*")):
        target = os.path.join(into, os.path.basename(path))
        if not os.path.exists(target):
            link_or_copy(path, target)


def link_or_copy(source, target):
    """A second name for a file that nobody will change, or a copy where the disk has no such
    names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
