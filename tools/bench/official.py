"""Cityscapes' own evaluation (PyPI: cityscapesscripts), run apart from this project to compare with
it."""
import json
import os
import subprocess
import sys

from data.errors import InputError
from data.files import ROOT, folder_aside
from tools.lib.runtime.wheels import pip_command

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cityscapesscripts.lock")
FOLDER = os.path.join(ROOT, ".cityscapesscripts")
RUN = os.path.join(os.path.dirname(LOCK), "official_run.py")


def official_package(folder=FOLDER, timeout=60):
    """The folder that holds the pinned package, fetched when it is not there yet.

    Without its other dependencies: the evaluation needs numpy and Pillow besides, which the runtime
    has. Raises InputError when pip cannot bring it within `timeout` seconds.
    """
    if os.path.isdir(folder):
        return folder
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        with folder_aside(folder) as aside:
            done = subprocess.run(
                pip_command("install") +
                ["--no-deps", "--require-hashes", "-q", "--target", aside, "-r", LOCK], env=environ,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                timeout=timeout)
            if done.returncode:
                reason = done.stdout.strip().split("\n")[-1]
                raise InputError(f"cityscapesscripts could not be installed: {reason}")
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise InputError(f"cityscapesscripts could not be installed: {problem}") from None
    return folder


def official_scores(pairs, package):
    """What Cityscapes' evaluation says about pairs of (prediction, truth) PNGs in labelIds.

    Returns dict(iou={class name: float or None}, mean, seconds, peak_bytes), run in a process of
    its own.
    """
    done = subprocess.run([sys.executable, RUN, package], input=json.dumps(pairs),
                          stdout=subprocess.PIPE, universal_newlines=True, check=True)
    return json.loads(done.stdout.strip().split("\n")[-1])
