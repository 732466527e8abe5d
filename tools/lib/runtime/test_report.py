"""The outcome of a test run as a page: which runtime, how many tests, why some were skipped, which
failed."""
import collections
import os
import platform
import time

from data.cores import usable_cores
from tools.lib.runtime import gpu
from tools.lib.runtime.checkup import runtime_kind
from tools.lib.runtime.repository import git_state


class TestReport:
    """A pytest plugin that notes outcomes. argv: arguments of the command that the page names."""

    #: pytest looks for tests in classes of such names
    __test__ = False

    def __init__(self, argv):
        self._argv, self._started, self._load = list(argv), time.monotonic(), os.getloadavg()[0]
        self.outcomes, self.reasons, self.failures = collections.Counter(), collections.Counter(
        ), []

    def pytest_runtest_logreport(self, report):
        """Called by pytest for the set-up, the call and the end of each test."""
        if report.failed:
            self.outcomes["failed"] += 1
            self.failures.append(report.nodeid)
        elif report.skipped:
            self._skip(report)
        elif report.when == "call":
            self.outcomes["passed"] += 1

    def pytest_collectreport(self, report):
        """Called by pytest for each file that it reads."""
        if report.failed:
            self.outcomes["failed"] += 1
            self.failures.append(report.nodeid)
        elif report.skipped:
            self._skip(report)

    def _skip(self, report):
        self.outcomes["skipped"] += 1
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.reasons[reason.replace("Skipped: ", "", 1)] += 1

    def page(self, versions):
        """Markdown. versions: {package: version}."""
        kind, state = runtime_kind()[0] or "none", git_state()
        commit = state["commit"][:12] + (
            ", changed" if state["dirty"] else "") if state else "unknown"
        rows = [("commit", commit), ("runtime", kind.split(", /")[0]),
                ("Python", platform.python_version()),
                ("packages", ", ".join("%s %s" % item for item in versions.items())),
                ("machine", f"{usable_cores()} cores usable, "
                 f"{', '.join(gpu.cards()) or 'no GPU was seen'}"),
                ("load average at the start and at the end", f"{self._load:.1f}, "
                 f"{os.getloadavg()[0]:.1f}"),
                ("tests", ", ".join(f"{self.outcomes[name]} {name}"
                                    for name in ("passed", "failed", "skipped"))),
                ("seconds", f"{time.monotonic() - self._started:.0f}")]
        lines = [
            f"Written by `python3 tools/run_tests.py {' '.join(self._argv)}`.", "", "| | |",
            "|---|---|"
        ]
        lines += ["| %s | %s |" % row for row in rows]
        lines += self._list("Failed", self.failures)
        lines += self._list(
            "Skipped", [f"{count}: {reason}" for reason, count in sorted(self.reasons.items())])
        return "\n".join(lines) + "\n"

    @staticmethod
    def _list(title, items):
        return ["", title + ":", ""] + ["- " + item for item in items] if items else []
