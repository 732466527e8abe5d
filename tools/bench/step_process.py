"""A process that takes a training step for each line it reads, whatever program it is."""
import json
import subprocess
import tempfile

from data.errors import InputError


class StepProcess:
    """To be used in a with statement. Its answers are lines of JSON.

    argv, environ: of the process.  name: what it is called in errors.  fix: what to do when it ends, or None.
    first: its first answer, given before any step.  InputError when it does not answer.
    """

    def __init__(self, argv, environ, name, fix=None):
        self.name, self._fix = name, fix
        self._errors = tempfile.TemporaryFile("w+")
        try:
            # a session of its own: Ctrl-C is for this process, which then ends that one
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
        """One step; returns {"seconds", "gradients", ...}: the whole of it, and its forward and
        backward pass."""
        return self.ask("")

    def ask(self, line):
        """Sends a line; returns the answer."""
        try:
            self._process.stdin.write(line + "\n")
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
        raise InputError(f"{self.name} ended: {said or 'without a word'}", self._fix)
