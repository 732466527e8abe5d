"""A function over many items on all cores."""
import errno
import os
import signal
import time

import pytest

from data import parallel
from data.errors import InputError
from data.parallel import CHUNK, each_result

ITEMS = list(range(5 * CHUNK + 3))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_however_long_each_takes(workers):
    assert list(each_result(lambda item: item * item, ITEMS,
                            workers)) == [item * item for item in ITEMS]


def test_more_than_one_process_works():
    assert len(set(each_result(lambda item: os.getpid(), ITEMS, 2)) - {os.getpid()}) >= 1


def test_there_are_as_many_workers_as_usable_cores(monkeypatch):
    """A quota counts, and not only the cores that the machine shows."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: 3)
    assert len(set(each_result(lambda item: (time.sleep(0.01), os.getpid())[1], ITEMS,
                               chunk=1))) == 3
    monkeypatch.setattr(parallel, "usable_cores", lambda: 1)
    assert set(each_result(lambda item: os.getpid(), ITEMS)) == {os.getpid()}


def test_an_input_error_in_a_worker_arrives_with_its_repair():
    def fails(item):
        if item == CHUNK + 1:
            raise InputError(f"item {item} is bad", "mend it")
        return item
    with pytest.raises(InputError) as caught:
        list(each_result(fails, ITEMS, 2))
    assert (caught.value.what, caught.value.fix) == (f"item {CHUNK + 1} is bad", "mend it")


def test_an_exception_of_a_worker_arrives_as_it_is_with_its_traceback_there():
    def fails(item):
        if item == CHUNK:
            raise EOFError("of the item")
        return item
    walk = each_result(fails, ITEMS, 2)
    with pytest.raises(EOFError, match="of the item") as caught:
        list(walk)
    assert "in fails" in str(caught.value.__cause__)


def test_only_a_few_chunks_are_begun_ahead_of_the_caller(tmp_path):
    begun = tmp_path / "begun"

    def note(item):
        with open(begun, "a") as file:
            file.write("x")
    walk = each_result(note, list(range(100 * CHUNK)), 2)
    next(walk)
    time.sleep(0.5)
    assert len(begun.read_text()) <= 6 * CHUNK
    walk.close()


def test_a_worker_that_dies_is_reported_and_leaves_nobody_behind():
    def dies(item):
        if item == 2 * CHUNK:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()
    workers = set()
    with pytest.raises(InputError, match="died"):
        for pid in each_result(dies, ITEMS, 2):
            workers.add(pid)
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_limit_on_processes_is_told_and_leaves_the_signals_alone(monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    monkeypatch.setattr(os, "fork", refuse)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(InputError, match="limit on processes"):
        list(each_result(lambda item: item, ITEMS, 2))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_an_abandoned_walk_ends_its_workers():
    for _ in range(50):  # often: with Python 3.9's executor, one end in thirty never came
        walk = each_result(lambda item: os.getpid(), ITEMS, 2)
        pid = next(walk)
        walk.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
