"""Children that are new Pythons, as in a process with CUDA's threads: they do what forks do."""
import functools
import importlib
import logging
import os
import pickle
import pkgutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data import child_process, records
from data.batches import BatchMaker, make_domain
from data.child_process import run_in_child, start_child
from data.errors import InputError
from data.parallel import each_result
from data.prefetch import open_stream
from data.registry import names, open_dataset
from data.worker import shared_array

from data_files import children, write_folder_set


@pytest.fixture(autouse=True)
def no_forks(monkeypatch):
    def fork():
        raise AssertionError("a fork")
    monkeypatch.setattr(child_process, "_spawning", True)
    monkeypatch.setattr(os, "fork", fork)


def refuse(what, fix):
    raise InputError(what, fix)


def speak(text):
    sys.stderr.write(text)
    return {"pid": os.getpid()}


def test_its_value_and_its_words_come_back_from_another_process(monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)   # which hides what is not flushed
    outcome = run_in_child(functools.partial(speak, "words"), 60)
    assert outcome.value["pid"] != os.getpid() and outcome.stderr == "words"


@pytest.mark.parametrize("function, field, found", [
    (functools.partial(refuse, "what", "fix"), "error", "what\n  fix"),
    (functools.partial(int, "x"), "exception", "invalid literal"),
    (os.abort, "signal", str(int(signal.SIGABRT))),
    (functools.partial(os._exit, 7), "status", "7"),
    (functools.partial(time.sleep, 60), "timeout", "3"),
    (functools.partial(bytearray, 1 << 40), "exception", "MemoryError")])
def test_every_end_is_told_apart(function, field, found):
    outcome = run_in_child(function, 3 if field == "timeout" else 60, memory=1 << 30)
    assert found in str(getattr(outcome, field)), outcome
    assert not children()


def test_what_cannot_be_pickled_is_forked(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(child_process, "_spawning", True)
    here = [1, 2]
    assert run_in_child(lambda: sum(here), 60).value == 3


@pytest.mark.parametrize("on_signals, ended", [(signal.SIG_IGN, False), (signal.SIG_DFL, True)])
def test_it_has_decided_about_signals_before_one_can_reach_it(on_signals, ended):
    pid = start_child(functools.partial(time.sleep, 0.3), on_signals)
    os.kill(pid, signal.SIGTERM)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) == ended and (ended or os.WEXITSTATUS(status) == 0)


def test_it_ends_with_a_parent_that_is_killed():
    code = ("import functools, time\n"
            "from data.child_process import spawn_from_now_on, start_child\n"
            "spawn_from_now_on()\n"
            "print(start_child(functools.partial(time.sleep, 60)), flush=True)\n"
            "time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(1)
        parent.kill()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}/cwd"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def fill(array, value):
    array[...] = value


def test_shared_arrays_are_shared_and_copies_of_them_are_not():
    shared = shared_array((2, 3), np.int64)
    assert run_in_child(functools.partial(fill, shared, 7), 60).exception is None
    assert (shared == 7).all() and not pickle.loads(pickle.dumps(shared.copy() - shared)).any()
    part = shared[:1]
    assert run_in_child(functools.partial(fill, part, 8), 60).exception is None
    assert (shared == 7).all()


@pytest.fixture
def maker(tmp_path, monkeypatch):
    write_folder_set(str(tmp_path / "source"), count=5)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    source = make_domain("source", open_dataset("folder:path=source"), "train", 1)
    return BatchMaker(source, None, (8, 10), 0, True, (0, 0, 0), 1)


def batches(stream, shapes, count):
    made = [[np.empty(shape, np.float32) for shape in shapes] for _ in range(count)]
    for batch in made:
        stream.fetch(*batch)
    return made


def test_workers_make_the_batches_and_start_again_when_they_die(maker, caplog):
    expected = batches(open_stream(maker, 0), maker.shapes, 12)
    stream = open_stream(maker, 2)
    found = batches(stream, maker.shapes, 5)
    for number in children():
        os.kill(number, signal.SIGKILL)
    with caplog.at_level(logging.WARNING):
        found += batches(stream, maker.shapes, 7)
    stream.close()
    assert not children() and "is started again" in caplog.text
    for pair in zip(found, expected):
        assert all(np.array_equal(*arrays) for arrays in zip(*pair))


@pytest.mark.parametrize("name", names())
def test_the_record_of_every_data_set_travels(name):
    record = next(record for module in pkgutil.iter_modules(records.__path__)
                  for record in importlib.import_module(f"data.records.{module.name}").RECORDS
                  if record.name == name)
    travelled = pickle.loads(pickle.dumps(record))
    assert (travelled.name, travelled.tables) == (record.name, record.tables)
    assert travelled.list_frames is record.list_frames


def test_drawn_images_travel_as_well_as_files():
    source = make_domain("source", open_dataset("toy"), "source_train[:4]", 1)
    made = BatchMaker(source, None, (16, 24), 4, True, (0, 0, 0), 1)
    expected = batches(open_stream(made, 0), made.shapes, 2)
    stream = open_stream(made, 1)
    found = batches(stream, made.shapes, 2)
    stream.close()
    for pair in zip(found, expected):
        assert all(np.array_equal(*arrays) for arrays in zip(*pair))


def square(number):
    return number * number


def test_results_of_many_items_come_in_order():
    assert list(each_result(square, range(50), workers=2, chunk=3)) == [n * n for n in range(50)]
