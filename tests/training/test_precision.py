"""--tf32 of tools/train.py: recorded, the same on a resume, refused on the CPU.

No GPU is needed: a run that asks for one is left on the CPU, where TF32 changes nothing.
"""
import json
import os

import pytest

from data.errors import InputError
from tools.lib.device_options import TF32_VARIABLE
from tools.lib.runtime import source_builds
from tools.lib.training import engine, parallel, run

from tiny_training import train, write_run


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    """The variable that train.py sets is put back after the test."""
    monkeypatch.setenv(TF32_VARIABLE, "0")


@pytest.fixture
def on_gpu(monkeypatch):
    """Takes --device gpu:N and stays on the CPU; [(number of the GPU, CAFFE_TF32 then)]."""
    used = []
    monkeypatch.setattr(engine, "use_device",
                        lambda gpu, name: used.append((gpu, os.environ[TF32_VARIABLE])))
    monkeypatch.setattr(source_builds, "has_patch", lambda name: True)
    return used


def recorded(folder):
    record = json.loads((folder / "record.json").read_text())
    return record["options"]["tf32"], record["versions"]["tf32"]


def test_tf32_is_off_unless_asked_for_and_set_before_caffe_is_put_on_the_gpu(tmp_path, on_gpu):
    solver = write_run(tmp_path, max_iter=1)
    train(solver, tmp_path / "float32", "--device", "gpu:1")
    assert recorded(tmp_path / "float32") == (False, False)
    assert set(on_gpu) == {(1, "0")}
    on_gpu.clear()
    train(solver, tmp_path / "tf32", "--device", "gpu:1", "--tf32")
    assert recorded(tmp_path / "tf32") == (True, True)
    assert set(on_gpu) == {(1, "1")}


def test_the_variable_alone_turns_on_tf32_on_a_gpu_and_nothing_on_the_cpu(
        tmp_path, on_gpu, monkeypatch):
    solver = write_run(tmp_path, max_iter=1)
    for device, on in (("gpu:0", True), ("cpu", False)):
        monkeypatch.setenv(TF32_VARIABLE, "1")
        train(solver, tmp_path / device, "--device", device)
        assert recorded(tmp_path / device) == (on, on)


def test_a_resume_keeps_tf32_without_the_option(tmp_path, on_gpu, monkeypatch):
    solver, out = write_run(tmp_path, max_iter=4), tmp_path / "out"
    train(solver, out, "--device", "gpu:0", "--tf32", "--max-iter", 2)
    monkeypatch.setenv(TF32_VARIABLE, "0")
    on_gpu.clear()
    train(solver, out, "--resume", "--max-iter", 4)
    assert set(on_gpu) == {(0, "1")}
    assert recorded(out) == (True, True)
    assert json.loads((out / "record.json").read_text())["resumed"][0]["versions"]["tf32"]


def test_a_resume_with_another_precision_is_refused(tmp_path, on_gpu, monkeypatch):
    solver = write_run(tmp_path, max_iter=4)
    train(solver, tmp_path / "out", "--device", "gpu:0", "--max-iter", 2)
    with pytest.raises(InputError, match="computes in float32, and a run keeps its setting"):
        train(solver, tmp_path / "out", "--resume", "--tf32")
    monkeypatch.setenv(TF32_VARIABLE, "1")
    with pytest.raises(InputError, match="CAFFE_TF32=1: .*computes in float32"):
        train(solver, tmp_path / "out", "--resume")
    train(solver, tmp_path / "fast", "--device", "gpu:0", "--tf32", "--max-iter", 2)
    with pytest.raises(InputError, match="computes in TF32, which the CPU does not have"):
        train(solver, tmp_path / "fast", "--resume", "--device", "cpu")


def test_a_record_of_before_the_option_has_tf32_among_its_versions(tmp_path, on_gpu):
    solver, out = write_run(tmp_path, max_iter=4), tmp_path / "out"
    train(solver, out, "--device", "gpu:0", "--max-iter", 2)
    record = json.loads((out / "record.json").read_text())
    del record["options"]["tf32"]
    record["versions"]["tf32"] = True
    (out / "record.json").write_text(json.dumps(record))
    on_gpu.clear()
    train(solver, out, "--resume", "--max-iter", 4)
    assert set(on_gpu) == {(0, "1")}
    record["options"]["tf32"] = "yes"
    (out / "record.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="record.json is not the record"):
        train(solver, out, "--resume")


def test_tf32_on_the_cpu_is_refused_and_leaves_no_folder(tmp_path):
    for options in ([], ["--device", "cpu"]):
        with pytest.raises(InputError, match="--tf32 is a way to compute on a GPU"):
            train(write_run(tmp_path), tmp_path / "out", "--tf32", *options)
    assert not (tmp_path / "out").exists()


def test_a_caffe_without_the_option_is_refused(tmp_path, on_gpu, monkeypatch):
    monkeypatch.setattr(source_builds, "has_patch", lambda name: False)
    with pytest.raises(InputError, match="(?s)no such option.*--variant cuda"):
        train(write_run(tmp_path), tmp_path / "out", "--tf32", "--device", "gpu:0")


def test_the_patch_of_the_option_is_there(repo_root):
    assert os.path.exists(os.path.join(repo_root, "tools/build/patches",
                                       source_builds.TF32_OPTION))


def test_workers_of_a_run_on_several_gpus_get_the_setting_too(tmp_path, monkeypatch):
    options = run.parse(["--solver", write_run(tmp_path), "--tf32", "--device", "gpu:0"])
    seen = []

    class Group:
        """A group whose rank 0 has sent a plan."""

        @staticmethod
        def receive_plan():
            return options, None

    def stop(*_):
        seen.append(os.environ[TF32_VARIABLE])
        raise InputError("far enough")
    monkeypatch.setattr(parallel, "Engine", stop)
    before = os.getcwd()
    try:
        with pytest.raises(InputError, match="far enough"):
            parallel.train_as_worker(Group)
    finally:
        os.chdir(before)
    assert seen == ["1"]
