"""The record, log and plot that a run writes, and the files that it refuses to write over."""
import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("caffe")

from data import progress, reading
from data.errors import InputError
from data.files import ROOT
from tools.lib.training import run
from tools.lib.training.log import Log, plot_log, read_log
from tools.lib.training.record import read_record
from tools.lib.training.run import parse
from tools.lib.training.snapshots import Snapshots

from data_files import random_image, write_folder_set, write_image
from tiny_training import STILL, TOY, entries, net_text, train, write_run


def read(path):
    return json.loads(path.read_text())


def contents(folder):
    """{name: bytes} of a run's files, but for the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def test_record_has_command_solver_seed_versions_commit_and_data(tmp_path):
    solver = write_run(tmp_path, TOY, max_iter=1)
    train(solver, tmp_path / "out", "--seed", 7)
    record = read(tmp_path / "out" / "record.json")
    assert record["seed"] == 7 and record["solver"]["text"] == open(solver).read()
    assert {"caffe", "python", "numpy", "protobuf", "blas_kernel",
            "blas_threads"} <= set(record["versions"])
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    if head.returncode:     # no clone, or one of another user
        assert record["git"] is None
    else:
        assert record["git"]["commit"] == head.stdout.strip()
        assert record["git"]["dirty"] in (True, False)
    assert record["data"]["data.source"]["frames"] == 5
    assert record["data"]["data.target"]["frames"] == 7
    assert record["resumed"] == []


def test_each_resume_is_recorded(tmp_path):
    solver = write_run(tmp_path)
    train(solver, tmp_path / "out", "--max-iter", 2)
    train(solver, tmp_path / "out", "--max-iter", 4, "--resume")
    resumed = read(tmp_path / "out" / "record.json")["resumed"]
    assert [resume["iteration"] for resume in resumed] == [2]


def test_seed_is_written_into_the_data_layers_and_the_solver(tmp_path):
    train(write_run(tmp_path, TOY, max_iter=1), tmp_path / "out", "--seed", 7)
    assert "random_seed: 7" in (tmp_path / "out" / "solver.prototxt").read_text()
    assert '\\"seed\\": 7' in (tmp_path / "out" / "net.prototxt").read_text()


def test_default_seed_is_the_solvers_or_1(tmp_path):
    train(write_run(tmp_path, STILL, max_iter=1), tmp_path / "a")
    train(write_run(tmp_path, STILL, max_iter=1, random_seed=None), tmp_path / "b")
    assert read(tmp_path / "a" / "record.json")["seed"] == 5
    assert read(tmp_path / "b" / "record.json")["seed"] == 1


def test_folder_with_snapshots_is_not_written_over(tmp_path):
    solver = write_run(tmp_path, max_iter=2)
    train(solver, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match="holds the snapshots of an earlier run.*\n.*--resume"):
        train(solver, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.fixture(scope="module")
def names_of_a_run(tmp_path_factory):
    """(solver, names of all files that a run writes)."""
    folder = tmp_path_factory.mktemp("names")
    solver, seen, save = write_run(folder, max_iter=2), set(), Snapshots.save

    def listing_save(self, engine):
        seen.update(os.listdir(self.folder))        # during a run there is `partial` too
        return save(self, engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshots, "save", listing_save)
        train(solver, folder / "out")
    return solver, seen | set(os.listdir(str(folder / "out")))


def test_no_file_of_the_users_own_is_written_over(names_of_a_run, tmp_path):
    solver, names = names_of_a_run
    assert {"lock", "partial", "record.json", "plot.png", "log.jsonl",
            "tiny_iter_2.caffemodel"} <= names
    for name in sorted(names):
        (tmp_path / name).write_text("mine")
        for resume in ((), ("--resume",)):
            with pytest.raises(InputError, match=name):
                train(solver, tmp_path, *resume)
        assert (tmp_path / name).read_text() == "mine"
        for path in tmp_path.iterdir():
            path.unlink()


def test_other_files_of_the_users_stay_beside_the_run(tmp_path):
    solver = write_run(tmp_path, STILL, max_iter=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert train(solver, tmp_path / "out") == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_a_run_that_was_killed_before_its_first_snapshot_may_start_again(tmp_path):
    solver = write_run(tmp_path, STILL, max_iter=1, snapshot_after_train="false")
    train(solver, tmp_path / "out")
    assert train(solver, tmp_path / "out") == 0


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    solver = write_run(tmp_path, STILL, max_iter=1)
    for output in ("/proc/none/out", solver):
        with pytest.raises(InputError, match=f"--output {output} cannot be written"):
            train(solver, output)


@pytest.mark.parametrize("versions", [3, "1.0.0", ["caffe"], {"tf32": 1}, {"tf32": "no"}])
def test_a_record_with_versions_of_another_type_is_damaged(tmp_path, versions):
    train(write_run(tmp_path), tmp_path / "out", "--max-iter", 1)
    record = read(tmp_path / "out" / "record.json")
    assert read_record(str(tmp_path / "out")) == record
    (tmp_path / "out" / "record.json").write_text(json.dumps(dict(record, versions=versions)))
    with pytest.raises(InputError, match="record.json is not the record of a run.*versions"):
        read_record(str(tmp_path / "out"))


def test_damaged_record_is_an_error_on_resume(tmp_path):
    solver = write_run(tmp_path, max_iter=2)
    train(solver, tmp_path / "out")
    (tmp_path / "out" / "record.json").write_text('{"seed"')
    with pytest.raises(InputError, match="record.json is not the record of a run"):
        train(solver, tmp_path / "out", "--resume")


def test_wrong_net_leaves_no_output_folder(tmp_path):
    net = net_text().replace('bottom: "final"', 'bottom: "fnal"')
    with pytest.raises(InputError, match='"fnal"'):
        train(write_run(tmp_path, net), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def read_from_disk(tmp_path, monkeypatch):
    """(net, opened): a net like TOY with its data on disk, and the files that were looked at.

    opened() returns the files whose header was read by this process and its forks, in order.
    """
    write_folder_set(str(tmp_path / "sets" / "mine"), count=5, classes=8)
    log = tmp_path / "opened.txt"
    log.write_text("")

    def logged(plain):
        def size(path):
            with open(str(log), "a") as file:
                file.write(path + "\n")
            return plain(path)
        return size

    for name in ("image_size", "label_size"):
        monkeypatch.setattr(reading, name, logged(getattr(reading, name)))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "sets"))
    net = TOY.replace('"dataset": "toy"', '"dataset": "folder:path=mine"')
    for split in ("source_train[:5]", "target_train[:7]"):
        net = net.replace(split, "train")
    return net, lambda: log.read_text().split()


def test_each_file_is_looked_at_once_and_before_the_dry_run(tmp_path, read_from_disk,
                                                            monkeypatch):
    net, opened = read_from_disk
    before = []

    def dry_run_solver(*arguments, plain=run.dry_run_solver):
        before.extend(opened())
        return plain(*arguments)

    monkeypatch.setattr(run, "dry_run_solver", dry_run_solver)
    # the test net reads the same frames
    solver = write_run(tmp_path, net, "test_iter: 1 test_interval: 1", max_iter=1)
    train(solver, tmp_path / "out")
    assert len(before) == len(set(before)) == 10 and opened() == before
    train(solver, tmp_path / "again")
    assert len(opened()) == 20, "another run in this process looks again"


def test_a_bad_file_is_named_with_layer_and_line_before_anything_is_written(
        tmp_path, read_from_disk):
    net, opened = read_from_disk
    write_image(str(tmp_path / "sets" / "mine" / "labels" / "2.png"),
                random_image(0, 12, 15)[:, :, 0])
    message = 'tiny.prototxt: layer "data": .*train_images.txt:3: .*12 x 16.*12 x 15'
    with pytest.raises(InputError, match=message):
        train(write_run(tmp_path, net), tmp_path / "out")
    assert not (tmp_path / "out").exists() and len(set(opened())) == 6


def test_a_data_layer_whose_frames_cannot_even_be_listed_is_refused_by_name(tmp_path):
    net = TOY.replace('"dataset": "toy"', '"dataset": "folder", "options": {"path": 5}')
    message = 'tiny.prototxt: layer "data": data set folder: option path is 5'
    with pytest.raises(InputError, match=message):
        train(write_run(tmp_path, net), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_frame_that_passed_as_a_target_has_not_passed_as_a_source(tmp_path, read_from_disk):
    """The test net's source is the training's target, which has no labels."""
    test_net, _ = read_from_disk
    os.remove(str(tmp_path / "sets" / "mine" / "train_labels.txt"))
    (tmp_path / "test.prototxt").write_text(test_net)
    net = TOY.replace('"dataset": "toy", "split": "target_train[:7]"',
                      '"dataset": "folder:path=mine", "split": "train"')
    assert "mine" in net
    tests = f'test_net: "{tmp_path / "test.prototxt"}" test_iter: 1 test_interval: 2'
    solver = write_run(tmp_path, net, tests)
    with pytest.raises(InputError, match="images/0 has no label"):
        train(solver, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_net_built_without_the_tool_looks_at_its_files(tmp_path, read_from_disk):
    net, opened = read_from_disk
    train(write_run(tmp_path, net, max_iter=1), tmp_path / "out")
    checked = opened()
    script = f"import caffe; caffe.Net({str(tmp_path / 'net.prototxt')!r}, caffe.TRAIN)"
    os.remove(str(tmp_path / "sets" / "mine" / "labels" / "4.png"))
    built = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE,
                           text=True)
    assert built.returncode != 0 and "labels/4.png: no such file" in built.stderr
    assert opened() == checked


def test_gpu_that_is_not_there_leaves_no_output_folder(tmp_path):
    with pytest.raises(InputError, match="--device gpu:63"):
        train(write_run(tmp_path), tmp_path / "out", "--device", "gpu:63")
    assert not (tmp_path / "out").exists()


def test_plot_is_a_picture_and_progress_and_log_have_the_losses(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)     # a line for every change
    train(write_run(tmp_path), tmp_path / "out")
    assert (tmp_path / "out" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "seg 0.6" in capfd.readouterr().err
    assert len(entries(tmp_path / "out", "train")) == 9


def test_picture_that_cannot_be_drawn_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no font")
    monkeypatch.setattr("tools.lib.training.log.plot_log", fail)
    assert train(write_run(tmp_path, max_iter=1), tmp_path / "out") == 0
    assert "no font" in caplog.text


def test_plot_draws_adversarial_and_mil_curves(tmp_path):
    values = dict(loss=1.0, seg_loss=1.0, domain_loss=0.7, domain_loss_inverse=0.7,
                  domain_accuracy_source=0.5, domain_accuracy_target=0.5, mil_loss=0.1,
                  mil_present=5.0, mil_active=2.0, mil_relaxed=0.0)
    log = [dict(kind="train", iteration=k, values=values) for k in range(3)]
    plot_log(log, str(tmp_path / "all.png"), "all")
    plot_log([dict(entry, values={"loss": 1.0}) for entry in log], str(tmp_path / "one.png"), "one")
    assert (tmp_path / "all.png").stat().st_size > (tmp_path / "one.png").stat().st_size
    plot_log([], str(tmp_path / "none.png"), "none")
    assert not (tmp_path / "none.png").exists()


def test_log_drops_the_line_that_a_kill_cut_off_and_lines_that_will_come_again(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "train", "iteration": 1, "values": {}}\n'
                    '{"kind": "snapshot", "iteration": 2}\n'
                    '{"kind": "train", "iteration": 2, "values": {}}\n'
                    '{"kind": "tra')
    Log(str(path), 2)
    kept = [(entry["kind"], entry["iteration"]) for entry in read_log(str(path))]
    assert kept == [("train", 1), ("snapshot", 2)]


@pytest.mark.parametrize("arguments", [
    ["--seed", "-1"], ["--seed", "x"], ["--max-iter", "0"], ["--device", "tpu"],
    ["--device", "gpu:x"], ["--keep-snapshots", "-2"], ["--colour", "red"]])
def test_wrong_option_is_refused_by_name_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--solver", "x"] + arguments)
    assert stop.value.code == 2 and arguments[0] in capsys.readouterr().err


def test_resume_recalls_the_data_root(tmp_path, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    solver = write_run(tmp_path)
    train(solver, tmp_path / "out", "--data-root", tmp_path, "--max-iter", 2)
    os.environ.pop("DATA_ROOT")
    train(solver, tmp_path / "out", "--resume")
    assert os.environ.pop("DATA_ROOT") == str(tmp_path)


def test_net_written_inside_the_solver_trains_with_its_seed(tmp_path):
    solver = write_run(tmp_path, max_iter=1)
    text = "".join(line for line in open(solver).readlines() if not line.startswith("net:"))
    open(solver, "w").write(f"{text}net_param {{ {net_text()} }}")
    train(solver, tmp_path / "out")
    assert '\\"seed\\": 5' in (tmp_path / "out" / "solver.prototxt").read_text()


def test_data_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="--data-root"):
        train(write_run(tmp_path), tmp_path / "out", "--data-root", tmp_path / "nothing")


@pytest.mark.parametrize("lost", [["net.prototxt"], ["net.prototxt", "solver.prototxt"]])
def test_run_killed_while_its_first_files_were_written_can_start_again(tmp_path, lost):
    solver = write_run(tmp_path, max_iter=1)
    train(solver, tmp_path / "out")
    for name in lost + ["snapshots.json"]:
        (tmp_path / "out" / name).unlink()
    train(solver, tmp_path / "out", "--resume")
    assert (tmp_path / "out" / "net.prototxt").exists()


def test_net_file_that_is_gone_under_snapshots_is_a_difference(tmp_path):
    solver = write_run(tmp_path, max_iter=1)
    train(solver, tmp_path / "out")
    (tmp_path / "out" / "net.prototxt").unlink()
    with pytest.raises(InputError, match="net.prototxt: not there before"):
        train(solver, tmp_path / "out", "--resume")
