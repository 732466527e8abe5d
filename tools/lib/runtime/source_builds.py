"""Caffe built by tools/build/build_caffe.py: which build the commands use, and with which Python.

CAFFE_BUILD=FOLDER names a build; CAFFE_BUILD= (empty) means none. Without the variable, the
commands use the build that `tools/build/build_caffe.py --activate` has chosen, if any.
"""
import glob
import json
import os
import shutil
import subprocess
import sys

from data.errors import InputError
from data.files import ROOT
from tools.lib.runtime import RUNNING_PYTHON

HOME = os.path.join(ROOT, ".caffe-build")
#: Link to the chosen build.
ACTIVE = os.path.join(HOME, "active")
#: Written last: a folder that has it is a finished build.
RECORD = "build.json"
#: Where NVIDIA's libraries lie in a build.
CUDA_LIB = "cuda/lib"
#: The patch with which the convolutions of a process share the memory of their columns.
ONE_COLUMN_BUFFER = "006-one-column-buffer.patch"
#: Patch with which Caffe multiplies in TF32 where the environment says CAFFE_TF32=1.
TF32_OPTION = "005-tf32-option-of-matrix-products.patch"
#: Programs that a build needs: what each is, for a machine without it.
PROGRAMS = {"g++": "the C++ compiler", "make": "make",
            "dpkg-source": "the unpacker of Debian source packages", "strip": "binutils",
            "git": "git, which applies the project's patches"}
#: Lock files of the Pythons that a build can be for.
LOCKS = os.path.join(ROOT, "tools", "build", "locks", "python-*.lock")
BUILD = "python3 tools/build/build_caffe.py"
REPAIR = (f"{BUILD} --activate (on a machine without a GPU: --variant cpu --activate), or unset "
          f"CAFFE_BUILD, or {BUILD} --deactivate")


def selected(environ=None):
    """Folder of the build to use, or None; InputError when the named folder is not a build."""
    environ = os.environ if environ is None else environ
    named = environ.get("CAFFE_BUILD")
    if named is None:
        named = os.path.realpath(ACTIVE) if os.path.lexists(ACTIVE) else ""
    if not named:
        return None
    folder = os.path.abspath(named)
    read_record(folder)
    return folder


def read_record(folder):
    """The record of a finished build: a dictionary, written by tools/build/source_build.py.

    Keys: variant, arch, python, executable, caffe, patches, compiler, seconds.
    """
    path = os.path.join(folder, RECORD)
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        if not isinstance(record["python"], str) or not isinstance(record["variant"], str):
            raise TypeError("python and variant are names")
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise InputError(f"{folder} is not a finished build of Caffe ({RECORD}: {problem})",
                         fix=REPAIR) from None
    return record


def missing_programs():
    """Names and purposes of the PROGRAMS that this machine lacks."""
    return [f"{name} ({what})" for name, what in PROGRAMS.items() if shutil.which(name) is None]


def buildable_pythons():
    """Versions of Python that a build can be for, such as ["3.11", "3.12"]."""
    names = [os.path.basename(path) for path in glob.glob(LOCKS)]
    versions = [name[len("python-"):-len(".lock")] for name in names]
    return sorted(versions, key=lambda version: [int(part) for part in version.split(".")])


def building_python():
    """Path of a Python, this one or one on PATH, that a build can be for; None without one.

    It has its headers.
    """
    versions = buildable_pythons()
    here = [sys.executable] if RUNNING_PYTHON in versions else []
    for path in here + [shutil.which("python" + version) for version in reversed(versions)]:
        include = path and ask(path, "sysconfig.get_paths()['include']")
        if include and os.path.isfile(os.path.join(include, "Python.h")):
            return path
    return None


def has_patch(name, environ=None):
    """Whether the commands use a build whose Caffe has the patch of that file name."""
    folder = selected(environ)
    return folder is not None and name in read_record(folder).get("patches", ())


def build_command(folder):
    """The command that makes the finished build in `folder` anew, for the Python that runs it."""
    record = read_record(folder)
    arch = ",".join(str(number) for number in record.get("arch", ()))
    return f"{BUILD} --variant {record['variant']}" + (f" --arch {arch}" if arch else "")


def site_packages(folder):
    """Folder of the build's Python packages, caffe among them."""
    return os.path.join(folder, "python")


def is_running(folder):
    """True when this is a Python of the build's version with the build's packages on its path."""
    here = {os.path.realpath(path) for path in sys.path if path}
    return (os.path.realpath(site_packages(folder)) in here
            and read_record(folder)["python"] == RUNNING_PYTHON)


def python(folder):
    """Path of a Python of the build's version: this one, the one that built it, or one on PATH."""
    record = read_record(folder)
    if record["python"] == RUNNING_PYTHON:
        return sys.executable
    for path in (record.get("executable"), shutil.which("python" + record["python"])):
        if path and ask(path, "'.'.join(map(str, sys.version_info[:2]))") == record["python"]:
            return path
    raise InputError(f"the build in {folder} is for Python {record['python']}, which is not on "
                     "this machine's path",
                     fix=f"run the command with python{record['python']}, or build for this "
                         f"Python: {build_command(folder)}")


def ask(executable, expression):
    """The value of a Python expression in another Python, as text; None when it fails.

    The expression may use the modules sys and sysconfig.
    """
    try:
        done = subprocess.run([executable, "-c", f"import sys, sysconfig; print({expression})"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def stock_program(folder):
    """(path of the build's `caffe` program, environment variables that it needs).

    The program embeds the build's Python. Raises InputError where that has no shared library.
    """
    executable = python(folder)
    libraries = ask(executable, "sysconfig.get_config_var('LIBDIR') or ''") or ""
    if not os.path.exists(os.path.join(libraries,
                                       f"libpython{read_record(folder)['python']}.so.1.0")):
        raise InputError(f"{executable} has no shared libpython, which the stock caffe program "
                         "embeds",
                         fix="apt install libpython3-dev, or use python3 tools/train.py: it needs "
                             "no such library")
    return os.path.join(folder, "bin/caffe"), {
        "LD_LIBRARY_PATH": libraries, "PYTHONHOME": ask(executable, "sys.base_prefix") or "",
        # libcaffe's protobuf is global in this process and clashes with the one inside the wheel
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}


def activate(folder):
    """Makes `folder` the build that commands use; with None they use no build."""
    if folder is None:
        if os.path.lexists(ACTIVE):
            os.unlink(ACTIVE)
        return
    read_record(folder)
    os.makedirs(HOME, exist_ok=True)
    aside = ACTIVE + ".aside"
    if os.path.lexists(aside):
        os.unlink(aside)
    os.symlink(os.path.relpath(folder, HOME), aside)
    os.replace(aside, ACTIVE)
