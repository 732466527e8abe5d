"""The doctor's findings about the machine, the runtime and Caffe itself."""
import collections
import json
import os
import platform
import shutil
import subprocess
import sys

from data.cores import usable_cores
from data.files import ROOT
from tools.lib.runtime import machine, private_runtime, routes, source_builds
from tools.lib.runtime.enter import (
    CONDA,
    REBUILD,
    SETUP,
    in_private_runtime,
    python_command,
    python_has_caffe,
    runtime_environment,
)
from tools.lib.runtime.setup import is_current

BUILD_CUDA = f"{source_builds.BUILD} --variant cuda --activate"
#: OpenBLAS kernels that use neither AVX2 nor AVX-512.
SLOW_KERNELS = ("Prescott", "Core2", "Generic", "Nehalem", "Barcelona", "Sandybridge", "Atom")

#: subject; text; grade: "ok", "note", "slow" or "MISSING"; repair: a command, or None.
Finding = collections.namedtuple("Finding", "subject text grade repair")


def examine():
    """Yields Findings, the machine first, then the runtime from the outside in."""
    yield from _machine()
    yield from _routes()
    kind, repair = runtime_kind()
    if kind is None:
        folder = private_runtime.prefix_folder()
        yield _missing("caffe", f"not importable by {sys.executable}, and no finished runtime in "
                                f"{folder}", SETUP)
        return
    yield _ok("runtime", kind)
    yield from _ends(repair)
    if repair == REBUILD and not is_current(private_runtime.prefix_folder()):
        yield Finding("runtime", "made by another version of the set-up", "note", SETUP)
    yield from _modules(repair)
    yield from _engine(repair)
    yield from _python_layers(repair)


def runtime_kind():
    """(description, command that repairs it) of the runtime in which commands run.

    (None, None) without a runtime.
    """
    build = source_builds.selected()
    if build:
        record = source_builds.read_record(build)
        what = record["variant"] + "".join(f" sm_{number}" for number in record["arch"])
        return (f"built from source ({what}, Python {record['python']}), {build}",
                source_builds.build_command(build))
    if python_has_caffe() and not in_private_runtime():
        return f"the running Python, {sys.executable}", CONDA
    if private_runtime.is_ready(private_runtime.prefix_folder()):
        return f"private, {private_runtime.prefix_folder()}", REBUILD
    return None, None


def ask(question):
    """The probe's answer to `question` as a dictionary; {"failed": why} where it gave none."""
    done = subprocess.run(python_command(["-m", "tools.lib.runtime.probe", question]), cwd=ROOT,
                          env=runtime_environment(os.environ), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines()
        return {"failed": lines[-1] if lines
                else f"the process ended with code {done.returncode}"}


def _machine():
    yield _ok("python", f"{platform.python_version()} ({sys.executable})")
    best = machine.openblas_coretype(machine.cpu_flags())
    vectors = {"SkylakeX": "AVX-512", "Haswell": "AVX2", None: "neither AVX2 nor AVX-512"}[best]
    yield _ok("processor", f"{usable_cores()} of {os.cpu_count()} cores usable, {vectors}")
    free = shutil.disk_usage(ROOT).free / 1e9
    text = f"{free:.1f} GB free at {ROOT}"
    if free > 2:
        yield _ok("disk", text)
    else:
        yield Finding("disk", text, "note", "make room for snapshots and data")
    cards = machine.cards()
    if cards:
        yield _ok("graphics", f"{len(cards)} NVIDIA card(s) with a driver: {', '.join(cards)}")
    else:
        yield _ok("graphics", "no NVIDIA driver: training on the CPU")


def _routes():
    """What a set-up on this machine could be made from; none of them is needed once it is made."""
    for route in routes.routes():
        yield Finding("route", f"{route.name}: {'open' if route.is_open else 'closed'}, "
                               f"{route.text}", "ok" if route.is_open else "note", None)


def _ends(repair):
    """When the parts of the runtime in use get no more fixes; conda updates its own."""
    if repair != CONDA:
        for text, passed in routes.ends(source_builds.selected()):
            yield Finding("support", text, "note" if passed else "ok", None)


def _modules(repair):
    answer = ask("versions")
    if "failed" in answer:
        yield _missing("packages", answer["failed"], repair)
        return
    for name, version in answer["versions"].items():
        if version is None:
            yield _missing(name, answer["why"][name], repair)
        else:
            yield _ok(name, version)


def _engine(repair):
    answer = ask("engine")
    if "failed" in answer:
        yield _missing("caffe", answer["failed"], repair)
        return
    purpose = "CUDA" if answer["cuda"] else "the CPU"
    yield _ok("caffe", f"{answer['version']} in {answer['place']}, built for {purpose}")
    yield from _device(answer)
    if answer["blas"] is None:
        yield Finding("blas", "neither OpenBLAS nor MKL found in the process", "note", None)
        return
    text = answer["blas"] + (f", kernel {answer['kernel']}" if answer["kernel"] else "")
    text += f", {answer['threads']} threads" if answer["threads"] else ""
    if answer["kernel"] in SLOW_KERNELS and machine.openblas_coretype(machine.cpu_flags()):
        yield Finding("blas", text + ": this processor can do better", "slow",
                      "unset OPENBLAS_CORETYPE")
    else:
        yield _ok("blas", text)


def _device(answer):
    """The device that Caffe computes on, and the build that would be faster on this machine."""
    if answer["cuda"] and answer["devices"]:
        wanted = os.environ.get("CAFFE_TF32") == "1"
        tf32 = "on" if wanted else "off (--tf32 is faster and less exact)"
        yield _ok("device", f"{answer['devices']} CUDA device(s), TF32 {tf32}")
    elif answer["cuda"] and machine.cards():
        yield Finding("device", "the CPU, though there is an NVIDIA card: this build for CUDA "
                                "cannot use it", "slow",
                      "nvidia-smi shows the driver: CUDA 13 needs 580 or later, and "
                      "CUDA_VISIBLE_DEVICES must not hide the card")
    elif answer["cuda"]:
        yield _ok("device", "the CPU: this build for CUDA finds no device")
    elif machine.cards():
        yield Finding("device", "the CPU, though there is an NVIDIA card", "slow", BUILD_CUDA)
    else:
        yield _ok("device", "the CPU")


def _python_layers(repair):
    answer = ask("python_layer")
    if answer.get("right"):
        yield _ok("python layers", "work, forward and backward, beside a dilated convolution")
    else:
        yield _missing("python layers", answer.get("failed", "give wrong numbers"), repair)


def _ok(subject, text):
    return Finding(subject, text, "ok", None)


def _missing(subject, text, repair):
    return Finding(subject, text, "MISSING", repair)
