"""Ends a test run that hangs, with what every thread was doing, instead of waiting with it for
ever."""
import faulthandler
import os


class HangWatch:
    """A pytest plugin: a test that is not done after `seconds` ends the run with exit code 1.

    Unlike an exception, this also ends a test that hangs in compiled code.
    """

    def __init__(self, seconds):
        self._seconds = seconds
        self._stderr = os.dup(2)  # pytest puts files of its own in the place of the descriptor 2

    def pytest_runtest_logstart(self, nodeid):
        """Called by pytest before each test."""
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._stderr)

    def pytest_sessionfinish(self):
        """Called by pytest after the last test."""
        faulthandler.cancel_dump_traceback_later()
        os.close(self._stderr)
