"""Snapshots are whole or not there, damage is noticed, and a full disk leaves the earlier ones."""
import errno
import json
import os
import resource

import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.training import snapshots as module
from tools.lib.training.engine import Engine

from tiny_training import entries, finish, model, start, train, write_run


@pytest.fixture
def stopped(tmp_path):
    """(solver, output) of a run with snapshots of iterations 2 and 4."""
    solver = write_run(tmp_path)
    train(solver, tmp_path / "out", "--max-iter", 4)
    return solver, tmp_path / "out"


def listed(out):
    return [entry["iteration"] for entry in module.read_manifest(str(out))]


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:len(content) // 2])
    elif how == "altered":
        path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.parametrize("how, words", [
    ("truncated", "bytes instead of"), ("altered", "has been altered"), ("empty", "has 0 bytes"),
    ("missing", "is missing")])
@pytest.mark.parametrize("ending", ["caffemodel", "solverstate"])
def test_damaged_snapshot_is_reported_and_passed_over_for_the_one_before(
        stopped, capfd, how, words, ending):
    solver, out = stopped
    before = model(out, 4)
    damage(out / ("tiny_iter_4." + ending), how)
    train(solver, out, "--resume")
    printed = capfd.readouterr().err
    assert f"passing over the snapshot of iteration 4: tiny_iter_4.{ending}" in printed
    assert words in printed
    assert "going on from iteration 2" in printed
    assert model(out, 4) == before and listed(out) == [2, 4]


def test_every_snapshot_damaged_starts_again_and_says_so(stopped, capfd):
    solver, out = stopped
    for iteration in (2, 4):
        damage(out / f"tiny_iter_{iteration}.solverstate", "truncated")
    train(solver, out, "--resume")
    assert "starting at iteration 0" in capfd.readouterr().err


def test_files_that_no_manifest_lists_are_not_resumed_from(stopped, capfd):
    solver, out = stopped
    module.write_manifest(str(out), module.read_manifest(str(out))[:1])
    train(solver, out, "--resume")
    assert "going on from iteration 2" in capfd.readouterr().err


@pytest.mark.parametrize("content", [
    "", "{", "[]", '{"snapshots": 3}', '{"snapshots": [{"iteration": "four"}]}',
    '{"snapshots": [{"iteration": 4, "model": {"name": "../../x", "bytes": 1, "sha256": ""}, '
    '"state": {"name": "x", "bytes": 1, "sha256": ""}}]}'])
def test_damaged_manifest_is_an_error_and_stays_as_it_is(stopped, content):
    solver, out = stopped
    (out / module.MANIFEST).write_text(content)
    with pytest.raises(InputError, match="snapshots.json is not a list of snapshots"):
        train(solver, out, "--resume")
    assert (out / module.MANIFEST).read_text() == content


def test_only_the_newest_snapshots_are_kept_when_asked(tmp_path):
    train(write_run(tmp_path, snapshot=1), tmp_path / "out", "--keep-snapshots", 3)
    assert listed(tmp_path / "out") == [6, 7, 8]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.caffemodel")) == \
        [f"tiny_iter_{k}.caffemodel" for k in (6, 7, 8)]


def test_a_killed_writers_leftovers_disappear(stopped):
    solver, out = stopped
    (out / "partial").mkdir()
    (out / "partial" / "tiny_iter_6.caffemodel").write_bytes(b"half")
    train(solver, out, "--resume", "--max-iter", 8)
    assert not (out / "partial").exists() and listed(out) == [2, 4, 6, 8]


def test_full_disk_is_a_clear_error_and_the_last_snapshot_stays(stopped, monkeypatch):
    solver, out = stopped
    before = model(out, 4)

    def no_room(descriptor, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(InputError) as refusal:
        train(solver, out, "--resume", "--max-iter", 8)
    assert "snapshot of iteration 6 cannot be written" in str(refusal.value)
    assert "No space left on device" in str(refusal.value) and "--resume" in str(refusal.value)
    assert listed(out) == [2, 4] and model(out, 4) == before
    monkeypatch.undo()
    train(solver, out, "--resume", "--max-iter", 8)
    assert listed(out) == [2, 4, 6, 8]


@pytest.mark.parametrize("limit", [400, 1300])
def test_disk_that_fills_up_under_caffes_own_writing_kills_nobody(stopped, monkeypatch, limit):
    """Another program took the room after the claim: Caffe's writer aborts or truncates."""
    solver, out = stopped
    before = model(out, 4)
    write = Engine.caffe_snapshot

    def in_little_room(engine):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))    # this is the forked child
        return write(engine)

    monkeypatch.setattr(Engine, "caffe_snapshot", in_little_room)
    with pytest.raises(InputError, match="snapshot of iteration 6 cannot be written"):
        train(solver, out, "--resume", "--max-iter", 8)
    assert listed(out) == [2, 4] and model(out, 4) == before
    assert not (out / "tiny_iter_6.caffemodel").exists()


def test_file_limit_ends_the_command_with_2(stopped):
    solver, out = stopped
    pid = start_limited(solver, out, 1 << 20)
    assert finish(pid) == 2
    assert "File too large" in open(str(out) + ".txt").read()
    assert listed(out) == [2, 4]


def start_limited(solver, out, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        return start(solver, out, "--resume", "--max-iter", 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_state_that_caffe_would_abort_on_is_an_error(stopped):
    """The manifest lists it with the right hash, but it belongs to another net."""
    solver, out = stopped
    state = out / "tiny_iter_4.solverstate"
    state.write_bytes(b"\x08\x04" + b"\x1a\x00")      # iteration 4, one empty history blob
    entries_ = module.read_manifest(str(out))
    entries_[-1]["state"] = module.describe_file(str(state))
    module.write_manifest(str(out), entries_)
    with pytest.raises(InputError, match="Caffe does not take the snapshot of iteration 4"):
        train(solver, out, "--resume")


def test_stock_caffe_resumes_from_our_snapshot(stopped):
    """The solverstate names its model by the place it ended up in."""
    caffe = pytest.importorskip("caffe")
    _, out = stopped
    plain = caffe.get_solver(str(out / "solver.prototxt"))
    plain.restore(str(out / "tiny_iter_4.solverstate"))
    plain.net.save(str(out / "again"))
    assert plain.iter == 4 and (out / "again").read_bytes() == model(out, 4)


def test_manifest_has_sizes_and_hashes_and_the_log_names_each_snapshot(stopped):
    _, out = stopped
    content = json.loads((out / module.MANIFEST).read_text())["snapshots"]
    assert content[1]["model"]["bytes"] == len(model(out, 4))
    assert len(content[1]["state"]["sha256"]) == 64
    logged = [entry["file"] for entry in entries(out, "snapshot")]
    assert logged == ["tiny_iter_2.caffemodel", "tiny_iter_4.caffemodel"]


def test_space_is_claimed_for_parameters_and_every_history(stopped):
    class Engine_:
        class param:
            type, snapshot_diff = "Adam", False

        class net:
            class blob:
                count = 1000
            params = {"conv": [blob]}

        class classifier:
            class blob:
                count = 10
            params = {"domain_score": [blob]}
        updated_nets = [net]
    assert module.needed_bytes(Engine_) == 4 * 1000 * 3 + module.OVERHEAD
    Engine_.updated_nets = [Engine_.net, Engine_.classifier]
    assert module.needed_bytes(Engine_) == 4 * 1010 * 3 + module.OVERHEAD
