"""Says on stderr that a signal has ended training, which the ended process cannot say itself.

A second process waits for the end of this one.  Python's faulthandler writes the signal of a crash
(SIGABRT after a failed check in Caffe, SIGSEGV, ...) to a file without a name that both have.  The
exit code, and every signal that this process gets, stay as they are without the watch.
"""
import contextlib
import faulthandler
import functools
import os
import re
import signal
import sys
import tempfile

from data.child_process import OpenFile, start_child, wait_for_parent

#: faulthandler's words for a signal.
_SIGNALS = {"Aborted": signal.SIGABRT, "Segmentation fault": signal.SIGSEGV,
            "Bus error": signal.SIGBUS, "Floating point exception": signal.SIGFPE,
            "Illegal instruction": signal.SIGILL}
_FATAL = re.compile(r"^Fatal Python error: (.*)$", re.M)
_LEFT = b"left at once"
_files = []     # of the watches that are on


@contextlib.contextmanager
def crash_watch(repair):
    """While the block runs, a second process reports a signal that ends this one.

    repair: the command line that goes on, for the message.
    """
    with tempfile.TemporaryFile() as crash:
        pid = start_child(functools.partial(_watch, os.getpid(), OpenFile(crash.fileno()), repair),
                          signal.SIG_IGN)
        before = faulthandler.is_enabled()
        faulthandler.enable(crash, all_threads=False)
        _files.append(crash)
        try:
            yield
        finally:
            _files.pop()
            faulthandler.disable()
            if before:
                faulthandler.enable()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def leave_at_once(code):
    """Ends this process with that exit code, without a report and without any more Python."""
    for file in _files:
        os.write(file.fileno(), _LEFT)
    os._exit(code)


def _watch(parent, crash, repair):
    wait_for_parent(parent)
    with open(crash, "rb") as file:
        file.seek(0)
        content = file.read()
    if content != _LEFT:
        sys.stderr.write(message(content.decode("utf-8", "replace"), repair))
        sys.stderr.flush()


def message(content, repair):
    """The lines for stderr; content: what faulthandler wrote, "" if nothing."""
    found = _FATAL.search(content)
    if found:
        number = _SIGNALS.get(found.group(1))
        name = f"signal {number:d} ({number.name})" if number else found.group(1)
        what = f"{name} ended training inside Caffe or another library; its last message is above"
    else:
        what = ("a signal ended training that a process cannot report, such as SIGKILL; the system "
                "sends it when the memory is full")
    return f"error: {what}\n  go on from the newest snapshot: {repair}\n"
