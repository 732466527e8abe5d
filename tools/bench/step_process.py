"""A process that takes a training step for each line it reads, in Caffe or in PyTorch."""
import json
import os
import subprocess
import tempfile

from data.errors import InputError
from data.files import ROOT
from tools.bench.torch_env import HERE, LOCKS, clean_environment

#: The program that takes the steps in PyTorch.
TORCH_STEP = os.path.join(HERE, "torch_step.py")


class StepProcess:
    """To be used in a with statement. The process answers each line with a line of JSON.

    argv, environ: of the process.  name: for error messages.  fix: of the error when it ends early.
    first: its first answer, given before any step.  InputError when it ends without an answer.
    """

    def __init__(self, argv, environ, name, fix=None):
        self.name, self._fix = name, fix
        self._errors = tempfile.TemporaryFile("w+")
        try:
            # a session of its own: Ctrl-C reaches this process only, which then ends the child
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=self._errors, universal_newlines=True,
                                             env=environ, start_new_session=True)
        except OSError as problem:
            raise InputError(f"{name} cannot be started: {problem.strerror}") from None

    def __enter__(self):
        try:
            self.first = self._answer()
        except InputError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def step(self):
        """One step; returns its {"seconds", "gradients": seconds forward and backward, ...}."""
        return self.ask("")

    def ask(self, line):
        """Sends a line; returns the answer."""
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass                        # the process has ended: _answer() gives the reason
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().strip().split("\n")[-1]
        raise InputError(f"{self.name} ended: {last or 'without a message'}", self._fix)


class TorchSteps(StepProcess):
    """Steps of torch_step.py in `python`. version: PyTorch's; parameters: numbers in its net.

    spec: as training_step.torch_spec() makes it.
    """

    def __init__(self, python, spec):
        requested = os.path.relpath(os.path.join(LOCKS, "torch.in"), ROOT)
        super().__init__([python, TORCH_STEP, json.dumps(spec)], clean_environment(),
                         f"PyTorch in {python}",
                         f"install there the packages that {requested} lists")

    def __enter__(self):
        super().__enter__()
        self.version, self.parameters = self.first["version"], self.first["parameters"]
        return self
