"""Initial weights: which files are loaded, which layers they fill, and which stop the run."""
import glob
import json
import os
import shutil
import tempfile

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.training.weights import making_commands

from tiny_training import net_text, train, write_run

MADE_BY = "# initial weights, made by: python3 tools/train.py --solver before.prototxt\n"


@pytest.fixture
def source(tmp_path):
    """A caffemodel of the tiny net."""
    solver = write_run(tmp_path / "source", max_iter=2)
    train(solver, tmp_path / "source" / "out")
    return tmp_path / "source" / "out" / "tiny_iter_2.caffemodel"


def test_solver_field_is_loaded_and_recorded_with_its_command(tmp_path, source, capfd):
    lines = f'{MADE_BY}weights: "{source}"'
    train(write_run(tmp_path, extra=lines, max_iter=1), tmp_path / "out")
    assert "loaded: conv, final" in capfd.readouterr().err
    record = json.loads((tmp_path / "out" / "record.json").read_text())["initial_weights"]
    assert record[0]["made_by"] == "python3 tools/train.py --solver before.prototxt"
    assert record[0]["loaded"] == ["conv", "final"] and len(record[0]["sha256"]) == 64


def test_training_starts_from_the_loaded_values(tmp_path, source):
    solver = write_run(tmp_path, max_iter=1, base_lr=1e-30, lr_policy='"fixed"',
                       extra=f'weights: "{source}"')
    train(solver, tmp_path / "out")
    nets = [caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST, weights=str(path))
            for path in (source, tmp_path / "out" / "tiny_iter_1.caffemodel")]
    for name in ("conv", "final"):
        np.testing.assert_array_equal(nets[0].params[name][0].data, nets[1].params[name][0].data)


def test_option_overrides_the_solver_and_takes_lists_and_repeats(tmp_path, source):
    solver = write_run(tmp_path, extra='weights: "nowhere.caffemodel"', max_iter=1)
    train(solver, tmp_path / "out", "--weights", f"{source},{source}", "--weights", source)
    assert len(json.loads((tmp_path / "out" / "record.json").read_text())["initial_weights"]) == 3


def test_comma_in_the_solvers_field_is_a_list_as_in_caffe(tmp_path, source):
    train(write_run(tmp_path, extra=f'weights: "{source},{source}"', max_iter=1),
          tmp_path / "out")
    assert len(json.loads((tmp_path / "out" / "record.json").read_text())["initial_weights"]) == 2


def test_resume_from_another_folder_recalls_weights_inside_the_repository(
        tmp_path, source, repo_root, monkeypatch):
    inside = tempfile.mkdtemp(dir=repo_root, prefix=".test-weights-")
    try:
        path = shutil.copy(source, inside)
        solver = write_run(tmp_path, max_iter=4)
        train(solver, tmp_path / "out", "--weights", path, "--max-iter", 2)
        monkeypatch.chdir(tmp_path)
        train(solver, tmp_path / "out", "--resume", "--max-iter", 4)
    finally:
        shutil.rmtree(inside)
    assert (tmp_path / "out" / "tiny_iter_4.caffemodel").exists()


def test_missing_weights_name_the_command_that_makes_them_and_leave_no_folder(tmp_path):
    lines = f'{MADE_BY}weights: "nowhere.caffemodel"'
    with pytest.raises(InputError) as refusal:
        train(write_run(tmp_path, extra=lines), tmp_path / "out")
    assert "nowhere.caffemodel do not exist" in str(refusal.value)
    assert "Make them with: python3 tools/train.py --solver before.prototxt" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_missing_weights_point_to_another_snapshot_of_the_same_run(tmp_path, source):
    with pytest.raises(InputError, match="tiny_iter_2.caffemodel does: --weights"):
        train(write_run(tmp_path), tmp_path / "out", "--weights",
              source.parent / "tiny_iter_9.caffemodel")


@pytest.mark.parametrize("odd", ["solver", "output", "weights"])
def test_a_path_that_is_not_utf_8_is_refused_before_anything_is_written(tmp_path, odd):
    folder = tmp_path / "caf\udce9"             # "café" in Latin-1
    solver = write_run(tmp_path, net_text())
    if odd == "solver":
        folder.mkdir()
        solver = shutil.copy(solver, folder)
    options = ["--weights", folder / "x.caffemodel"] if odd == "weights" else []
    output = (folder if odd == "output" else tmp_path) / "out"
    with pytest.raises(InputError, match="udce9.*: the path is not UTF-8, and Caffe"):
        train(solver, output, *options)
    assert not output.exists()


def test_hdf5_weights_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(InputError, match="HDF5 are not supported"):
        train(write_run(tmp_path), tmp_path / "out", "--weights", tmp_path / "x.caffemodel.h5")


def test_hdf5_snapshots_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(InputError, match="snapshot_format: HDF5"):
        train(write_run(tmp_path, extra="snapshot_format: HDF5"), tmp_path / "out")


def test_other_shape_is_an_error_that_names_the_layer_and_both_shapes(tmp_path, source):
    net = net_text().replace("num_output: 2", "num_output: 3")
    message = 'layer "final", weights: 3 x 8 x 1 x 1 in the net, 2 x 8 x 1 x 1'
    with pytest.raises(InputError, match=message):
        train(write_run(tmp_path, net), tmp_path / "out", "--weights", source)


def test_file_without_a_layer_of_the_net_stops(tmp_path, source):
    net = net_text().replace('name: "conv"', 'name: "other"')
    net = net.replace('name: "final"', 'name: "last"')
    with pytest.raises(InputError, match="has no layer of this net"):
        train(write_run(tmp_path, net), tmp_path / "out", "--weights", source)


def test_layers_left_at_their_initial_values_are_listed(tmp_path, source, capfd):
    net = net_text().replace('name: "final"', 'name: "last"')
    train(write_run(tmp_path, net, max_iter=1), tmp_path / "out", "--weights", source)
    printed = capfd.readouterr().err
    assert "left at initial values: last" in printed
    assert "in the file but not in the net: final" in printed


def test_weights_with_nan_stop_before_training(tmp_path, source):
    net = caffe.Net(str(tmp_path / "source" / "net.prototxt"), caffe.TEST, weights=str(source))
    net.params["conv"][0].data[0, 0, 0, 0] = np.nan
    net.save(str(tmp_path / "bad.caffemodel"))
    with pytest.raises(InputError, match="not finite"):
        train(write_run(tmp_path), tmp_path / "out", "--weights", tmp_path / "bad.caffemodel")


def test_resume_needs_the_initial_weights_no_more(tmp_path, source):
    solver = write_run(tmp_path, max_iter=4)
    train(solver, tmp_path / "out", "--weights", source, "--max-iter", 2)
    os.unlink(source)
    train(solver, tmp_path / "out", "--resume", "--max-iter", 4)
    assert (tmp_path / "out" / "tiny_iter_4.caffemodel").exists()


def test_every_committed_solver_that_starts_from_weights_names_their_command(repo_root):
    solvers = glob.glob(os.path.join(repo_root, "solvers", "*.prototxt"))
    starting = [path for path in solvers if "\nweights:" in open(path).read()]
    assert starting
    for path in starting:
        assert making_commands(path), path
