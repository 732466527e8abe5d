"""The measurements of long runs count what they say."""
import os
import subprocess
import sys

import pytest

pytest.importorskip("caffe")

from data.errors import InputError  # noqa: E402
from tools.bench.endurance import kills  # noqa: E402
from tools.bench.endurance.memory import (  # noqa: E402
    Sample,
    children,
    draw_curve,
    figures,
    resident,
    take_sample,
)
from tools.bench.endurance.toy_run import write_solver  # noqa: E402


def test_growth_is_counted_after_the_first_200_iterations_only():
    samples = [
        Sample(0, 50.0, 10.0, 5, 2),
        Sample(200, 100.0, 10.0, 6, 2),
        Sample(400, 103.0, 10.0, 8, 3),
        Sample(600, 101.0, 10.0, 6, 2)
    ]
    found = figures(samples)
    assert found["growth at most"] == "3.00 %" and found["its growth at most"] == "0.00 %"
    assert found["open files, fewest and most"] == "6, 8" and found[
        "processes, fewest and most"] == "2, 3"


def test_sample_has_the_memory_of_a_process_and_its_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert child.pid in children(os.getpid())
        sample = take_sample(os.getpid(), [child.pid], 7)
        assert sample.iteration == 7 and sample.training > sample.workers > 0 and sample.processes >= 2
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


def test_a_run_is_killed_as_often_as_was_asked_or_that_is_an_error(tmp_path, monkeypatch):
    found = kills.survive_kills("source", 2, 1, str(tmp_path / "twice"))
    assert found["kills"] == 2 and found["final caffemodel"] == "same bytes"
    monkeypatch.setattr(kills, "_wait_for_moment", lambda process, *_: process.wait() or "training")
    with pytest.raises(InputError, match="the run of source was done after 1 of 2 kills"):
        kills.survive_kills("source", 2, 1, str(tmp_path / "never"))
