"""What every command shares: errors become one clear line and an exit code, and numbers on the
command line are checked."""
import argparse
import errno
import os
import sys

from data.errors import InputError

#: Exit code of a wrong input or command line (argparse uses it too).
INPUT_ERROR = 2
#: Exit code of a run that Ctrl-C ended: 128 + SIGINT, as shells do.
INTERRUPTED = 130
#: Largest count and seed: fields of Caffe's messages hold no more.
LARGEST = 2 ** 31 - 1


def run_command(main):
    """Runs main() and ends the process with its exit code, as exit_code tells it."""
    sys.exit(exit_code(main))


def exit_code(main):
    """Runs main() and returns what it returns, None as 0.

    InputError is printed as "error: ..." and gives 2, and so does an OSError that nobody turned
    into one: a full disk, a folder that may not be written. KeyboardInterrupt gives 130. The
    environment variable FCN_TRACEBACK=1 shows the traceback instead.
    """
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader (head, less) has left: nobody to tell, and nothing more to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (InputError, OSError, KeyboardInterrupt) as problem:
        if os.environ.get("FCN_TRACEBACK") == "1":
            raise
        code = _tell(problem)
    return code or 0


def _tell(problem):
    """Prints what ended the command; its exit code."""
    if isinstance(problem, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    sys.stderr.write("error: %s\n" % (_told(problem) if isinstance(problem, OSError) else problem))
    return INPUT_ERROR


def _told(problem):
    """An OSError as an InputError."""
    what = problem.strerror or str(problem)
    if problem.filename is not None:
        what = f"{problem.filename}: {what}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(what, "free some; temporary files go to the folder that the environment "
                                "variable TMPDIR names")
    return InputError(what, "FCN_TRACEBACK=1 shows where this happened")


def count(text):
    """A whole number of at least 1."""
    return _whole(text, 1)


def seed(text):
    """A seed, 0 included."""
    return _whole(text, 0)


def positive(text):
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def _whole(text, least):
    value = int(text)
    if not least <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {LARGEST}, "
                                         f"found {text}")
    return value
