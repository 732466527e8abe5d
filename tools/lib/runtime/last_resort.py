"""The last resort of the set-up: Caffe is compiled where Debian 11's packages are gone.

It needs Debian 11's source package, which the mirrors or their archives must still have.
"""
import os
import subprocess

from data.errors import InputError
from data.files import ROOT
from tools.lib.runtime import debian, source_builds

#: The program that builds; it chooses nothing itself.
PROGRAM = os.path.join(ROOT, "tools", "build", "build_caffe.py")
#: Minutes of a build from nothing on two cores, and GB of disk on the way. The minutes are those of
#: docs/results/source_build/cpu-py3.12.md, rounded up.
MINUTES, GIGABYTES = 7, 2


def source_mirror(folder, mirrors):
    """Address of the mirror or archive that has Caffe's source package; None without one.

    folder: for the state of an apt of its own.
    """
    try:
        apt = debian.open_apt(folder, mirrors, kinds=("deb-src",))
        apt.run(["source", "--print-uris", "caffe"])
    except (InputError, debian.AptFailed):
        return None
    return apt.mirror


def build(mirror, problem, report):
    """Compiles Caffe for the CPU and makes the commands use it; returns the build's folder.

    mirror: address with the source package.  problem: the InputError about the missing packages.
    Raises InputError where the machine lacks what a build needs, or where the build fails.
    """
    python, missing = source_builds.building_python(), source_builds.missing_programs()
    if python is None:
        missing = missing + [f"Python {' or '.join(source_builds.buildable_pythons())} with its "
                             "headers"]
    if missing:
        raise InputError(f"{problem.what}; its source package is at {mirror}, but this machine "
                         f"cannot compile it: {', '.join(missing)} missing",
                         fix=f"apt install build-essential dpkg-dev git python3-dev, then run this "
                             f"again; or {problem.fix}")
    report(f"{problem.what}")
    report(f"Its source package is at {mirror}: compiling it instead takes about {MINUTES} minutes "
           f"on two cores and {GIGABYTES} GB of disk")
    done = subprocess.run([python, PROGRAM, "--variant", "cpu", "--activate", "--mirror", mirror],
                          cwd=ROOT, stdin=subprocess.DEVNULL)
    folder = source_builds.selected() if done.returncode == 0 else None
    if folder is None:
        raise InputError(f"{problem.what}; its source package could not be compiled (exit code "
                         f"{done.returncode})", fix=problem.fix)
    return folder
