"""Running compilers and their kind: everything they say goes to a log file, percentages to the
terminal."""
import os
import re
import shutil
import subprocess

from data.errors import InputError
from tools.lib.runtime.setup import Counter

#: program: what is missing without it.
NEEDED = {"g++": "the C++ compiler", "make": "make", "dpkg-source": "the unpacker of Debian source "
                                                                    "packages",
          "strip": "binutils", "git": "git, which applies the project's patches"}


def check_programs():
    """InputError naming what the machine lacks for a build."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise InputError("missing: %s" % ", ".join(f"{name} ({NEEDED[name]})" for name in missing),
                         fix="apt install build-essential dpkg-dev git")


def run_logged(argv, log, cwd, label=None, env=None):
    """Runs a program, appending its output to the file `log`; returns that output.

    label: shows a percentage under this name, read from lines like make's "[ 45%]".
    Raises InputError with the first error line when it fails.
    """
    said = []
    counter, shown = (Counter(label, 100), 0) if label else (None, 0)
    with open(log, "a", encoding="utf-8", buffering=1) as file:
        file.write(f"\n$ {' '.join(argv)}\n")
        with subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, errors="replace") as program:
            for line in program.stdout:
                file.write(line)
                said.append(line)
                match = re.match(r"\[\s*(\d+)%\]", line)
                while counter and match and shown < int(match.group(1)):
                    counter.step()
                    shown += 1
    if program.returncode:
        errors = [line.strip() for line in said if re.search(r"\berror\b|\*\*\*", line, re.I)]
        raise InputError(
            "%s failed: %s" % (os.path.basename(argv[0]),
                               (errors or [line.strip()
                                           for line in said[-1:]] or ["no output"])[0]),
            fix=f"see {log}, then run this again: it goes on where it stopped")
    return "".join(said)
