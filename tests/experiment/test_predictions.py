"""The zip file of label maps of splits without labels."""
import io
import json
import os
import zipfile

import caffe
import cv2
import numpy as np
import pytest

from data.errors import InputError
from data.files import ROOT
from models.experiments import EXPERIMENTS
from tools.lib.experiment import predictions, scheduler

from data_files import random_image, write_image, write_lines

GTA_CAMVID = EXPERIMENTS["gta_camvid"]
FRAMES = ("b", "a")     # in another order than that of the alphabet


@pytest.fixture(scope="module")
def caffemodel(tmp_path_factory):
    """Random weights of the experiment's deploy net."""
    path = str(tmp_path_factory.mktemp("weights") / "random.caffemodel")
    caffe.set_random_seed(1)
    net = caffe.Net(os.path.join(ROOT, "models/gta_camvid/deploy.prototxt"), caffe.TEST)
    net.params["final"][0].data[...] = np.random.default_rng(1).normal(
        size=net.params["final"][0].shape)
    net.save(path)
    return path


@pytest.fixture
def camvid(tmp_path, caffemodel, monkeypatch):
    """A data root with two frames of day_test; every stage has the random weights."""
    write_lines(f"{tmp_path}/camvid/day_test.txt", FRAMES)
    for number, name in enumerate(FRAMES):
        write_image(f"{tmp_path}/camvid/images/{name}.png", random_image(number))
    monkeypatch.setattr(predictions, "last_weights", lambda *_: caffemodel)
    monkeypatch.setattr(predictions, "run_folder",
                        lambda experiment, stage, seed: f"{tmp_path}/runs/{stage}_{seed}")
    return str(tmp_path)


def predicted(root, output, stages=("source",), seeds=(1,)):
    splits = [("camvid", "day_test")]
    models = predictions.final_models([GTA_CAMVID], stages, seeds)
    scheduler.run(predictions.tasks(models, splits, root), 1, 1, f"{root}/logs")
    predictions.write(output, models, splits, root)
    return zipfile.ZipFile(output)


def test_every_model_has_a_label_map_of_every_frame_as_predict_writes_it(camvid):
    archive = predicted(camvid, f"{camvid}/maps.zip", ("ga", "source"))
    assert sorted(archive.namelist()) == ["about.json"] + [
        f"gta_camvid/{stage}_seed1/camvid_day_test/{name}.png"
        for stage in ("ga", "source") for name in ("a", "b")]
    maps = {name: cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            for name in archive.namelist() if name.endswith(".png")}
    for name, labels in maps.items():
        image = cv2.imread(f"{camvid}/camvid/images/{os.path.basename(name)}")
        assert labels.dtype == np.uint8 and labels.shape == image.shape[:2] and labels.max() < 11
    a, b = (maps[f"gta_camvid/ga_seed1/camvid_day_test/{name}.png"] for name in "ab")
    assert not np.array_equal(a, b)


def test_about_names_the_models_their_hashes_and_the_classes(camvid, caffemodel):
    archive = predicted(camvid, f"{camvid}/maps.zip")
    model, = json.load(io.BytesIO(archive.read("about.json")))["models"]
    assert model["folder"] == "gta_camvid/source_seed1" and model["classes"][3] == "road"
    assert len(model["sha256"]) == 64


def test_the_same_models_give_the_same_bytes_and_finished_frames_are_kept(camvid, monkeypatch):
    predicted(camvid, f"{camvid}/first.zip")
    monkeypatch.setattr(scheduler, "_start", None)      # a task that starts would fail
    predicted(camvid, f"{camvid}/second.zip")
    first, second = (open(f"{camvid}/{name}.zip", "rb").read() for name in ("first", "second"))
    assert first == second


def test_a_model_that_is_not_trained_is_named_with_the_command_that_trains_it(monkeypatch):
    monkeypatch.setattr(predictions, "last_weights", lambda *_: "runs/none.caffemodel")
    with pytest.raises(InputError, match="runs/none.caffemodel: no such file") as error:
        predictions.final_models([GTA_CAMVID], ("ga",), (3,))
    assert "run_experiment.py gta_camvid --stages ga --seeds 3" in error.value.fix
