"""The loop does what Caffe's own solver does with the same prototxt."""
import os
import re
import subprocess
import sys

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.files import ROOT
from tools.lib.training import run
from tools.lib.training.engine import step_seed
from tools.lib.training.solver import learning_rate

from tiny_training import (
    DROPOUT,
    STILL,
    entries,
    finish,
    model,
    net_text,
    start,
    train,
    write_run,
)


def plain_solver(path):
    """A plain pycaffe solver from a solver prototxt, writing no snapshots."""
    param = text_format.Parse(open(path).read(), caffe_pb2.SolverParameter())
    param.ClearField("snapshot")
    aside = f"{path}.plain"
    with open(aside, "w") as file:
        file.write(text_format.MessageToString(param))
    return caffe.get_solver(aside)


@pytest.mark.parametrize("kind, momentum", [("SGD", 0.9), ("Nesterov", 0.9), ("AdaGrad", 0),
                                            ("RMSProp", 0), ("AdaDelta", 0.9), ("Adam", 0.9)])
def test_weights_are_those_of_caffes_own_solver_and_survive_a_resume(tmp_path, kind, momentum):
    solver = write_run(tmp_path, STILL, type=f'"{kind}"', momentum=momentum, snapshot=5,
                       max_iter=9)
    train(solver, tmp_path / "whole")
    train(solver, tmp_path / "halves", "--max-iter", 5)
    train(solver, tmp_path / "halves", "--max-iter", 9, "--resume")
    plain = plain_solver(tmp_path / "whole" / "solver.prototxt")
    plain.step(9)
    plain.net.save(str(tmp_path / "plain.caffemodel"))
    expected = (tmp_path / "plain.caffemodel").read_bytes()
    assert model(tmp_path / "whole", 9) == expected
    assert model(tmp_path / "halves", 9) == expected


@pytest.mark.parametrize("policy", [
    'lr_policy: "fixed"',
    'lr_policy: "step" gamma: 0.5 stepsize: 3',
    'lr_policy: "exp" gamma: 0.9',
    'lr_policy: "inv" gamma: 0.1 power: 0.75',
    'lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 5',
    'lr_policy: "poly" power: 0.9',
    'lr_policy: "sigmoid" gamma: 0.5 stepsize: 4',
])
def test_logged_rate_is_the_one_caffe_applies_for_every_policy(tmp_path, policy):
    solver = write_run(tmp_path, STILL, policy, lr_policy=None, gamma=None, stepsize=None)
    plain = plain_solver(solver)
    param = text_format.Parse(open(solver).read(), caffe_pb2.SolverParameter())
    for iteration in range(8):
        assert learning_rate(param, iteration) == pytest.approx(plain.lr, rel=1e-6)
        plain.step(1)


def test_log_has_the_numbers_that_stock_caffe_prints(tmp_path):
    solver = write_run(tmp_path, STILL, "test_iter: 2 test_interval: 3 test_compute_loss: true",
                       display=2, average_loss=3, max_iter=6)
    train(solver, tmp_path / "out")
    command = [sys.executable, os.path.join(ROOT, "tools/caffe"), "train", "--solver",
               str(tmp_path / "out" / "solver.prototxt")]
    printed = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True,
                             env=dict(os.environ, GLOG_minloglevel="0"))
    assert printed.returncode == 0, printed.stdout
    losses = re.findall(r"Iteration (\d+) \(.*loss = (\S+)", printed.stdout)
    losses += re.findall(r"Iteration (\d+), loss = (\S+)", printed.stdout)
    ours = [(str(entry["iteration"]), entry["values"]["loss"])
            for entry in entries(tmp_path / "out", "train")]
    assert [iteration for iteration, _ in losses] == ["0", "2", "4", "6"]
    assert [iteration for iteration, _ in ours] == ["0", "2", "4", "6"]
    np.testing.assert_allclose([float(value) for _, value in losses], [value for _, value in ours],
                               rtol=1e-5)
    tests = re.findall(r"Test loss: (\S+)", printed.stdout)
    np.testing.assert_allclose(
        [float(value) for value in tests],
        [entry["values"]["loss"] for entry in entries(tmp_path / "out", "test")], rtol=1e-5)
    assert len(tests) == 3


def test_debug_info_prints_caffes_magnitudes_at_each_display(tmp_path):
    solver = write_run(tmp_path, STILL, "debug_info: true", display=2, max_iter=4, iter_size=1)
    assert finish(start(solver, tmp_path / "out")) == 0
    printed = (tmp_path / "out.txt").read_text()
    assert len(re.findall(r"\[Forward\] Layer final, top blob final data: \S+", printed)) == 2
    assert len(re.findall(r"\[Backward\] Layer final, param blob 0 diff: \S+", printed)) == 2
    assert "Creating Layer" not in printed
    quiet = write_run(tmp_path, STILL, display=2, max_iter=4, iter_size=1)
    assert finish(start(quiet, tmp_path / "quiet")) == 0
    assert "[Forward]" not in (tmp_path / "quiet.txt").read_text()


def test_debug_info_that_cannot_be_shown_is_warned_about(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(run, "enable_logging", lambda: False)
    solver = write_run(tmp_path, STILL, "debug_info: true", max_iter=1)
    train(solver, tmp_path / "out")
    assert "debug_info prints nothing" in capfd.readouterr().err


def test_test_nets_each_run_their_own_count_of_consecutive_batches(tmp_path):
    solver = write_run(tmp_path, net_text(), "test_iter: 2 test_iter: 3 test_interval: 4 "
                                             "test_initialization: false")
    train(solver, tmp_path / "out")
    found = [(entry["iteration"], entry["net"]) for entry in entries(tmp_path / "out", "test")]
    assert found == [(4, 0), (4, 1), (8, 0), (8, 1)]
    # the second test net's first test: batches 0, 1, 2 with the weights of iteration 4
    net = caffe.Net(str(tmp_path / "out" / "net.prototxt"), caffe.TEST,
                    weights=str(tmp_path / "out" / "tiny_iter_4.caffemodel"))
    losses = [float(net.forward()["seg_loss"]) for _ in range(3)]
    logged = entries(tmp_path / "out", "test")[1]["values"]["seg_loss"]
    assert logged == pytest.approx(np.mean(losses), rel=1e-6)
    # and its second test goes on with batch 3, as Caffe's would
    net.copy_from(str(tmp_path / "out" / "tiny_iter_8.caffemodel"))
    losses = [float(net.forward()["seg_loss"]) for _ in range(3)]
    logged = entries(tmp_path / "out", "test")[3]["values"]["seg_loss"]
    assert logged == pytest.approx(np.mean(losses), rel=1e-6)


def test_no_snapshot_after_train_when_the_solver_says_so(tmp_path):
    solver = write_run(tmp_path, max_iter=3, snapshot=2, extra="snapshot_after_train: false")
    train(solver, tmp_path / "out")
    assert not (tmp_path / "out" / "tiny_iter_3.caffemodel").exists()
    assert (tmp_path / "out" / "tiny_iter_2.caffemodel").exists()


def test_train_net_with_test_nets_of_their_own(tmp_path):
    solver = write_run(tmp_path, max_iter=2)
    text = open(solver).read().replace("net:", "train_net:")
    other = tmp_path / "other.prototxt"
    other.write_text(net_text(dropout=""))
    open(solver, "w").write(f'{text}test_net: "{other}" test_iter: 1 test_interval: 1\n')
    train(solver, tmp_path / "out")
    assert len(entries(tmp_path / "out", "test")) == 3
    resolved = (tmp_path / "out" / "solver.prototxt").read_text()
    assert "train_net.prototxt" in resolved and "test_net_0.prototxt" in resolved


def test_logged_outputs_are_means_over_the_passes_of_an_iteration(tmp_path):
    solver = write_run(tmp_path, net_text(dropout=""), max_iter=1, iter_size=3)
    train(solver, tmp_path / "out")
    plain = plain_solver(tmp_path / "out" / "solver.prototxt")
    losses = [float(plain.net.forward()["seg_loss"]) for _ in range(3)]
    assert len(set(losses)) == 3
    logged = entries(tmp_path / "out", "train")[0]["values"]["seg_loss"]
    assert logged == pytest.approx(np.mean(losses), rel=1e-6)


def test_every_pass_draws_a_dropout_mask_of_its_own(tmp_path):
    net = STILL.replace('layer { name: "final"',
                        DROPOUT + 'layer { name: "final"').replace("std: 0.001", "std: 1")
    train(write_run(tmp_path, net, base_lr=1e-30, lr_policy='"fixed"', iter_size=1),
          tmp_path / "single")
    train(write_run(tmp_path, net, base_lr=1e-30, lr_policy='"fixed"', iter_size=2, max_iter=4),
          tmp_path / "double")
    single, double = ([entry["values"]["seg_loss"] for entry in entries(tmp_path / folder, "train")]
                      for folder in ("single", "double"))
    assert len(set(single)) == len(single)
    # two passes of one iteration are the two passes of two iterations
    np.testing.assert_allclose(double[:4], np.reshape(single[:8], (4, 2)).mean(axis=1), rtol=1e-6)


def test_seeds_of_neighbouring_runs_and_iterations_are_unrelated():
    seeds = {step_seed(seed, iteration) for seed in range(30) for iteration in range(30)}
    assert len(seeds) == 900
    assert step_seed(1, 2) != step_seed(2, 1)
