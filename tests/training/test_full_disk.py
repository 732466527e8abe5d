"""A full disk, or a limit on a file's size, while a run writes its small files."""
import builtins
import contextlib
import errno
import os
import resource

import pytest

from data.errors import InputError
from tools.lib.training.log import Log

from tiny_training import STILL, entries, finish, model, start, train, write_run

#: Bytes that a file may have: enough for the record and the prototxts of the still net, not for its
#: log.
LIMIT = 20 << 10


@contextlib.contextmanager
def small_files():
    """No file may be larger than LIMIT in this process and its children.

    Not around code in which pytest prints: its output counts too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_without_room_ends_the_command_with_2(tmp_path):
    solver = write_run(tmp_path, STILL, max_iter=1000, snapshot=None, snapshot_after_train="false")
    with small_files():
        pid = start(solver, tmp_path / "out")
    assert finish(pid) == 2
    printed = (tmp_path / "out.txt").read_text()
    assert "File too large" in printed and "--resume" in printed and "Traceback" not in printed
    assert len(entries(tmp_path / "out", "train")) > 50


def test_a_log_without_room_leaves_a_snapshot_to_go_on_from(tmp_path, monkeypatch):
    train(write_run(tmp_path), tmp_path / "quiet")
    solver, write = write_run(tmp_path, snapshot=None), Log.write

    def refuse(log, kind, iteration, **values):
        if (kind, iteration) == ("train", 4):
            raise InputError("cannot write log.jsonl: No space left on device")
        write(log, kind, iteration, **values)

    monkeypatch.setattr(Log, "write", refuse)
    with pytest.raises(InputError, match="cannot write log.jsonl"):
        train(solver, tmp_path / "out")
    monkeypatch.undo()
    assert [entry["iteration"] for entry in entries(tmp_path / "out", "snapshot")] == [5]
    train(solver, tmp_path / "out", "--resume")
    assert model(tmp_path / "out", 8) == model(tmp_path / "quiet", 8)


@pytest.mark.parametrize("name", ["record.json", "solver.prototxt", "net.prototxt", "log.jsonl"])
def test_a_file_without_room_is_named_and_the_run_can_start_again(tmp_path, monkeypatch, name):
    solver, sync = write_run(tmp_path, STILL, max_iter=2), os.fsync
    stem, ending = os.path.splitext(name)
    aside = f".{stem}.part{ending}"

    def full(descriptor):
        if os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")) == aside:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=f"cannot write .*{name}: No space left on "
                                         "device\n.*--resume"):
        train(solver, tmp_path / "out")
    monkeypatch.undo()
    assert train(solver, tmp_path / "out", "--resume") == 0


@pytest.mark.parametrize("name", ["lock", "partial"])
def test_a_lock_and_a_folder_that_cannot_be_made_are_named(tmp_path, monkeypatch, name):
    solver, open_, make = write_run(tmp_path, STILL, max_iter=2), builtins.open, os.makedirs

    def full(then):
        def call(path, *arguments, **keys):
            if os.path.basename(str(path)) == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return then(path, *arguments, **keys)
        return call

    monkeypatch.setattr(builtins, "open", full(open_))
    monkeypatch.setattr(os, "makedirs", full(make))
    with pytest.raises(InputError, match=f"cannot write .*{name}: No space left on device"):
        train(solver, tmp_path / "out")


def test_a_line_that_does_not_fit_raises_no_second_error_when_the_log_is_closed(tmp_path):
    log = Log(str(tmp_path / "log.jsonl"), 0)
    with small_files(), pytest.raises(InputError, match="cannot write .*log.jsonl: File too large"):
        for iteration in range(1000):
            log.write("train", iteration, values={"loss": 1.0})
