"""What tools/run_tests.py adds to pytest: the end of a run that hangs, and a page of outcomes."""
import collections
import faulthandler
import os
import platform
import shlex
import signal
import time

from data.cores import usable_cores
from data.files import ROOT
from tools.lib.runtime import machine
from tools.lib.runtime.checkup import runtime_kind


class HangWatch:
    """A test not done after `seconds` ends the run: the stacks of all threads, then SIGALRM.

    It also ends a test that hangs in Caffe's C++ code: pycaffe holds Python's global lock there.
    pytest-timeout cannot, since its signal handler and its thread both wait for that lock;
    pytest's own faulthandler_timeout writes the stacks and goes on waiting. (pytest 9 has
    faulthandler_exit_on_timeout, but needs Python 3.10; the private runtime has 3.9.) Both watch in
    a thread, of which Python 3.12 warns at every fork; a timer of the system needs none.
    """

    def __init__(self, seconds):
        self._seconds = seconds
        self._stderr = os.dup(2)  # pytest puts files of its own in the place of the descriptor 2

    def pytest_runtest_logstart(self, nodeid):
        """Called by pytest before each test."""
        faulthandler.unregister(signal.SIGALRM)     # a test may have put another handler there
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=self._stderr, chain=True)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def pytest_sessionfinish(self):
        """Called by pytest after the last test."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.unregister(signal.SIGALRM)
        os.close(self._stderr)


class TestReport:
    """The outcome of a run as a page: which runtime, how many tests, what failed, warned or was
    skipped.

    argv: arguments of the command that the page names.

    The outcomes are those of pytest's own summary; JUnit XML has them too, but under other names
    of the tests and only as a file.
    """

    #: pytest looks for tests in classes of such names
    __test__ = False

    def __init__(self, argv):
        self._argv, self._started, self._load = list(argv), time.monotonic(), os.getloadavg()[0]
        self._outcomes = {}

    def pytest_terminal_summary(self, terminalreporter):
        """Called by pytest at the end: {"passed", "failed", "skipped", "warnings"...: reports}."""
        self._outcomes = terminalreporter.stats

    def page(self, versions):
        """Markdown. versions: {package: version}."""
        reports = self._outcomes.get
        failed = reports("failed", []) + reports("error", [])
        skipped = reports("skipped", [])
        reasons = collections.Counter(_reason(report) for report in skipped)
        warned = collections.Counter(str(report.message).replace(ROOT + os.sep, "")
                                     for report in reports("warnings", []))
        cards = ", ".join(machine.cards()) or "no GPU was seen"
        rows = {
            "commit": machine.commit_text(),
            "runtime": (runtime_kind()[0] or "none").split(", /")[0],
            "Python": platform.python_version(),
            "packages": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "machine": f"{usable_cores()} cores usable, {cards}",
            "load average at the start and at the end":
                f"{self._load:.1f}, {os.getloadavg()[0]:.1f}",
            "tests": f"{len(reports('passed', []))} passed, {len(failed)} failed, "
                     f"{len(skipped)} skipped",
            "warnings": str(sum(warned.values())),
            "seconds": f"{time.monotonic() - self._started:.0f}",
        }
        lines = [f"Written by `python3 tools/run_tests.py {shlex.join(self._argv)}`.", "",
                 "| | |", "|---|---|"]
        lines += [f"| {name} | {text} |" for name, text in rows.items()]
        lines += _list("Failed", [report.nodeid for report in failed])
        lines += _list("Warnings", _counted(warned)) + _list("Skipped", _counted(reasons))
        return "\n".join(lines) + "\n"


def _counted(texts):
    """["COUNT: TEXT"], sorted by the texts, each on one line."""
    return [f"{count}: {' '.join(text.split())}" for text, count in sorted(texts.items())]


def _reason(report):
    """Why a test or a file was skipped."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.replace("Skipped: ", "", 1)


def _list(title, items):
    return ["", title + ":", ""] + [f"- {item}" for item in items] if items else []
