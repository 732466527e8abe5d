"""Writes the two lists of what the private runtime is made of, anew.

tools/lib/runtime/requirements.lock: the wheels of requirements.in with their SHA-256, as pip
resolves them today. tools/lib/runtime/debian.lock: the Debian packages as the mirror's signed index
lists them. Needs pip with its package index, and a Debian mirror.
"""
import argparse
import os
import subprocess
import tempfile

import _init_paths  # noqa: F401

from data.files import sha256, write_whole
from tools.lib.command import run_command
from tools.lib.runtime import debian, wheels
from tools.lib.runtime.mirrors import mirrors_to_ask

WHEELS = "# Written by `python3 tools/%s` from %s: change that file, not this one.\n"
DEBS = "# Written by `python3 tools/build/lock_runtime.py`: SHA-256 and file name of the Debian 11 packages (amd64).\n"


def lock_wheels(folder, requested=wheels.REQUESTED, target=wheels.TARGET_PYTHON,
                tool="lock_runtime.py"):
    """Resolves the file `requested` into `folder`; returns the text of the lock file.

    target: pip's options that say for which Python; tool: the command that the lock file names.
    """
    subprocess.run(
        wheels.pip_command("download") + target + ["--dest", folder, "--requirement", requested],
        check=True)
    lines = [WHEELS % (tool, os.path.basename(requested))]
    for name in sorted(os.listdir(folder), key=str.lower):
        project, version = name.split("-")[:2]
        lines.append(f"{project.replace('_', '-').lower()}=={version} \\\n    "
                     f"--hash=sha256:{sha256(os.path.join(folder, name))}\n")
    return "".join(lines)


def lock_debs(folder, mirror):
    """Text of the package list, from the signed index."""
    apt = debian.open_apt(folder, mirrors_to_ask(mirror))
    return DEBS + "".join(f"{package.sha256} {package.file}\n"
                          for package in sorted(apt.closure(), key=lambda package: package.file))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", metavar="URL", help="Debian mirror (default: that of the "
                                                        "machine)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        debs = lock_debs(os.path.join(folder, "apt"), options.mirror)
        wheel_text = lock_wheels(os.path.join(folder, "wheels"))
    write_whole(debian.DEBS_LOCK, debs)
    write_whole(wheels.LOCK, wheel_text)
    print(f"{len(debian.locked_packages())} Debian packages, {len(wheels.locked())} wheels locked")


if __name__ == "__main__":
    run_command(main)
