"""Writes the lock files of the comparison with PyTorch; pip resolves them without downloads."""
import json
import os
import re
import subprocess
import sys
import tempfile

from data.errors import InputError
from data.files import write_whole
from tools.bench import torch_env
from tools.lib.runtime import wheels

REQUESTED = os.path.join(torch_env.LOCKS, "torch.in")
HEAD = ("# Written by `python3 tools/build/lock_build.py torch` from torch.in: "
        "change that file, not this one.\n")


def write_locks():
    """Writes both lists for the Python that runs this; returns the paths written.

    The list for the CPU is left as it is where the index has no such build.
    """
    with open(REQUESTED, encoding="utf-8") as file:
        wanted = [line for line in file.read().split("\n") if line and not line.startswith("#")]
    for_cpu = [re.sub(r"^(torch===\S+)$", r"\1+cpu", line) for line in wanted]
    written = []
    for kind, names in ((torch_env.CUDA, wanted), (torch_env.CPU, for_cpu)):
        try:
            text = HEAD + _resolved(names)
        except InputError:
            if kind == torch_env.CUDA:
                raise
            continue
        written.append(torch_env.lock(kind, f"{sys.version_info.major}.{sys.version_info.minor}"))
        write_whole(written[-1], text)
    return written


def _resolved(names):
    """The lines of a lock: what pip would install, with the hashes that the index gives."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        done = subprocess.run(
            wheels.pip_command("install") + [
                "--dry-run", "--ignore-installed", "--quiet", "--only-binary=:all:", "--report",
                report
            ] + names, env=dict(os.environ, PIP_CONSTRAINT=os.devnull))
        if done.returncode:
            raise InputError(f"pip does not resolve {', '.join(names)}")
        with open(report, encoding="utf-8") as file:
            found = json.load(file)["install"]
    lines = {}
    for item in found:
        name = item["metadata"]["name"].lower().replace("_", "-")
        version = item["metadata"]["version"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines[name] = f"{name}=={version} \\\n    --hash=sha256:{digest}\n"
    return "".join(lines[name] for name in sorted(lines))
