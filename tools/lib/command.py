"""A command's options with checked numbers; its errors as one clear line and an exit code."""
import argparse
import errno
import os
import shlex
import sys

from data.errors import InputError
from tools.lib.runtime.machine import commit_text

#: Exit code of a wrong input or command line (argparse uses it too).
INPUT_ERROR = 2
#: Exit code of a run that Ctrl-C ended: 128 + SIGINT, as shells do.
INTERRUPTED = 130
#: Largest count and seed: the 32-bit fields of Caffe's messages hold no more.
LARGEST = 2 ** 31 - 1


def run_command(main):
    """Runs main() and ends the process with the exit code that exit_code() returns."""
    sys.exit(exit_code(main))


def exit_code(main):
    """Runs main() and returns its exit code; None counts as 0.

    An InputError is printed as "error: ..." and gives 2. So does an OSError that no other code has
    turned into an InputError, such as a full disk or a folder without permission to write.
    KeyboardInterrupt gives 130. With FCN_TRACEBACK=1 in the environment, all of them raise.
    """
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output (head, less) has ended. What is still buffered must not raise
        # again when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (InputError, OSError, KeyboardInterrupt) as problem:
        if os.environ.get("FCN_TRACEBACK") == "1":
            raise
        code = report_error(problem)
    return code or 0


def report_error(problem):
    """Prints the exception that ended a command; returns the command's exit code."""
    if isinstance(problem, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    if isinstance(problem, OSError):
        problem = as_input_error(problem)
    sys.stderr.write(f"error: {problem}\n")
    return INPUT_ERROR


def as_input_error(problem):
    """The InputError with the message of an OSError."""
    what = problem.strerror or str(problem)
    if problem.filename is not None:
        what = f"{problem.filename}: {what}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(what, "free some; temporary files go to the folder that the environment "
                                "variable TMPDIR names")
    return InputError(what, "FCN_TRACEBACK=1 shows where this happened")


class CommandParser(argparse.ArgumentParser):
    """The options of a command, with --version, and completed by the shell where that is set up."""

    def __init__(self, **settings):
        settings.setdefault("prog", f"python3 {sys.argv[0]}")
        super().__init__(**settings)
        self.add_argument("--version", action=PrintAndEnd, const=version,
                          help="print the project's commit and end")

    def parse_args(self, args=None, namespace=None):
        """As argparse's; answers the shell, and ends, where this process is to complete a line."""
        if "_ARGCOMPLETE" in os.environ:
            try:
                import argcomplete
            except ImportError:         # only some Pythons have it: then nothing is completed
                sys.exit(1)
            argcomplete.autocomplete(self)
        return super().parse_args(args, namespace)


class PrintAndEnd(argparse.Action):
    """An option that prints what const() returns and ends the command, whatever else is given."""

    def __init__(self, option_strings, dest, const, help):
        super().__init__(option_strings, dest, nargs=0, const=const, default=argparse.SUPPRESS,
                         help=help)

    def __call__(self, parser, *_):
        print(self.const())
        parser.exit()


def command_line(script, arguments=None):
    """A command for the page that it writes, as a shell takes it: words with spaces are quoted.

    script: such as tools/test.py.  arguments: list; None: those of this process.
    """
    return shlex.join(["python3", script, *(sys.argv[1:] if arguments is None else arguments)])


def version():
    """The project's name and commit."""
    return f"FCNs in the Wild, on Caffe: commit {commit_text()}"


def count(text):
    """The number in an option's text: whole, from 1 to LARGEST."""
    return _whole_number(text, 1)


def seed(text):
    """The seed in an option's text: a whole number from 0 to LARGEST."""
    return _whole_number(text, 0)


def positive(text):
    """The number in an option's text: finite and above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def number_between(least, most):
    """argparse type: a number from `least` to `most`."""
    def number(text):
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {least:g} to {most:g}, found {text}")
        return value

    return number


def _whole_number(text, least):
    value = int(text)
    if not least <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {LARGEST}, "
                                         f"found {text}")
    return value
