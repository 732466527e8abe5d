"""A function over many items on all cores."""
import os
import signal

import pytest

from data.errors import InputError
from data.parallel import CHUNK, each_result

ITEMS = list(range(5 * CHUNK + 3))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_however_long_each_takes(workers):
    assert list(each_result(lambda item: item * item, ITEMS, workers)) == [item * item for item in ITEMS]


def test_more_than_one_process_works():
    assert len(set(each_result(lambda item: os.getpid(), ITEMS, 2)) - {os.getpid()}) >= 1


def test_an_input_error_in_a_worker_arrives_with_its_repair():
    def fails(item):
        if item == CHUNK + 1:
            raise InputError("item %d is bad" % item, "mend it")
        return item
    with pytest.raises(InputError) as caught:
        list(each_result(fails, ITEMS, 2))
    assert (caught.value.what, caught.value.fix) == ("item %d is bad" % (CHUNK + 1), "mend it")


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


def test_an_abandoned_walk_ends_its_workers():
    walk = each_result(lambda item: os.getpid(), ITEMS, 2)
    pid = next(walk)
    walk.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
