"""Signals to a run, the lock of its folder, and children that end with their parent."""
import os
import signal
import time

import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.training.run_folder import FolderLock
from tools.lib.training.snapshots import read_manifest

from tiny_training import (
    STILL,
    TOY,
    entries,
    finish,
    model,
    net_text,
    start,
    train,
    wait_for,
    write_run,
)


def snapshots(out):
    return [entry["iteration"] for entry in read_manifest(str(out))]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stop_signal_finishes_the_iteration_snapshots_and_says_how_to_resume(
        tmp_path, capfd, number, code):
    # the signal comes during the first of iteration 4's two passes
    solver = write_run(tmp_path, net_text(signal_at=[8, int(number)]), snapshot=100)
    assert train(solver, tmp_path / "out") == code
    printed = capfd.readouterr().err
    assert "finishing this iteration" in printed and "--resume" in printed and "--output" in printed
    assert snapshots(tmp_path / "out") == [5]
    (tmp_path / "net.prototxt").write_text(net_text())
    never = tmp_path / "never"
    train(write_run(tmp_path, net_text()), never)
    # the net differs by the signal alone
    (tmp_path / "out" / "net.prototxt").write_text((never / "net.prototxt").read_text())
    train(solver, tmp_path / "out", "--resume")
    assert model(tmp_path / "out", 8) == model(never, 8)


def test_second_interrupt_leaves_at_once_without_a_snapshot(tmp_path):
    solver = write_run(tmp_path, net_text(signal_at=[8, 2, 2]), snapshot=100)
    assert finish(start(solver, tmp_path / "out")) == 130
    assert snapshots(tmp_path / "out") == []


def test_sigusr1_snapshots_and_goes_on(tmp_path):
    solver = write_run(tmp_path, net_text(signal_at=[8, int(signal.SIGUSR1)]), snapshot=100)
    assert train(solver, tmp_path / "out") == 0
    assert snapshots(tmp_path / "out") == [5, 8]


def test_handlers_are_those_of_before_when_the_run_has_ended(tmp_path):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    train(write_run(tmp_path, max_iter=1), tmp_path / "out")
    assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]


def test_signal_is_noticed_within_a_layer_and_not_after_the_step(tmp_path):
    """Python runs no handler during Caffe's C++; the callbacks after every layer let it."""
    solver = write_run(tmp_path, STILL, iter_size=10 ** 8)       # one iteration lasts for hours
    pid = start(solver, tmp_path / "out")
    try:
        # from then on, tools.lib.training.loop.Signals is active
        wait_for(lambda: catches(pid, signal.SIGTERM), pid)
        before = cpu_seconds(pid)
        # and by then, the iteration has begun
        wait_for(lambda: cpu_seconds(pid) > before + 0.5, pid)
        os.kill(pid, signal.SIGINT)
        wait_for(lambda: "finishing this iteration" in open(str(tmp_path / "out") + ".txt").read(),
                 pid, 20)
        os.kill(pid, signal.SIGINT)
        wait_for(lambda: False, pid, 20)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        code = finish(pid)
    assert code == 130, (tmp_path / "out.txt").read_text()


def test_two_runs_do_not_share_an_output_folder(tmp_path):
    solver = write_run(tmp_path, net_text(nap=0.05), max_iter=1000)
    pid = start(solver, tmp_path / "out")
    try:
        wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists(), pid)
        before = (tmp_path / "out" / "record.json").read_bytes()
        with pytest.raises(InputError, match=f"another run is writing into .*process {pid}"):
            train(solver, tmp_path / "out")
        assert (tmp_path / "out" / "record.json").read_bytes() == before
    finally:
        os.kill(pid, signal.SIGKILL)
        finish(pid)
    with FolderLock(str(tmp_path / "out")):
        pass                                  # the killed run's lock ended with it


def test_children_end_with_a_killed_run(tmp_path):
    solver = write_run(tmp_path, TOY, max_iter=100000, snapshot=0)
    pid = start(solver, tmp_path / "out")
    try:
        wait_for(lambda: entries(tmp_path / "out", "train"), pid)
        workers = children_of(pid)
        assert workers
    finally:
        os.kill(pid, signal.SIGKILL)
        finish(pid)
    deadline = time.monotonic() + 5
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "workers outlive their run"
        time.sleep(0.01)


def catches(pid, number):
    """Whether the process has a handler of its own for a signal."""
    with open(f"/proc/{pid}/status") as file:
        caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt:"))
    return bool(caught >> (number - 1) & 1)


def cpu_seconds(pid):
    """What the process has computed."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def children_of(pid):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                if int(file.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(name))
        except OSError:
            pass
    return found


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_stop_signal_ends_a_long_test_and_the_test_comes_again_on_resume(tmp_path):
    # 3 updates of 2 passes, then the test of iteration 3 begins with batch 0 of its own net
    solver = write_run(tmp_path, net_text(signal_at=[50, int(signal.SIGTERM)]),
                       "test_iter: 100000 test_interval: 3 test_initialization: false", max_iter=4)
    assert train(solver, tmp_path / "out") == 143
    assert snapshots(tmp_path / "out") == [2, 3]
    assert entries(tmp_path / "out", "test") == []
