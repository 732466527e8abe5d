"""Event files of train.py --tensorboard, as TensorBoard itself reads them."""
import os

import cv2
import numpy as np
import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.bench.tensorboard_reader import reading, tensorboard
from tools.lib.training.event_file import EventFile, group_of

from tiny_training import (
    STILL,
    TOY,
    TOY_DEPLOY,
    entries,
    finish,
    model,
    start,
    train,
    wait_for,
    write_run,
)


@pytest.fixture(scope="module", autouse=True)
def reader():
    """TensorBoard, or a skip where it cannot be fetched."""
    try:
        tensorboard()
    except InputError as problem:
        pytest.skip(str(problem))


def read(folder):
    with reading(folder) as reload:
        return reload()


def points(found, tag):
    """[(step, value)] of a curve."""
    return [(step, value) for step, _, value in found["scalars"][tag]]


def logged(output, name):
    """[(iteration, value)] of an output in log.jsonl, as float32."""
    return [(entry["iteration"], pytest.approx(entry["values"][name], rel=1e-6))
            for entry in entries(output, "train")]


TESTED = dict(extra="test_iter: 1 test_interval: 2 test_compute_loss: true", net=STILL, iter_size=1)


def test_every_line_of_the_log_is_a_point_of_a_curve(tmp_path):
    out = tmp_path / "out"
    train(write_run(tmp_path, **TESTED), out, "--tensorboard")
    found = read(out)
    assert points(found, "loss/seg_loss") == logged(out, "seg_loss")
    assert points(found, "loss/loss") == logged(out, "loss")
    assert points(found, "rate/learning_rate") == [
        (entry["iteration"], pytest.approx(entry["learning_rate"], rel=1e-6))
        for entry in entries(out, "train")]
    assert points(found, "test_0/loss") == [
        (entry["iteration"], pytest.approx(entry["values"]["loss"], rel=1e-6))
        for entry in entries(out, "test")]
    assert [step for step, _ in points(found, "test_0/loss")] == [0, 2, 4, 6, 8]
    times = [when for _, when, _ in found["scalars"]["loss/loss"]]
    assert times == sorted(times)


def test_without_the_option_no_event_file_is_written(tmp_path):
    train(write_run(tmp_path), tmp_path / "out")
    assert not [name for name in os.listdir(str(tmp_path / "out")) if "tfevents" in name]


def test_event_file_does_not_change_the_model(tmp_path):
    solver = write_run(tmp_path)
    train(solver, tmp_path / "plain")
    train(solver, tmp_path / "watched", "--tensorboard")
    assert model(tmp_path / "plain", 8) == model(tmp_path / "watched", 8)


def test_resume_continues_the_curves_and_repeats_no_point(tmp_path):
    solver, out = write_run(tmp_path, snapshot=4), tmp_path / "out"
    train(solver, out, "--tensorboard", "--max-iter", 6)
    os.unlink(str(out / "tiny_iter_6.caffemodel"))      # so the run goes on from 4
    train(solver, out, "--resume", "--max-iter", 8)     # the record has the option
    found = read(out)
    assert [step for step, _ in points(found, "loss/loss")] == list(range(9))
    assert points(found, "loss/loss") == logged(out, "loss")
    times = [when for _, when, _ in found["scalars"]["loss/loss"]]
    assert times == sorted(times)


def test_tensorboard_that_stays_open_forgets_what_a_resume_takes_back(tmp_path):
    solver, out = write_run(tmp_path, snapshot=4), tmp_path / "out"
    train(solver, out, "--tensorboard", "--max-iter", 6)
    with reading(out) as reload:
        assert [step for step, _ in points(reload(), "loss/loss")] == list(range(7))
        os.unlink(str(out / "tiny_iter_6.caffemodel"))
        train(solver, out, "--resume", "--max-iter", 8)
        reload()    # reads the new file's beginning, at which it forgets the old points
        found = reload()
    assert points(found, "loss/loss") == logged(out, "loss")


def test_resume_with_the_option_adds_the_curves_before_it(tmp_path):
    solver, out = write_run(tmp_path), tmp_path / "out"
    train(solver, out, "--max-iter", 4)
    train(solver, out, "--max-iter", 8, "--resume", "--tensorboard")
    assert points(read(out), "loss/loss") == logged(out, "loss")


def test_a_killed_run_leaves_whole_events(tmp_path):
    solver, out = write_run(tmp_path, max_iter=5000, snapshot=4), tmp_path / "out"
    pid = start(solver, out, "--tensorboard")
    wait_for(lambda: os.path.exists(str(out / "log.jsonl")) and len(entries(out, "train")) > 9, pid)
    os.kill(pid, 9)
    finish(pid)
    found = read(out)
    steps = [step for step, _ in points(found, "loss/loss")]
    assert len(steps) > 8 and steps == list(range(len(steps)))


def test_event_file_of_another_program_stays_and_one_of_ours_without_record_is_refused(tmp_path):
    solver, out = write_run(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "events.out.tfevents.1700000000.host").write_text("mine")
    train(solver, out, "--tensorboard")
    assert (out / "events.out.tfevents.1700000000.host").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.out.tfevents.1700000000.123").write_text("mine")
    with pytest.raises(InputError, match="tfevents.1700000000.123 and no record.json"):
        train(solver, other, "--tensorboard")


def test_pictures_of_the_filmstrip_are_shown_at_every_snapshot_also_after_a_resume(tmp_path):
    (tmp_path / "deploy.prototxt").write_text(TOY_DEPLOY)
    solver, out = write_run(tmp_path, net=TOY, snapshot=2, max_iter=6), tmp_path / "out"
    train(solver, out, "--max-iter", 4, "--filmstrip", 2, "--tensorboard")
    train(solver, out, "--max-iter", 6, "--resume")
    found = read(out)["images"]
    assert len(found) == 2 and all(tag.startswith("filmstrip/") for tag in found)
    for number, tag in enumerate(sorted(found)):
        assert [step for step, _, _, _ in found[tag]] == [2, 4, 6]
        image = cv2.imread(str(out / "filmstrip" / f"frame_{number}.png"))
        for step, width, height, encoded in found[tag]:
            shown = cv2.imdecode(np.frombuffer(bytes.fromhex(encoded), np.uint8), 1)
            predicted = cv2.imread(str(out / "filmstrip" / f"{step:06d}_{number}.png"))
            assert (height, width) == shown.shape[:2]
            assert np.array_equal(shown, np.hstack([image, predicted]))


def test_warnings_and_presence_are_shown(tmp_path):
    events = EventFile(str(tmp_path), [])
    events.add({"kind": "note", "iteration": 3, "text": "features shrink"})
    events.add({"kind": "train", "iteration": 4, "values": {"mil_loss": None, "mil_recall": 0.5},
                "presence": {"car": {"precision": 0.25, "recall": None}}, "learning_rate": 0.1,
                "iterations_per_second": None})
    events.add({"kind": "snapshot", "iteration": 4, "file": "x.caffemodel"})
    found = read(tmp_path)
    assert found["texts"] == {"warnings/text_summary": [[3, "features shrink"]]}
    assert {tag: points(found, tag) for tag in found["scalars"]} == {
        "presence/mil_recall": [(4, 0.5)], "presence/car_precision": [(4, 0.25)],
        "rate/learning_rate": [(4, pytest.approx(0.1))]}


@pytest.mark.parametrize("output, group", [
    ("seg_loss", "loss"), ("domain_loss_inverse", "loss"), ("domain_accuracy_target", "domain"),
    ("feature_norm_source", "features"), ("accuracy", "other")])
def test_outputs_have_readable_groups(output, group):
    assert group_of(output) == group
