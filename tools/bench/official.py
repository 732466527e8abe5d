"""Cityscapes' own evaluation (PyPI: cityscapesscripts), run in a process apart from the project."""
import json
import os
import subprocess
import sys

from data.errors import InputError
from data.files import ROOT, folder_aside
from tools.bench.torch_env import clean_environment
from tools.lib.runtime.wheels import pip_command

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cityscapesscripts.lock")
FOLDER = os.path.join(ROOT, ".cityscapesscripts")
RUN = os.path.join(os.path.dirname(LOCK), "official_run.py")


def official_package(folder=FOLDER, timeout=60):
    """The folder that holds the pinned package, fetched when it is not there yet.

    Of its dependencies only those in the lock file are fetched: the evaluation also needs numpy and
    Pillow, which the runtime has. InputError when pip cannot fetch it within `timeout` seconds.
    """
    return pinned_package(folder, LOCK, timeout)


def pinned_package(folder, lock, timeout, target=()):
    """`folder` with the packages of a lock file, fetched by pip when it is not there yet.

    target: pip's options that name the Python. Raises InputError when pip cannot fetch them
    within `timeout` seconds.
    """
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


def official_scores(pairs, package):
    """Scores of Cityscapes' evaluation for pairs of (prediction, truth) PNGs in labelIds.

    Returns dict(iou={class name: float or None}, mean, seconds, peak_bytes) of a process of its
    own.
    """
    done = subprocess.run([sys.executable, RUN, package], input=json.dumps(pairs),
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().split("\n")[-1])
