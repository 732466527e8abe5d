"""Writes tools/runtime/requirements.lock anew: the wheels of requirements.in with their SHA-256.

Needs pip and its package index. The result is what tools/setup_caffe.py installs.
"""
import argparse
import os
import subprocess
import tempfile

import _init_paths  # noqa: F401

from tools.command import run_command
from tools.runtime import wheels
from tools.runtime.files import sha256, write_whole

HEADER = "# Written by `python tools/lock_wheels.py` from requirements.in: change that file, not this one.\n"


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(wheels.pip_command("download") + wheels.TARGET_PYTHON
                       + ["--dest", folder, "--requirement", wheels.REQUESTED], check=True)
        lines = [HEADER]
        for name in sorted(os.listdir(folder), key=str.lower):
            project, version = name.split("-")[:2]
            lines.append("%s==%s \\\n    --hash=sha256:%s\n"
                         % (project.replace("_", "-").lower(), version, sha256(os.path.join(folder, name))))
    write_whole(wheels.LOCK, "".join(lines))
    print("%d wheels in %s" % (len(lines) - 1, wheels.LOCK))


if __name__ == "__main__":
    run_command(main)
