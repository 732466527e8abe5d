"""Writes lock files anew: versions and SHA-256 of everything that the set-ups fetch.

pip resolves the lists of packages as its index is today; the list debian comes from the signed
index of a mirror.

    debian                           tools/lib/runtime/debian.lock
    runtime                          tools/lib/runtime/requirements.lock, from requirements.in
    mpi                              tools/lib/runtime/mpi.lock
    python                           tools/build/locks/python-<version>.lock, from python.in
    tools, cuda, inspect             tools/build/locks/, from the list of that name
    ruff                             .ci/ruff.lock, from ruff.in
    selenium                         tools/bench/selenium.lock, from selenium.in
    torch                            tools/bench/locks/, from torch.in

The lists python and torch are for the Python that runs this, runtime and selenium for the private
runtime's.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile

import _init_paths  # noqa: F401

from data.errors import InputError
from data.files import ROOT, sha256, write_whole
from tools.bench import torch_env
from tools.build import parts
from tools.lib.command import CommandParser, run_command
from tools.lib.runtime import RUNNING_PYTHON, debian, mpi, wheels
from tools.lib.runtime.mirrors import mirrors_to_ask

#: Lists that name everything themselves: pip adds no dependencies.
EXACT = ("tools", "cuda", "inspect")
RUFF = os.path.join(ROOT, ".ci", "ruff.in")
SELENIUM = os.path.join(ROOT, "tools", "bench", "selenium.in")
TORCH = os.path.join(torch_env.LOCKS, "torch.in")
MPI = ("mpi4py", "mpich")
MPI_PYTHONS = ("3.9", "3.10", "3.11", "3.12")


def write_debian(mirror):
    """The list of Debian packages, from the signed index of a mirror."""
    with tempfile.TemporaryDirectory() as folder:
        found = debian.open_apt(folder, mirrors_to_ask(mirror)).closure()
    head = f"# {_command('debian')}: SHA-256 and file name of the Debian 11 packages (amd64).\n"
    lines = [f"{package.sha256} {package.file}\n" for package in found]
    return _write(debian.DEBS_LOCK, head + "".join(sorted(lines, key=lambda line: line.split()[1])))


def write_wheels(name, requested, lock):
    """The lock file of the list of packages in the file `requested`, for the private runtime."""
    found = download(["-r", requested], wheels.TARGET_PYTHON)
    return _write(lock, _head(name, requested) + _text(found))


def write_list(name, requested, lock, options=()):
    """The lock file of the list of packages in the file `requested`, for this Python."""
    return _write(lock, _head(name, requested) + _text(resolve(["-r", requested, *options])))


def write_mpi():
    """The MPI lock: for each project one version, and the hashes of its wheels for every Python."""
    found = {}
    for version in MPI_PYTHONS:
        wanted = download(list(MPI) + ["--no-deps"], wheels.target_python(version))
        for name, (number, hashes) in wanted.items():
            before = found.setdefault(name, (number, set()))
            if before[0] != number:
                raise InputError(f"{name} {number} for Python {version}, {before[0]} for others",
                                 fix="pin the version in MPI of tools/build/write_locks.py")
            before[1].update(hashes)
    head = f"# {_command('mpi')}: the newest wheels, for Python {', '.join(MPI_PYTHONS)}.\n"
    return _write(mpi.LOCK, head + _text(found))


def write_torch():
    """Both locks of the comparison with PyTorch; returns their paths.

    The lock for the CPU is left as it is where the index has no such build.
    """
    with open(TORCH, encoding="utf-8") as file:
        wanted = [line for line in file.read().split("\n") if line and not line.startswith("#")]
    for_cpu = [re.sub(r"^(torch===\S+)$", r"\1+cpu", line) for line in wanted]
    written = []
    for kind, names in ((torch_env.CUDA, wanted), (torch_env.CPU, for_cpu)):
        try:
            text = _head("torch", TORCH) + _text(resolve(names))
        except InputError:
            if kind == torch_env.CUDA:
                raise
            continue
        written += _write(torch_env.lock(kind, RUNNING_PYTHON), text)
    return written


def resolve(wanted):
    """{project: (version, {sha256})} of what pip would install into this Python; no downloads.

    wanted: names and other arguments of pip.  Raises InputError where pip finds no solution.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        done = subprocess.run(
            wheels.pip_command("install") + ["--dry-run", "--ignore-installed", "--quiet",
                                             "--report", report] + wheels.THIS_PYTHON + wanted,
            env=dict(os.environ, PIP_CONSTRAINT=os.devnull))
        if done.returncode:
            raise InputError(f"pip does not resolve {' '.join(wanted)}")
        with open(report, encoding="utf-8") as file:
            found = json.load(file)["install"]
    return {item["metadata"]["name"].lower().replace("_", "-"):
            (item["metadata"]["version"],
             {item["download_info"]["archive_info"]["hashes"]["sha256"]}) for item in found}


def download(wanted, target):
    """As resolve(), for another Python: pip has to download the wheels to choose those for it.

    target: pip's options that name the Python.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(wheels.pip_command("download") + target + ["--dest", folder] + wanted,
                       check=True)
        found = {}
        for file in os.listdir(folder):
            name, version = file.split("-")[:2]
            found[name.lower().replace("_", "-")] = (version, {sha256(os.path.join(folder, file))})
    return found


def _text(found):
    """The lines of a lock file from {project: (version, hashes)}."""
    return "".join(f"{name}=={version}"
                   + "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(hashes)) + "\n"
                   for name, (version, hashes) in sorted(found.items()))


def _command(name):
    return f"Written by `python3 tools/build/write_locks.py {name}`"


def _head(name, requested):
    source = os.path.basename(requested)
    return f"# {_command(name)} from {source}: change that file, not this one.\n"


def _write(path, text):
    write_whole(path, text)
    return [path]


def main():
    writers = {
        "debian": lambda: write_debian(options.mirror),
        "runtime": lambda: write_wheels("runtime", wheels.REQUESTED, wheels.LOCK),
        "mpi": write_mpi,
        "python": lambda: write_list("python", parts.requested("python"), parts.lock("python")),
        "ruff": lambda: write_list("ruff", RUFF, RUFF.replace(".in", ".lock")),
        "selenium": lambda: write_wheels("selenium", SELENIUM, SELENIUM.replace(".in", ".lock")),
        "torch": write_torch,
    }
    for name in EXACT:
        writers[name] = lambda name=name: write_list(name, parts.requested(name), parts.lock(name),
                                                     ["--no-deps"])
    parser = CommandParser(description=__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="*", metavar="LIST",
                        help=f"which lists (default: all): {', '.join(writers)}")
    parser.add_argument("--mirror", metavar="URL",
                        help="Debian mirror (default: the one in this machine's apt sources)")
    options = parser.parse_args()
    unknown = sorted(set(options.lists) - set(writers))
    if unknown:
        raise InputError(f"no list {unknown[0]}: the lists are {', '.join(writers)}")
    for name in options.lists or writers:
        for path in writers[name]():
            print(os.path.relpath(path))


if __name__ == "__main__":
    run_command(main)
