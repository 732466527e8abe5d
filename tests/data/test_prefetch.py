"""Batches made ahead by worker processes: workers that die, fail, jump and lag behind."""
import logging
import mmap
import os
import signal
import time

import numpy as np
import pytest

from data import transforms
from data.batches import BatchMaker, make_domain
from data.errors import InputError
from data.prefetch import open_stream
from data.registry import open_dataset
from data.sharing import Share

from data_files import children, write_folder_set


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_folder_set(str(tmp_path / "source"), count=5)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("crop", ((100000, 100000), (2 ** 40, 2 ** 40), (2 ** 31, 2 ** 31)))
def test_batches_for_which_there_is_no_memory_name_crop_and_workers(root, monkeypatch, crop):
    map_memory = mmap.mmap
    # some systems promise more memory than they have: 100000 x 100000 are 120 GB
    monkeypatch.setattr(
        mmap, "mmap", lambda file, size: map_memory(file, size if size < 1e9 else max(size, 2**47)))
    source = make_domain("source", open_dataset("folder:path=source"), "train", 1)
    maker = BatchMaker(source, None, crop, 0, False, (0, 0, 0), 1)
    with pytest.raises(InputError, match=f"no memory for 1 x 3 x {crop[0]} x {crop[1]} "
                                         'values .* GB\n.*"crop".*"workers"'):
        open_stream(maker, 1)


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        assert all((a[top] == b[top]).all() for top in ("data", "label"))


class SlowMaker(BatchMaker):
    """Makes every batch slowly."""

    def fill(self, *arguments, **keys):
        time.sleep(0.05)
        super().fill(*arguments, **keys)


class KillingMaker(BatchMaker):
    """Kills its own process at certain batches, once or always, after naming the frame it reads."""

    def fill(self, batch, data, label, reading=lambda text: None):
        if batch in KILL and not (KILL[batch] and os.path.exists(KILL[batch])):
            if KILL[batch]:
                open(KILL[batch], "w").close()
            reading("list.txt:7: the deadly one")
            os.kill(os.getpid(), signal.SIGKILL)
        super().fill(batch, data, label, reading)


KILL = {}


def make_stream(root, workers, maker=BatchMaker):
    source = make_domain("source", open_dataset("folder:path=source"), "train", 1)
    made = maker(source, None, (8, 10), 0, True, (0, 0, 0), 1)
    return open_stream(made, workers), made.shapes


def fetch(stream, shapes, count):
    made = []
    for _ in range(count):
        batch = {"data": np.empty(shapes[0], np.float32), "label": np.empty(shapes[1], np.float32)}
        stream.fetch(batch["data"], batch["label"])
        made.append(batch)
    return made


@pytest.fixture
def kill():
    yield KILL
    KILL.clear()


@pytest.mark.parametrize("batch", [0, 3])
def test_a_worker_that_dies_is_reported_with_its_file_and_started_again(root, kill, caplog, batch):
    wanted = fetch(*make_stream(root, 0), count=8)
    kill[batch] = str(root / "died once")
    stream, shapes = make_stream(root, 2, KillingMaker)
    with caplog.at_level(logging.WARNING):
        assert_same(fetch(stream, shapes, 8), wanted)
    message, = [record.getMessage() for record in caplog.records]
    assert "signal 9" in message and "list.txt:7: the deadly one" in message
    stream.close()


def test_its_second_death_is_an_error(root, kill):
    kill[2] = None
    stream, shapes = make_stream(root, 2, KillingMaker)
    fetch(stream, shapes, 2)
    with pytest.raises(InputError, match="list.txt:7: the deadly one, for the second time"):
        fetch(stream, shapes, 1)
    stream.close()


def test_a_worker_killed_from_outside_costs_no_batch(root):
    wanted = fetch(*make_stream(root, 0), count=12)
    stream, shapes = make_stream(root, 2)
    made = fetch(stream, shapes, 5)
    for child in children():
        os.kill(child, signal.SIGKILL)
    assert_same(made + fetch(stream, shapes, 7), wanted)
    stream.close()


def test_what_was_made_before_a_jump_is_not_taken_for_what_comes_after(root):
    wanted = fetch(*make_stream(root, 0), count=6)
    stream, shapes = make_stream(root, 2, SlowMaker)
    for position, count in ((0, 1), (4, 1), (0, 2)):  # batch 5 now lies where batch 1 lay
        stream.set_position(position)
        assert_same(fetch(stream, shapes, count), wanted[position:position + count])
        time.sleep(0.25)
    stream.close()


def test_many_jumps_neither_block_nor_pile_up(root):
    stream, shapes = make_stream(root, 2)
    wanted = fetch(stream, shapes, 1)
    for _ in range(1500):
        stream.set_position(4)
        stream.set_position(0)
        assert_same(fetch(stream, shapes, 1), wanted)
    stream.close()


def test_a_mistake_in_the_code_shows_its_traceback(root, monkeypatch):
    monkeypatch.setattr(transforms, "cut_image", lambda *arguments: 1 / 0)
    stream, shapes = make_stream(root, 1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        fetch(stream, shapes, 1)
    stream.close()


def test_a_process_among_several_makes_its_own_batches_and_names_its_frames():
    """As data/worker.py calls it: the arrays by place, the note by name."""
    made = []

    class Maker:
        shapes = None

        def fill(self, batch, data, label, reading):
            made.append((batch, data, label))
            reading("frame")

    notes = []
    Share(rank=1, size=3).of(Maker()).fill(4, "data", "label", reading=notes.append)
    assert made == [(13, "data", "label")] and notes == ["frame"]
