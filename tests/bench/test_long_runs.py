"""The measurements of long runs: their counts, samples and figures."""
import os
import subprocess
import sys

import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.bench import long_run_kills
from tools.bench.long_run_memory import (
    Sample,
    children,
    draw_curve,
    figures,
    resident,
    take_sample,
)
from tools.bench.toy_run import write_solver


def test_growth_is_counted_after_the_first_200_iterations_only():
    samples = [Sample(0, 50.0, 10.0, 5, 2), Sample(200, 100.0, 10.0, 6, 2),
               Sample(400, 103.0, 10.0, 8, 3), Sample(600, 101.0, 10.0, 6, 2)]
    found = figures(samples)
    assert found["growth at most"] == "3.00 %" and found["its growth at most"] == "0.00 %"
    assert found["open files, fewest and most"] == "6, 8"
    assert found["processes, fewest and most"] == "2, 3"


def test_sample_has_the_memory_of_a_process_and_its_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert child.pid in children(os.getpid())
        sample = take_sample(os.getpid(), [child.pid], 7)
        assert sample.iteration == 7 and sample.training > sample.workers > 0
        assert sample.processes >= 2
    finally:
        child.kill()
        child.wait()
    with pytest.raises(OSError):
        resident(child.pid)
    assert take_sample(os.getpid(), [child.pid], 8) is None


def test_curve_is_a_picture(tmp_path):
    draw_curve([Sample(k, 100.0, 50.0, 5, 2) for k in range(3)], str(tmp_path / "curve.png"))
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_solver_of_a_stage_starts_from_random_weights_with_the_schedule_given(tmp_path):
    text = open(write_solver("ga_ca", str(tmp_path), max_iter=7, iter_size=2)).read()
    assert "max_iter: 7" in text and "iter_size: 2" in text and "weights" not in text


def test_fewer_kills_than_asked_for_are_an_error(tmp_path, monkeypatch):
    found = long_run_kills.survive_kills("source", 2, 1, str(tmp_path / "twice"))
    assert found["kills"] == 2 and found["final caffemodel"] == "same bytes"
    monkeypatch.setattr(long_run_kills, "_wait_for_moment",
                        lambda process, *_: process.wait() or "training")
    with pytest.raises(InputError, match="the run of source ended after 1 of 2 kills"):
        long_run_kills.survive_kills("source", 2, 1, str(tmp_path / "never"))
