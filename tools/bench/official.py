"""Cityscapes' own evaluation (PyPI: cityscapesscripts), run in a process apart from the project."""
import json
import os
import subprocess
import sys

from data.errors import InputError
from data.files import ROOT, folder_aside
from tools.bench.torch_env import clean_environment
from tools.lib.runtime.wheels import pip_command, target_python

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cityscapesscripts.lock")
FOLDER = os.path.join(ROOT, ".cityscapesscripts")
RUN = os.path.join(os.path.dirname(LOCK), "official_run.py")


def official_package(folder=FOLDER, timeout=60):
    """The folder that holds the pinned package, fetched when it is not there yet.

    Of its dependencies only those in the lock file are fetched: the evaluation also needs numpy and
    Pillow, which the runtime has. InputError when pip cannot fetch it within `timeout` seconds.
    """
    return pinned_package(folder, LOCK, timeout)


def pinned_package(folder, lock, timeout, one_python=False):
    """The folder with the packages of a lock file, fetched by pip when it is not there yet.

    one_python: the packages fit one version of Python, and the folder's name gets this one's.
    Raises InputError when pip cannot fetch them within `timeout` seconds.
    """
    target = ()
    if one_python:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        folder, target = f"{folder}-py{version}", target_python(version)
    if os.path.isdir(folder):
        return folder
    try:
        with folder_aside(folder) as aside:
            done = subprocess.run(
                pip_command("install") + list(target)
                + ["--no-deps", "--require-hashes", "-q", "--target", aside, "-r", lock],
                env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, timeout=timeout)
            if done.returncode:
                reason = done.stdout.strip().split("\n")[-1]
                raise InputError(f"{os.path.basename(lock)} could not be installed: {reason}")
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise InputError(f"{os.path.basename(lock)} could not be installed: {problem}") from None
    return folder


def environment_with(folder):
    """Environment of a Python that looks for packages in the folder first.

    Then it looks where this Python does: numpy of a source build lies on PYTHONPATH alone.
    """
    paths = [folder] + os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths)))


def official_scores(pairs, package):
    """Scores of Cityscapes' evaluation for pairs of (prediction, truth) PNGs in labelIds.

    Returns dict(iou={class name: float or None}, mean, seconds, peak_bytes) of a process of its
    own.
    """
    done = subprocess.run([sys.executable, RUN, package], input=json.dumps(pairs),
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().split("\n")[-1])
