"""Solver prototxts: what is wrong is named with its place, and nothing right is refused."""
import glob
import os

import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.checking.solver_file import load_nets, load_solver

from tiny_nets import NET, write_net, write_solver


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_nets(load_solver(path), path)
    return str(caught.value)


def test_a_sound_solver_passes_and_keeps_its_values(tmp_path):
    path = write_solver(tmp_path)
    solver = load_solver(path)
    train, tests = load_nets(solver, path)
    assert (solver.max_iter, solver.type, tests) == (10, "SGD", [])
    assert [layer.name for layer in train.layer] == ["input", "conv", "relu", "final", "loss"]


def test_the_committed_solvers_pass(repo_root):
    paths = glob.glob(os.path.join(repo_root, "solvers", "*.prototxt"))
    assert paths
    for path in paths:
        load_solver(path)


def test_a_missing_file_names_its_neighbour(tmp_path):
    write_solver(tmp_path)
    message = refusal(str(tmp_path / "solver.prototx"))
    assert "does not exist" in message and '"solver.prototxt"' in message


@pytest.mark.parametrize("content, words", [
    (b"", "is empty"), (b" \n", "is empty"),
    (b"base_lr: 1\n\xff\xfe", "solver.prototxt:2: not text"),
    (b"base_lr: 0.1\nbase_lr: 0.2", 'solver.prototxt:2:10: "base_lr" is given twice'),
    (b"net: \"a", "solver.prototxt:1:6: "),
    (b"net_param { layer { name: \"a\" ", "solver.prototxt:1"),
    (b"max_iter: 99999999999", "solver.prototxt:1:11"),
    (b"# " + b"x" * (3 << 20), "at most")])
def test_what_is_not_a_solver_at_all(tmp_path, content, words):
    path = tmp_path / "solver.prototxt"
    path.write_bytes(content)
    assert words in refusal(str(path))


def test_a_folder_is_not_a_solver(tmp_path):
    assert "is a folder" in refusal(str(tmp_path))


def test_an_unknown_field_is_placed_and_the_near_ones_listed(tmp_path):
    message = refusal(write_solver(tmp_path, "momentun: 0.5"))
    assert 'solver.prototxt:8:1: unknown field "momentun"' in message and '"momentum"' in message


def test_an_unknown_enumeration_value_lists_the_right_ones(tmp_path):
    message = refusal(write_solver(tmp_path, "solver_mode: TPU"))
    assert "solver.prototxt:8:14" in message and "CPU, GPU" in message


@pytest.mark.parametrize("without, added, words", [
    ("net", "", "no net is given"),
    ("", 'train_net: "x"', "net and train_net are both given"),
    ("net", 'net: "nowhere.prototxt"', '"nowhere.prototxt" does not exist'),
    ("net", 'net: "a\\000b"', "does not exist"),
    ("base_lr", "", "base_lr is missing"), ("base_lr", "base_lr: 0", "base_lr is 0;"),
    ("base_lr", "base_lr: -1", "base_lr is -1;"), ("base_lr", "base_lr: nan", "base_lr is nan"),
    ("", "weight_decay: inf", "weight_decay is inf"),
    ("", "weight_decay: -1", "weight_decay is -1;"),
    ("lr_policy", "", 'lr_policy is ""'), ("lr_policy", 'lr_policy: "fix"', '"fixed"'),
    ("lr_policy", 'lr_policy: "step"', "gamma is missing"),
    ("lr_policy", 'lr_policy: "step" gamma: 0.1', "stepsize is missing"),
    ("lr_policy", 'lr_policy: "step" gamma: 0.1 stepsize: 0', "stepsize is 0"),
    ("lr_policy", 'lr_policy: "inv" gamma: 0.1', "power is missing"),
    ("lr_policy", 'lr_policy: "poly"', "power is missing"),
    ("lr_policy", 'lr_policy: "multistep" gamma: 0.1', "stepvalue is missing"),
    ("lr_policy", 'lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 5', "increasing"),
    ("", "iter_size: 0", "iter_size is 0"), ("", "average_loss: 0", "average_loss is 0"),
    ("max_iter", "", "max_iter is missing"), ("max_iter", "max_iter: -1", "max_iter is -1"),
    ("", "display: -1", "display is -1"), ("", "snapshot: -5", "snapshot is -5"),
    ("snapshot_prefix", "snapshot: 5", "snapshot_prefix is missing"),
    ("snapshot_prefix", 'snapshot_prefix: "runs/' + "x" * 201 + '"', "a name of 201 bytes"),
    ("snapshot_prefix", 'snapshot_prefix: "a\\000b"', "without zero bytes"),
    ("type", 'type: "sgd"', '"SGD"'), ("type", 'type: "Adamm"', '"Adam"'),
    ("type", 'type: "AdaGrad"', "momentum is 0.9"), ("type", 'type: "RMSProp"', "momentum is 0.9"),
    ("momentum", "momentum: 1", "momentum is 1;"),
    ("momentum", "momentum: -0.1", "momentum is -0.1"),
    ("", "rms_decay: 1", "rms_decay is 1;"), ("", 'regularization_type: "l2"', '"L2"'),
    ("", "test_interval: 5", "no test_iter"), ("", "test_iter: 5", "test_interval is 0"),
    ("", "test_iter: 0 test_interval: 1", "test_iter is 0"),
    ("", "test_iter: 1 test_interval: 1 test_state {} test_state {}",
     "test_state is given 2 times"),
    ("", "train_state { phase: TEST }", "phase TEST"),
    ("", "solver_type: ADAM", "solver_type (the old field)")])
def test_each_wrong_value_is_named(tmp_path, without, added, words):
    message = refusal(write_solver(tmp_path, added, without=(without,)))
    assert words in message and "solver.prototxt" in message


def test_a_test_net_needs_its_test_iter(tmp_path):
    other = write_net(tmp_path, name="other.prototxt")
    message = refusal(write_solver(tmp_path, f'test_net: "{other}"'))
    assert "test_iter is given 0 times for 1 test nets" in message


def test_test_nets_come_in_caffes_order_and_in_phase_test(tmp_path):
    other = write_net(tmp_path, NET.replace('"tiny"', '"other"'), "other.prototxt")
    path = write_solver(tmp_path,
                        f'test_net: "{other}" test_iter: 1 test_iter: 2 test_interval: 3')
    train, tests = load_nets(load_solver(path), path)
    assert [net.name for net in tests] == ["other", "tiny"]
    assert [net.state.phase for net in [train] + tests] == [0, 1, 1]


def test_the_old_solver_type_becomes_type(tmp_path):
    solver = load_solver(write_solver(tmp_path, "solver_type: NESTEROV", without=("type",)))
    assert solver.type == "Nesterov" and not solver.HasField("solver_type")


def test_net_files_are_found_from_the_repository_too(tmp_path, monkeypatch, repo_root):
    nets = [os.path.relpath(p, repo_root)
            for p in sorted(glob.glob(os.path.join(repo_root, "models", "*", "source.prototxt")))]
    path = write_solver(tmp_path, f'net: "{nets[0]}"', without=("net",))
    monkeypatch.chdir(tmp_path)
    assert load_solver(path).net == nets[0]


def test_reading_changes_no_file(tmp_path):
    path = write_solver(tmp_path, "solver_type: SGD", without=("type",))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    load_nets(load_solver(path), path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
