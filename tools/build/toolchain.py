"""What a build needs of the machine: programs, the headers of this Python, the compiler's library.

Programs write to a log file; the terminal shows percentages.
"""
import os
import re
import subprocess
import sysconfig

from data.errors import InputError
from tools.lib.runtime import source_builds
from tools.lib.runtime.setup import Counter


def check_programs():
    """Raises InputError naming the programs that the machine lacks for a build."""
    missing = source_builds.missing_programs()
    if missing:
        raise InputError(f"missing: {', '.join(missing)}",
                         fix="apt install build-essential dpkg-dev git")


def run_logged(argv, log, cwd, label=None, env=None):
    """Runs a program, appending its output to the file `log`; returns that output.

    label: shows a percentage under this name, read from lines like make's "[ 45%]".
    Raises InputError with the first error line when the program fails.
    """
    output = []
    counter, shown = (Counter(label, 100), 0) if label else (None, 0)
    with open(log, "a", encoding="utf-8", buffering=1) as file:
        file.write(f"\n$ {' '.join(argv)}\n")
        with subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, errors="replace") as program:
            for line in program.stdout:
                file.write(line)
                output.append(line)
                match = re.match(r"\[\s*(\d+)%\]", line)
                while counter and match and shown < int(match.group(1)):
                    counter.step()
                    shown += 1
    if program.returncode:
        errors = [line for line in output if re.search(r"\berror\b|\*\*\*", line, re.I)]
        first = (errors or output[-1:] or ["no output"])[0].strip()
        raise InputError(f"{os.path.basename(argv[0])} failed: {first}",
                         fix=f"see {log}, then run this again: it goes on where it stopped")
    return "".join(output)


def python_headers():
    """Folder of Python.h for this Python; InputError where the headers are missing."""
    folder = sysconfig.get_paths()["include"]
    if not os.path.isfile(os.path.join(folder, "Python.h")):
        raise InputError(f"no Python.h in {folder}: the headers of this Python are missing",
                         fix="apt install python3-dev, or run this with a Python that has its "
                             "headers")
    return folder


def compiler_library(name):
    """Path of a library that belongs to the machine's compiler, such as libstdc++.so.6."""
    path = subprocess.run(["g++", "-print-file-name=" + name], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    if not os.path.isabs(path):
        raise InputError(f"the compiler does not know where {name} is",
                         fix="apt install build-essential")
    return os.path.realpath(path)
