"""A run that a signal ends says so, and any other end is not reported."""
import faulthandler
import signal
import time

import pytest

pytest.importorskip("caffe")

from tools.lib.training import crash_watch

from data_files import children
from tiny_training import finish, net_text, start, write_run

KILLED = "a signal ended training that a process cannot report, such as SIGKILL"


def run_until_end(folder, *numbers):
    """(exit code, what the run wrote) of a run that gets these signals in its first pass."""
    pid = start(write_run(folder, net_text(signal_at=[0, *numbers])), folder / "out")
    code = finish(pid)
    # the report comes after the end, from another process
    deadline = time.monotonic() + (5 if code < 0 else 0.5)
    while "go on from" not in (folder / "out.txt").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    return code, (folder / "out.txt").read_text()


@pytest.mark.parametrize("number, words", [
    (signal.SIGSEGV, "error: signal 11 (SIGSEGV) ended training inside Caffe or another library"),
    (signal.SIGABRT, "error: signal 6 (SIGABRT) ended training"),
    (signal.SIGKILL, f"error: {KILLED}")])
def test_the_signal_and_the_way_on_are_named(tmp_path, number, words):
    code, text = run_until_end(tmp_path, int(number))
    assert code == -number
    assert words in text and text.count("error:") == 1
    assert text.endswith(f" --output {tmp_path}/out --resume\n") and "Fatal Python" not in text


def test_an_end_without_a_signal_is_not_reported(tmp_path):
    before = children()     # tests that have run in this process may have left some
    code, text = run_until_end(tmp_path, signal.SIGINT, signal.SIGINT)
    assert code == 130 and "ended training" not in text
    (tmp_path / "out.txt").unlink()
    code, text = run_until_end(tmp_path / "whole")
    assert code == 0 and "ended training" not in text
    assert children() == before


def test_the_watch_leaves_nothing_behind():
    before, enabled = children(), faulthandler.is_enabled()
    with crash_watch.crash_watch("again"):
        assert len(children()) == len(before) + 1
    assert children() == before and faulthandler.is_enabled() == enabled


def test_other_words_of_faulthandler_are_passed_on():
    assert crash_watch.message("Fatal Python error: Stack overflow\n", "x").startswith(
        "error: Stack overflow ended training")
