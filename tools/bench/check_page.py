"""The page of tools/check_gpu.py, and the loop over the parts that fill it.

The page is written whole after every result. So it is valid whenever the command is killed, and the
table at its top then names the part that was running.
"""
import contextlib
import os
import re
import signal
import time
import traceback
from collections import namedtuple

from data.errors import InputError
from data.files import ROOT, write_whole
from tools.lib.signals import handled
from tools.lib.tables import Table, render

#: title: of its section.  least: seconds without which it is not started.
#: results: function of the settings that yields Tables and text; an exception fails the part.
Part = namedtuple("Part", "title least results")

WAITING, RUNNING = "waiting", "running when this was written"
PASSED, FAILED, STOPPED = "passed", "FAILED", "stopped: the time was over"
#: The folders of a path that begins at the root.
FOLDERS = re.compile(r"(?<![\w.:/~-])/(?:[\w.+@-]+/)+")


class OutOfTime(BaseException):
    """The time is over. It is no Exception, so that no part takes it for a failure of its own."""


class Page:
    """Facts about the machine, the outcome of each part, and the results of the parts."""

    def __init__(self, path, command, facts, titles):
        """path: of the Markdown file.  facts: {name: text}.  titles: of the parts, in order."""
        self._path, self._command, self._facts = path, command, facts
        self._outcomes = {title: (WAITING, "") for title in titles}
        self._results = {title: [] for title in titles}
        print("\n".join(f"{name}: {text}" for name, text in facts.items()), flush=True)
        self._write()

    def begin(self, title):
        """A part starts."""
        print(f"\n{title}", flush=True)
        self._outcomes[title] = RUNNING, ""
        self._write()

    def add(self, title, result):
        """A result of a part: a Table, or text."""
        if isinstance(result, Table):
            print(render(result, "text"), end="", flush=True)
            result = render(result, "markdown").rstrip("\n")
        else:
            print(result, flush=True)
        self._results[title].append(without_folders(result))
        self._write()

    def end(self, title, outcome, seconds=None):
        """A part has ended after so many seconds, or is left out (None)."""
        text = "" if seconds is None else f"{seconds:.0f}"
        print(f"{title}: {outcome}" + (f" ({text} s)" if text else ""), flush=True)
        self._outcomes[title] = outcome, text
        self._write()

    def _write(self):
        facts = "\n".join(["| | |", "|---|---|"] + [
            f"| {name} | {without_folders(text)} |" for name, text in self._facts.items()])
        outcomes = render(Table(["part", "outcome", "seconds"], [
            [title, *cells] for title, cells in self._outcomes.items()]), "markdown")
        blocks = [f"Written by `{self._command}`.", facts, outcomes.rstrip("\n")]
        for title, results in self._results.items():
            blocks += [f"## {title}", *results] if results else []
        write_whole(self._path, "\n\n".join(blocks) + "\n")


def without_folders(text):
    """The text without the names of this machine's folders."""
    above = re.compile(rf"(?<![\w/.]){re.escape(os.path.dirname(ROOT))}(?![\w/])")
    return FOLDERS.sub("", above.sub("..", text.replace(ROOT, ".")))


def run_parts(page, parts, settings, deadline):
    """Runs the parts one after the other; returns how many failed.

    settings: what each part gets.  deadline: as time.monotonic().  A part that would not fit into
    the time left is skipped; one that is still running when the time is over is stopped.
    """
    failed = 0
    for part in parts:
        left = deadline - time.monotonic()
        if left < part.least:
            page.end(part.title, f"skipped: {max(left, 0):.0f} s were left, and it needs about "
                                 f"{part.least} s")
            continue
        page.begin(part.title)
        start, outcome = time.monotonic(), "interrupted"
        try:
            outcome = _outcome(page, part, settings, left)
        finally:
            page.end(part.title, outcome, time.monotonic() - start)
        failed += outcome == FAILED
    return failed


def _outcome(page, part, settings, seconds):
    try:
        with _time_limit(seconds):
            for result in part.results(settings):
                page.add(part.title, result)
    except OutOfTime:
        return STOPPED
    except InputError as problem:
        page.add(part.title, str(problem))
        return FAILED
    except Exception as problem:    # one part must not take the results of the others with it
        traceback.print_exc()
        page.add(part.title, f"{type(problem).__name__}: {problem}")
        return FAILED
    return PASSED


@contextlib.contextmanager
def _time_limit(seconds):
    """OutOfTime in the block after that many seconds, wherever it is waiting."""
    def stop(*_):
        raise OutOfTime

    with handled([signal.SIGALRM], stop):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
