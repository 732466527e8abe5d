"""A run that was stopped, killed or moved ends with the same bytes as an undisturbed run."""
import glob
import json
import os
import random
import re
import shutil
import signal
import time

import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.training import run_folder
from tools.lib.training.snapshots import read_manifest

from data_files import write_folder_set
from tiny_training import (
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(solver, output) of the tiny run with dropout, iter_size 2 and lr steps, never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    solver = write_run(folder)
    train(solver, folder / "out")
    return solver, folder / "out"


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_final_model_has_the_same_bytes_after_a_stop(tmp_path, whole, stop):
    solver, out = whole
    train(solver, tmp_path / "out", "--max-iter", stop)
    train(solver, tmp_path / "out", "--max-iter", 8, "--resume")
    assert model(tmp_path / "out", 8) == model(out, 8)


def test_every_choice_depends_on_the_seed(tmp_path, whole):
    train(whole[0], tmp_path / "out", "--seed", 6)
    assert model(tmp_path / "out", 8) != model(whole[1], 8)


def test_log_of_a_resumed_run_has_every_iteration_once(tmp_path, whole):
    train(whole[0], tmp_path / "out", "--max-iter", 5)
    os.unlink(tmp_path / "out" / "tiny_iter_5.caffemodel")
    train(whole[0], tmp_path / "out", "--max-iter", 8, "--resume")
    assert entries(tmp_path / "out", "snapshot") == entries(whole[1], "snapshot")
    for mine, never_stopped in zip(entries(tmp_path / "out", "train"), entries(whole[1], "train")):
        assert (mine["iteration"], mine["values"]) == (never_stopped["iteration"],
                                                       never_stopped["values"])


def test_resume_of_a_folder_that_has_moved_reads_its_own_model(tmp_path, whole):
    train(whole[0], tmp_path / "before", "--max-iter", 4)
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    # the old place now holds other weights under the same name
    shutil.copy(whole[1] / "tiny_iter_2.caffemodel", tmp_path / "before" / "tiny_iter_4.caffemodel")
    train(whole[0], tmp_path / "after", "--max-iter", 8, "--resume")
    assert model(tmp_path / "after", 8) == model(whole[1], 8)


def test_resume_recalls_seed_and_length_of_the_run(tmp_path, whole):
    train(whole[0], tmp_path / "out", "--seed", 6, "--max-iter", 3)
    train(whole[0], tmp_path / "out", "--resume")
    assert len(entries(tmp_path / "out", "snapshot")) == 2     # 2 and 3: it does not go on to 8


def test_resume_recalls_the_device_and_how_many_snapshots_to_keep(tmp_path):
    solver, out = write_run(tmp_path, snapshot=1, max_iter=6), tmp_path / "out"
    train(solver, out, "--device", "cpu", "--keep-snapshots", 2, "--max-iter", 3)
    train(solver, out, "--resume", "--max-iter", 6)
    assert sorted(os.path.basename(path) for path in glob.glob(str(out / "*.caffemodel"))) == [
        "tiny_iter_5.caffemodel", "tiny_iter_6.caffemodel"]
    record = json.loads((out / "record.json").read_text())
    assert record["options"]["device"] == "cpu"
    record["options"]["device"] = "gpu:63"
    (out / "record.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="gpu:63"):
        train(solver, out, "--resume", "--max-iter", 7)
    record["options"]["device"] = "gpu:x"
    (out / "record.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="record.json is not the record"):
        train(solver, out, "--resume", "--max-iter", 7)


@pytest.mark.parametrize("change, shown", [
    (dict(base_lr=0.02), ["-base_lr: 0.01", "+base_lr: 0.02"]),
    (dict(net=net_text().replace("num_output: 8", "num_output: 9")),
     ["-    num_output: 8", "+    num_output: 9"]),
    (dict(iter_size=1), ["-iter_size: 2"]),
    (dict(random_seed=9), ["seed: 5 before, 9 now"])])
def test_resume_with_another_net_solver_or_seed_is_refused_with_the_difference(
        tmp_path, change, shown):
    train(write_run(tmp_path), tmp_path / "out", "--max-iter", 2)
    with pytest.raises(InputError) as refusal:
        train(write_run(tmp_path, **change), tmp_path / "out", "--resume")
    for text in shown:
        assert text in str(refusal.value)


def test_resume_may_display_test_and_snapshot_at_other_times(tmp_path, whole):
    train(write_run(tmp_path), tmp_path / "out", "--max-iter", 3)
    train(write_run(tmp_path, display=5, snapshot=100, extra="test_iter: 1 test_interval: 2 "
                                                             "average_loss: 3"),
          tmp_path / "out", "--max-iter", 8, "--resume")
    assert entries(tmp_path / "out", "test") and model(tmp_path / "out", 8) == model(whole[1], 8)


def test_resume_with_another_length_is_refused_only_where_the_rate_depends_on_it(tmp_path):
    solver = write_run(tmp_path, lr_policy='"poly"', extra="power: 0.9")
    train(solver, tmp_path / "out", "--max-iter", 2)
    with pytest.raises(InputError, match="max_iter: 2"):
        train(solver, tmp_path / "out", "--max-iter", 4, "--resume")


def test_resume_with_another_data_list_is_refused_with_the_difference(tmp_path):
    solver = write_run(tmp_path, TOY)
    train(solver, tmp_path / "out", "--max-iter", 1)
    # the same prototxt, another list behind the name
    record = (tmp_path / "out" / "record.json").read_text()
    digest = record.split('"data.target"')[1].split('"sha256": "')[1].split('"')[0]
    (tmp_path / "out" / "record.json").write_text(record.replace(digest, "0" * 64))
    with pytest.raises(InputError, match="data lists") as refusal:
        train(solver, tmp_path / "out", "--resume")
    assert digest in str(refusal.value)


def test_resume_with_other_statistics_or_another_class_table_is_refused(tmp_path, repo_root):
    table, statistics = tmp_path / "set" / "classes.txt", tmp_path / "statistics.json"
    write_folder_set(str(tmp_path / "set"), count=2, height=32, width=48, classes=8)
    shutil.copy(os.path.join(repo_root, "data", "statistics", "toy.json"), str(statistics))
    folder = {"dataset": "folder", "split": "train", "options": {"path": str(tmp_path / "set")}}
    net = TOY.replace('{"dataset": "toy", "split": "source_train[:5]"}', json.dumps(folder))
    assert net != TOY
    net += f'''layer {{ name: "mil" type: "Python" bottom: "target"
  top: "mil_loss" top: "present" top: "active" top: "relaxed"
  loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0
  python_param {{ module: "layers.constrained_mil_loss" layer: "ConstrainedMILLoss"
                 param_str: '{{"statistics": "{statistics}"}}' }} }}'''
    solver = write_run(tmp_path, net, max_iter=1)
    train(solver, tmp_path / "out")
    for path, before, after, name in ((table, "0 class0", "0,9 class0", "label_map"),
                                      (statistics, "{", "{ ", "mil.statistics")):
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))
        with pytest.raises(InputError, match="data lists(.|\n)*" + name):
            train(solver, tmp_path / "out", "--resume", "--max-iter", 2)
        path.write_text(text)
    assert train(solver, tmp_path / "out", "--resume", "--max-iter", 2) == 0


def test_a_run_goes_on_whose_record_is_older_than_label_maps_and_statistics_in_it(tmp_path):
    solver = write_run(tmp_path, TOY, max_iter=1)
    train(solver, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    del record["data"]["data.source"]["label_map"]
    (tmp_path / "out" / "record.json").write_text(json.dumps(record))
    assert run_folder._recorded_parts(
        {"mil.statistics": {}, "data.source": {"frames": 1, "label_map": "x"}},
        record["data"]) == {"data.source": {"frames": 1}}
    assert train(solver, tmp_path / "out", "--resume", "--max-iter", 2) == 0


def test_resume_without_a_record_names_the_ways_to_go_on(tmp_path, whole):
    shutil.copytree(str(whole[1]), str(tmp_path / "out"))
    (tmp_path / "out" / "record.json").unlink()
    with pytest.raises(InputError, match="no record.json.*\n.*--weights .*tiny_iter_8.caffemodel"):
        train(whole[0], tmp_path / "out", "--resume")


def test_resume_without_a_snapshot_starts_at_the_beginning(tmp_path, whole, capfd):
    train(whole[0], tmp_path / "out", "--resume")
    assert "starting at iteration 0" in capfd.readouterr().err
    assert model(tmp_path / "out", 8) == model(whole[1], 8)


@pytest.mark.parametrize("stage", ["source", "ga", "ga_ca"])
def test_every_stage_of_the_toy_resumes_to_the_same_bytes(tmp_path, repo_root, stage):
    with open(os.path.join(repo_root, "models", "toy", stage + ".prototxt")) as file:
        net = re.sub(r'\[80, 144\]', "[24, 40]", file.read())
    assert "[24, 40]" in net
    solver = write_run(tmp_path, net, max_iter=3, stepsize=2, snapshot=1)
    train(solver, tmp_path / "whole")
    train(solver, tmp_path / "out", "--max-iter", 2)
    train(solver, tmp_path / "out", "--max-iter", 3, "--resume")
    assert model(tmp_path / "out", 3) == model(tmp_path / "whole", 3)
    if stage != "source":
        assert {"domain_loss", "domain_loss_inverse", "domain_accuracy_source",
                "domain_accuracy_target"} <= set(entries(tmp_path / "out", "train")[0]["values"])
    if stage == "ga_ca":
        assert {"mil_loss", "mil_present", "mil_active", "mil_relaxed"} <= set(
            entries(tmp_path / "out", "train")[0]["values"])


def test_twenty_kills_at_random_moments_leave_the_bytes_of_a_run_never_killed(tmp_path):
    """Real data layer: shuffling, crops, a prefetching worker; dropout, iter_size 2, lr steps."""
    solver = write_run(tmp_path, TOY, max_iter=60, snapshot=1, stepsize=13, display=5)
    began = time.monotonic()
    assert finish(start(solver, tmp_path / "whole")) == 0
    # Ten pauses of half of this on average: the run is not done before the last kill.
    longest = (time.monotonic() - began) / 12
    draw, out, kills, writing = random.Random(0), tmp_path / "killed", 0, 0
    partial = str(out / "partial" / "*_iter_*")
    while True:
        pid = start(solver, out, "--resume", "--keep-snapshots", 2)
        if kills < 20:
            # every other kill comes while a snapshot is being written, at any point of it
            if kills % 2:
                wait_for(lambda: glob.glob(partial), pid)
                time.sleep(draw.uniform(0, 0.02))
            else:
                wait_for(lambda: (out / "partial").exists(), pid)
                time.sleep(draw.uniform(0, longest))
            writing += bool(glob.glob(partial))
            os.kill(pid, signal.SIGKILL)
        code = finish(pid)
        if code == -signal.SIGKILL:
            kills += 1
            continue
        assert code == 0, open(str(out) + ".txt").read()
        break
    assert kills >= 20 and writing >= 5
    assert model(out, 60) == model(tmp_path / "whole", 60)
    assert [entry["iteration"] for entry in read_manifest(str(out))] == [59, 60]
    assert {"tiny_iter_59.caffemodel", "tiny_iter_60.caffemodel"} <= set(os.listdir(out))
    assert not (out / "partial").exists()
