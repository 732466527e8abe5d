"""Pictures of progress: predictions of a few target frames at every snapshot."""
import os

import cv2
import numpy as np
import pytest

pytest.importorskip("caffe")

from data import child_process
from data.dataset import DataSet
from data.registry import open_dataset
from tools.lib.scoring.pictures import colour
from tools.lib.scoring.predictor import Predictor
from tools.lib.training import filmstrip
from tools.lib.training.filmstrip import chosen_frames

from tiny_training import STILL, TOY, TOY_DEPLOY, finish, model, start, train, wait_for, write_run


def toy_run(folder, **fields):
    """Solver of the toy net in a pathlib folder, with its deploy net beside it."""
    solver = write_run(folder, net=TOY, **fields)
    (folder / "deploy.prototxt").write_text(TOY_DEPLOY)
    return solver


def files(out):
    """{name: bytes} of the pictures of a run."""
    folder = out / "filmstrip"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, solver, output) of a run with filmstrip that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    solver = toy_run(folder, snapshot=2, max_iter=6)
    train(solver, folder / "out", "--filmstrip", 2)
    return folder, solver, folder / "out"


def test_pictures_are_the_predictions_of_every_snapshot_in_class_colours(whole):
    folder, _, out = whole
    data = open_dataset("toy")
    frames = data.frames("target_train[:7]")
    assert sorted(files(out)) == ["000002_0.png", "000002_1.png", "000004_0.png", "000004_1.png",
                                  "000006_0.png", "000006_1.png", "frame_0.png", "frame_1.png",
                                  "frames.json"]
    for iteration in (2, 4, 6):
        predictor = Predictor(str(folder / "deploy.prototxt"),
                              str(out / f"tiny_iter_{iteration}.caffemodel"))
        for number, frame in enumerate((frames[0], frames[3])):
            image = data.read_image(frame)
            assert np.array_equal(cv2.imread(str(out / "filmstrip" / f"frame_{number}.png")), image)
            picture = cv2.imread(str(out / "filmstrip" / f"{iteration:06d}_{number}.png"))
            assert np.array_equal(picture, colour(predictor.predict(image), data.space.palette))


def test_strip_has_a_row_a_frame(whole):
    picture = cv2.imread(str(whole[2] / "filmstrip.png"))
    assert picture.shape[0] > 100 and picture.shape[1] > 4 * 200


def test_the_plot_shows_the_strip_below_the_curves(whole):
    plot, strip = (cv2.imread(str(whole[2] / name)) for name in ("plot.png", "filmstrip.png"))
    height = round(strip.shape[0] * plot.shape[1] / strip.shape[1])
    assert plot.shape[0] > height + 200     # the curves are there too, once
    assert np.array_equal(filmstrip.below(plot[:-height], strip), plot)


def test_models_have_the_same_bytes_with_and_without_pictures(whole, tmp_path):
    train(whole[1], tmp_path / "out", "--filmstrip", 0)
    assert not os.path.exists(str(tmp_path / "out" / "filmstrip"))
    for iteration in (2, 4, 6):
        assert model(tmp_path / "out", iteration) == model(whole[2], iteration)


def test_a_resumed_run_has_the_pictures_of_a_run_that_was_never_stopped(whole, tmp_path):
    out = tmp_path / "out"
    train(whole[1], out, "--filmstrip", 2, "--max-iter", 5)
    os.unlink(str(out / "tiny_iter_5.caffemodel"))              # it goes on from 4
    (out / "filmstrip" / "000004_1.png").unlink()               # as after a kill while drawing
    train(whole[1], out, "--resume", "--max-iter", 6)
    assert files(out) == files(whole[2])
    assert model(out, 6) == model(whole[2], 6)


def test_a_killed_run_leaves_whole_pictures(whole, tmp_path):
    out = tmp_path / "out"
    pid = start(whole[1], out, "--filmstrip", 2)
    wait_for(lambda: os.path.exists(str(out / "filmstrip" / "000004_0.png")), pid)
    os.kill(pid, 9)
    finish(pid)
    for name, content in files(out).items():
        assert content == files(whole[2])[name]
    train(whole[1], out, "--resume")
    assert files(out) == files(whole[2])


def test_first_picture_is_that_of_the_initial_weights(whole, tmp_path):
    weights = str(whole[2] / "tiny_iter_6.caffemodel")
    train(whole[1], tmp_path / "out", "--filmstrip", 2, "--max-iter", 1, "--weights", weights)
    found = files(tmp_path / "out")
    for number in (0, 1):
        assert found[f"000000_{number}.png"] == files(whole[2])[f"000006_{number}.png"]


def test_no_label_is_read(whole, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a label was opened")

    monkeypatch.setattr(DataSet, "read_pair", refuse)
    monkeypatch.setattr(DataSet, "read_label", refuse)
    data = open_dataset("toy")
    strip = filmstrip.Filmstrip(str(tmp_path), str(whole[0] / "deploy.prototxt"), data.space, data,
                                data.frames("target_train[:2]"), 1, "cpu")
    strip.begin(-1)
    assert strip.draw_model(3, str(whole[2] / "tiny_iter_6.caffemodel")) is None
    assert len(strip.pictures(3)) == 2


def test_a_picture_that_fails_is_a_warning_and_the_run_goes_on(whole, tmp_path, capfd):
    solver = toy_run(tmp_path, max_iter=2)
    (tmp_path / "deploy.prototxt").write_text(TOY_DEPLOY.replace("num_output: 8", "num_output: 7"))
    assert train(solver, tmp_path / "out") == 0
    assert "warning: no pictures of iteration 2: " in capfd.readouterr().err


@pytest.mark.parametrize("net, why", [
    (TOY, "deploy.prototxt is missing"), (STILL, "no SourceTargetData layer")])
def test_a_run_without_deploy_net_or_data_layer_says_why_it_has_no_filmstrip(
        tmp_path, capfd, net, why):
    train(write_run(tmp_path, net=net, max_iter=2), tmp_path / "out")
    notice = [line for line in capfd.readouterr().err.splitlines() if "no filmstrip" in line]
    assert len(notice) == 1 and why in notice[0]
    assert not os.path.exists(str(tmp_path / "out" / "filmstrip"))


def test_a_net_without_target_shows_frames_of_its_source(tmp_path):
    solver = toy_run(tmp_path, max_iter=2)
    net = TOY.replace('"target": {"dataset": "toy", "split": "target_train[:7]"}, ', "")
    net = net.replace('"target_images": 1, ', "")
    net = net.replace('top: "source" top: "target"', 'top: "source"')
    net = net.replace('layer { name: "quiet" type: "Silence" bottom: "target" }', "")
    net = net.replace("slice_param { axis: 0 }", "")
    (tmp_path / "net.prototxt").write_text(net)
    train(solver, tmp_path / "out", "--filmstrip", 1)
    data = open_dataset("toy")
    assert np.array_equal(cv2.imread(str(tmp_path / "out" / "filmstrip" / "frame_0.png")),
                          data.read_image(data.frames("source_train")[0]))


def test_columns_of_the_strip_are_bounded_and_hold_the_first_and_the_last(
        whole, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(filmstrip, "write_grid", lambda *given, **_: drawn.append(given[1]))
    picture = files(whole[2])["000002_0.png"]
    folder = tmp_path / "filmstrip"
    folder.mkdir()
    (folder / "frames.json").write_bytes(files(whole[2])["frames.json"])
    for number in (0, 1):
        (folder / f"frame_{number}.png").write_bytes(picture)
        for iteration in range(0, 1300000, 100000):
            (folder / f"{iteration:06d}_{number}.png").write_bytes(picture)
    filmstrip.write_strip(str(tmp_path))
    assert len(drawn[0]) == 1 + filmstrip.COLUMNS
    assert drawn[0][1] == "iteration 0" and drawn[0][-1] == "iteration 1200000"


@pytest.mark.parametrize("available, count, expected", [
    (7, 2, [0, 3]), (3, 3, [0, 1, 2]), (2, 3, [0, 1]), (2975, 3, [0, 991, 1983])])
def test_frames_lie_at_even_distances(available, count, expected):
    assert chosen_frames(available, count) == expected


def test_a_new_python_can_draw_too_as_beside_a_gpu(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(child_process, "_spawning", True)
    monkeypatch.setattr(child_process.os, "fork", lambda: pytest.fail("it was forked"))
    data = open_dataset("toy")
    strip = filmstrip.Filmstrip(str(tmp_path), str(whole[0] / "deploy.prototxt"), data.space, data,
                                data.frames("target_train[:1]"), 1, "cpu")
    strip.begin(-1)
    assert strip.draw_model(6, str(whole[2] / "tiny_iter_6.caffemodel")) is None
    assert files(tmp_path)["000006_0.png"] == files(whole[2])["000006_0.png"]
