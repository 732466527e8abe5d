"""A Python that has PyTorch, apart from the project's runtime, and the process that takes steps in it."""
import json
import os
import shutil
import subprocess
import tempfile

from data.errors import InputError
from tools.runtime.places import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "torch_requirements.txt")
STEP = os.path.join(HERE, "torch_step.py")
FOLDER = os.path.join(ROOT, ".torch-env")
#: Seconds that pip may take.
PATIENCE = 1800


class NoTorch(Exception):
    """PyTorch cannot be had; the message is the reason, in a sentence."""


def torch_python(folder=FOLDER):
    """Path of the Python of an environment with the pinned PyTorch, made when it is not there yet. NoTorch if that fails."""
    if not os.path.isdir(folder):       # appears whole, by renaming
        outside = shutil.which("python3")
        if outside is None:
            raise NoTorch("there is no python3 on the PATH to make an environment with")
        aside = "%s.%d.part" % (folder, os.getpid())
        try:
            _run([outside, "-m", "venv", aside])
            _run([_python(aside), "-m", "pip", "install", "--quiet", "--no-compile",
                  "--disable-pip-version-check", "-r", REQUIREMENTS])
            os.replace(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return _python(folder)


def _python(folder):
    return os.path.join(folder, "bin", "python")


def _run(argv):
    try:
        done = subprocess.run(argv, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NoTorch("its environment could not be made: %s" % problem) from None
    if done.returncode:
        raise NoTorch("its environment could not be made: %s" % (done.stdout.strip() or "no reason given").split("\n")[-1])


def clean_environment():
    """The environment without what is meant for the runtime's own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class TorchSteps:
    """Steps of torch_step.py in `python`; to be used in a with statement.

    version: PyTorch's; parameters: numbers in its net. InputError when the process does not answer.
    """

    def __init__(self, python, spec):
        self._errors = tempfile.TemporaryFile("w+")
        try:
            # a session of its own: Ctrl-C is for this process, which then ends that one
            self._process = subprocess.Popen([python, STEP, json.dumps(spec)], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=self._errors, universal_newlines=True,
                                             env=clean_environment(), start_new_session=True)
        except OSError as problem:
            raise InputError("--torch-python %s cannot be started: %s" % (python, problem.strerror)) from None
        self._python = python

    def __enter__(self):
        try:
            first = self._answer()
        except InputError:
            self.__exit__()
            raise
        self.version, self.parameters = first["version"], first["parameters"]
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def step(self):
        """One step; returns {"seconds", "gradients"}: the whole of it, and its forward and backward pass."""
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass                        # _answer tells why
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().split("\n")[-1]
        raise InputError("PyTorch in %s ended: %s" % (self._python, said or "without a word"),
                         "--torch-python needs what %s names" % os.path.relpath(REQUIREMENTS, ROOT))
