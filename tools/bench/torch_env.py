"""A Python that has PyTorch, apart from the project's runtime, and the process that takes steps in
it."""
import json
import os
import shutil
import subprocess

from data.files import ROOT, folder_aside
from tools.bench.step_process import StepProcess
from tools.lib.runtime.source_builds import ask

HERE = os.path.dirname(os.path.abspath(__file__))
LOCKS = os.path.join(HERE, "locks")
STEP = os.path.join(HERE, "torch_step.py")
#: PyTorch for the CPU is a tenth of the size, but not every package index has it.
CPU, CUDA = "torch_cpu", "torch_cuda"
FOLDERS = {CPU: os.path.join(ROOT, ".torch-env"), CUDA: os.path.join(ROOT, ".torch-env-cuda")}
#: Seconds that pip may take.
PATIENCE = 1800


class NoTorch(Exception):
    """PyTorch cannot be had; the message is the reason, in a sentence."""


def torch_python(kind=CPU, folder=None):
    """Path of the Python of an environment with the locked PyTorch, made when it is not there yet.
    NoTorch if that fails.

    kind: CPU or CUDA; what the build for CUDA computes on the CPU is the same, so it stands in for
    the other.
    """
    folder = folder or FOLDERS[kind]
    if not os.path.isdir(folder):
        outside = shutil.which("python3")
        if outside is None:
            raise NoTorch("there is no python3 on the PATH to make an environment with")
        problem = None
        for wanted in (kind, CUDA)[:1 + (kind != CUDA)]:
            try:
                _make(outside, lock(wanted, ask(outside, "'%d.%d' % sys.version_info[:2]")), folder)
                break
            except NoTorch as found:
                problem = problem or found
        else:
            raise problem
    return _python(folder)


def lock(kind, version):
    """The packages with their hashes for a Python such as "3.11"."""
    return os.path.join(LOCKS, f"{kind}-{version}.lock")


def _make(outside, packages, folder):
    if not os.path.isfile(packages):
        raise NoTorch(f"there is no {os.path.relpath(packages, ROOT)}: "
                      "python3 tools/build/lock_build.py torch writes it")
    with folder_aside(folder) as aside:
        _run([outside, "-m", "venv", aside])
        _run([
            _python(aside), "-m", "pip", "install", "--quiet", "--no-compile",
            "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:",
            "-r", packages
        ])


def _python(folder):
    return os.path.join(folder, "bin", "python")


def _run(argv):
    try:
        done = subprocess.run(argv, env=clean_environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NoTorch(f"its environment could not be made: {problem}") from None
    if done.returncode:
        raise NoTorch("its environment could not be made: %s" %
                      (done.stdout.strip() or "no reason given").split("\n")[-1])


def clean_environment():
    """The environment without what is meant for the runtime's own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class TorchSteps(StepProcess):
    """Steps of torch_step.py in `python`. version: PyTorch's; parameters: numbers in its net."""

    def __init__(self, python, spec):
        super().__init__([python, STEP, json.dumps(spec)], clean_environment(),
                         f"PyTorch in {python}",
                         f"it needs what {os.path.relpath(os.path.join(LOCKS, 'torch.in'), ROOT)} "
                         "names")

    def __enter__(self):
        super().__enter__()
        self.version, self.parameters = self.first["version"], self.first["parameters"]
        return self
