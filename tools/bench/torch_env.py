"""A Python that has PyTorch, in an environment apart from the project's runtime."""
import os
import shutil
import subprocess

from data.files import ROOT, folder_aside
from tools.lib.runtime.source_builds import ask

HERE = os.path.dirname(os.path.abspath(__file__))
LOCKS = os.path.join(HERE, "locks")
#: PyTorch for the CPU is a tenth of the size, but not every package index has it.
CPU, CUDA = "torch_cpu", "torch_cuda"
FOLDERS = {CPU: os.path.join(ROOT, ".torch-env"), CUDA: os.path.join(ROOT, ".torch-env-cuda")}
#: Seconds that pip may take.
TIMEOUT = 1800


class NoTorch(Exception):
    """PyTorch is not available; the message gives the reason, without a full stop."""


def add_torch(parser):
    """Adds the options that choose the PyTorch that a benchmark compares with."""
    torch = parser.add_mutually_exclusive_group()
    torch.add_argument("--torch-python", metavar="PATH",
                       help="a Python that has PyTorch (default: an environment in the repository, "
                            "made when it is not there yet)")
    torch.add_argument("--without-torch", action="store_true",
                       help="leave the comparison with PyTorch out")


def find_torch(options, kind=CPU):
    """(Python with PyTorch or None, the reason why there is none or None). kind: CPU or CUDA."""
    if options.without_torch:
        return None, "--without-torch was given."
    if options.torch_python:
        return options.torch_python, None
    try:
        return torch_python(kind), None
    except NoTorch as problem:
        return None, f"{problem}."


def torch_python(kind=CPU, folder=None):
    """Path of the Python of an environment with the locked PyTorch, made when it is not there yet.

    kind: CPU or CUDA. Where the index has no build for the CPU, the build for CUDA takes its place:
    on the CPU both compute the same. Raises NoTorch when neither can be installed.
    """
    folder = folder or FOLDERS[kind]
    if not os.path.isdir(folder):
        outside = shutil.which("python3")
        if outside is None:
            raise NoTorch("there is no python3 on the PATH to make an environment with")
        version = ask(outside, "'%d.%d' % sys.version_info[:2]")
        try:
            _make(outside, lock(kind, version), folder)
        except NoTorch as problem:
            if kind == CUDA:
                raise
            try:
                _make(outside, lock(CUDA, version), folder)
            except NoTorch:
                raise problem from None
    return _python(folder)


def lock(kind, version):
    """Path of the list of packages, with their hashes, for a Python such as "3.11"."""
    return os.path.join(LOCKS, f"{kind}-{version}.lock")


def _make(outside, packages, folder):
    if not os.path.isfile(packages):
        raise NoTorch(f"there is no {os.path.relpath(packages, ROOT)}: "
                      "python3 tools/build/write_locks.py torch writes it")
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
                              text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NoTorch(f"its environment could not be made: {problem}") from None
    if done.returncode:
        reason = (done.stdout.strip() or "no reason given").split("\n")[-1]
        raise NoTorch(f"its environment could not be made: {reason}")


def clean_environment():
    """The environment without the variables meant for the runtime's own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
