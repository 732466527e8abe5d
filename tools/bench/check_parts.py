"""The parts of tools/check_gpu.py in their order, and the facts at the top of its page.

Whatever uses Caffe runs in a process of its own: a Caffe that ends its process fails one part.
"""
import os
import platform
import re
import subprocess
import tempfile
import time
import xml.etree.ElementTree
from collections import namedtuple

from data.cores import usable_cores
from data.errors import InputError
from data.files import ROOT
from tools.bench.check_page import Part
from tools.bench.timing import processor
from tools.bench.torch_env import clean_environment
from tools.lib.runtime import checkup, machine
from tools.lib.runtime.enter import python_command, runtime_environment

#: device: as in --device.  gpu: its number, None for the CPU.  torch: a Python with PyTorch, or
#: None; no_torch: the reason then.  folder: for temporary files.  results: of the steps so far.
Settings = namedtuple("Settings", "device gpu torch no_torch folder results")

TESTS = "tests/training/test_gpu.py"
#: Addresses of mirrors, with commas between them.
ADDRESSES = re.compile(r"https?://[^\s,]+(?:, https?://[^\s,]+)*")
ASK_TORCH = "import torch, numpy; print(torch.__version__, torch.cuda.is_available())"


def parts(gpu):
    """The Parts, for a GPU or for the CPU (None)."""
    cpu = gpu is None
    return [
        Part("doctor", 0, doctor),
        Part("tests of the GPU", 15, gpu_tests),
        Part("GA + CA, a step with 1 + 1 images", 10 if cpu else 30, steps),
        Part("time of each layer", 0, layers),
        Part("GA + CA, a step with a larger batch", 10 if cpu else 40, larger_steps),
        Part("toy GA + CA, stopped and resumed", 15 if cpu else 25, toy),
        Part("source stage through train.py", 10 if cpu else 20, source),
    ]


def find_torch(python, gpu):
    """(Python or None, PyTorch's version or the reason why there is none to compare with)."""
    try:
        done = subprocess.run([python, "-c", ASK_TORCH], env=clean_environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return None, f"none: {python}: {problem}"
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").split("\n")[-1]
        return None, f"none in {python}: {last}"
    version, has_cuda = done.stdout.split()
    if gpu is not None and has_cuda != "True":
        return None, f"{version}, which finds no GPU"
    return python, version


def facts(device, gpu, torch):
    """{name: text} of the machine and the versions.  torch: as find_torch() words it."""
    engine, packages = checkup.ask("engine"), checkup.ask("versions").get("versions", {})
    cards = machine.cards()
    found = {"computed on": device if gpu is None else f"{device}, {cards[gpu]}"}
    if cards:
        found["cards"] = ", ".join(cards)
        found["driver"] = machine.driver_version()
    else:
        found["cards"] = "none: no GPU was seen"
    versions = engine.get("cuda_versions")
    if versions:
        found["CUDA"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    found["processor"] = f"{processor()}, {usable_cores()} cores usable"
    found["load average at the start"] = f"{os.getloadavg()[0]:.1f}"
    found["commit"] = machine.commit_text()
    found["runtime"] = (checkup.runtime_kind()[0] or "none").split(", /")[0]
    found["Caffe"] = engine.get("version") or engine["failed"]
    found["Python"] = platform.python_version()
    found["packages"] = ", ".join(f"{name} {packages[name]}" for name in ("numpy", "scipy", "cv2")
                                  if packages.get(name))
    found["PyTorch"] = torch
    found["date"] = time.strftime("%Y-%m-%d")
    return found


def doctor(settings):
    """What tools/doctor.py finds; fails where something is missing, or the GPU is not usable."""
    findings = list(checkup.examine())
    lines = "\n".join(f"- {found.subject}: {found.text} ({found.grade})" for found in findings)
    yield ADDRESSES.sub("this machine's mirrors", lines)
    wrong = [found for found in findings if found.grade == "MISSING"
             or (settings.gpu is not None and found.subject == "device" and found.grade != "ok")]
    if wrong:
        raise InputError("; ".join(f"{found.subject}: {found.text}" for found in wrong),
                         "; ".join(found.repair for found in wrong if found.repair))


def gpu_tests(settings):
    """The tests of the GPU; on the CPU they compare the CPU with itself."""
    path = os.path.join(settings.folder, "tests.xml")
    environ = runtime_environment(os.environ)
    if settings.gpu is not None:
        environ["CUDA_VISIBLE_DEVICES"] = visible(settings.gpu, environ)
    with tempfile.TemporaryFile("w+") as log:
        code = subprocess.run(
            python_command(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", path,
                            "--basetemp", os.path.join(settings.folder, "tests"), TESTS]),
            cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT).returncode
        log.seek(0)
        lines = log.read().strip().split("\n")
    if not os.path.exists(path):
        raise InputError(f"{TESTS} ended with exit code {code}: {lines[-1]}")
    suite = xml.etree.ElementTree.parse(path).getroot().find("testsuite")
    wrong = [case.get("name") for case in suite.iter("testcase")
             if case.find("failure") is not None or case.find("error") is not None]
    skipped = int(suite.get("skipped"))
    passed = int(suite.get("tests")) - len(wrong) - skipped
    yield f"`{TESTS}`: {passed} passed, {len(wrong)} failed, {skipped} skipped."
    if wrong:
        raise InputError(f"failed: {', '.join(wrong)}")
    if settings.gpu is not None and skipped:
        raise InputError("the tests that need a GPU were skipped", f"python3 -m pytest -rs {TESTS}")
    if not passed:
        raise InputError(f"no test ran: {lines[-1]}")


def visible(gpu, environ):
    """CUDA_VISIBLE_DEVICES for a process that is to see one GPU alone, as its number 0."""
    listed = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return listed[gpu] if gpu < len(listed) else str(gpu)


# The parts below import Caffe, which may fail: then they fail, and not the command.


def steps(settings):
    """The step with one image of each domain, in each precision."""
    from tools.bench import check_steps
    yield from check_steps.compared_steps(settings, 1)


def larger_steps(settings):
    """The step with several images of each domain."""
    from tools.bench import check_steps
    yield from check_steps.larger_steps(settings)


def layers(settings):
    """The time of each layer in the steps of one image."""
    from tools.bench import check_steps
    yield check_steps.layer_table(settings)


def toy(settings):
    """Toy GA + CA, stopped and resumed, against a run that is never stopped."""
    from tools.bench import check_training
    yield from check_training.stopped_and_resumed(settings)


def source(settings):
    """The source stage through train.py, with its rate."""
    from tools.bench import check_training
    yield from check_training.source_rate(settings)
