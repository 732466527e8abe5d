"""Further updates of the domain classifier: against numpy, over a resume, and what they refuse."""
import os
import shutil

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")
from caffe.proto import caffe_pb2  # noqa: E402
from google.protobuf import text_format  # noqa: E402

from data.errors import InputError  # noqa: E402
from tools.lib.training import classifier_steps  # noqa: E402
from tools.lib.training.snapshots import describe_file, read_manifest  # noqa: E402
from tools.lib.training.solver import learning_rate  # noqa: E402

import tiny_training as tiny  # noqa: E402

#: Behind the tiny net's features (4 images, the first 2 of them source): %(gated)s is the blob that
#: the classifier reads.
CLASSIFIER = """layer { name: "gate" type: "Python" bottom: "conv" top: "gated" top: "link"
        python_param { module: "layers.domain_gate" layer: "DomainGate" } }
%(norm)slayer { name: "fc1" type: "Convolution" bottom: "%(gated)s" top: "fc1"
        param { lr_mult: 3 } param { lr_mult: 6 decay_mult: 0 }
        convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
%(drop)slayer { name: "domain_score" type: "Convolution" bottom: "fc1" top: "domain_score"
        param { lr_mult: 3 } param { lr_mult: 6 decay_mult: 0 }
        convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "domain_loss" type: "Python" bottom: "domain_score" bottom: "link"
        top: "domain_loss" top: "inverse" top: "source" top: "target"
        loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0
        python_param { module: "layers.domain_adversarial_loss" layer: "DomainAdversarialLoss"
        param_str: '{"weight": 0.5, "source_images": 2, "classifier_steps": %(steps)d}' } }
"""
NORM = """layer { name: "norm" type: "Python" bottom: "gated" top: "normed"
        python_param { module: "layers.rms_norm" layer: "RMSNorm" } }
"""
DROP = """layer { name: "drop1" type: "Dropout" bottom: "fc1" top: "fc1" }
"""


def net_text(steps=4, normalised=False, dropout=True):
    return tiny.net_text(dropout="") + CLASSIFIER % dict(
        steps=steps, norm=NORM if normalised else "", drop=DROP if dropout else "",
        gated="normed" if normalised else "gated")


def write_run(folder, net=None, **fields):
    return tiny.write_run(folder, net if net is not None else net_text(), **fields)


class Classifier:
    """fc1, ReLU, domain_score and L_D in float64: weights {name: [kernel, bias]}."""

    def __init__(self, net, normalised):
        self.w = {name: [np.squeeze(blob.data.astype(float)) for blob in net.params[name]]
                  for name in ("fc1", "domain_score")}
        self.normalised = normalised

    def gradient(self, features):
        """(L_D, its gradient) on features (4, C, h, w)."""
        units = features.astype(float).transpose(0, 2, 3, 1).reshape(-1, features.shape[1])
        if self.normalised:
            units /= np.sqrt(1e-3 + (units ** 2).mean(axis=1, keepdims=True))
        hidden = np.maximum(units @ self.w["fc1"][0].T + self.w["fc1"][1], 0)
        score = hidden @ self.w["domain_score"][0].T + self.w["domain_score"][1]
        is_source = np.arange(len(units)) < len(units) // 2
        p = 1 / (1 + np.exp(score[:, 0] - score[:, 1]))
        slope = (p - is_source) / len(units)
        outer = np.stack([-slope, slope], axis=1)
        inner = (outer @ self.w["domain_score"][0]) * (hidden > 0)
        loss = -np.log(np.where(is_source, p, 1 - p)).mean()
        return loss, {"domain_score": [outer.T @ hidden, outer.sum(axis=0)],
                      "fc1": [inner.T @ units, inner.sum(axis=0)]}

    def put(self, net):
        for name, arrays in self.w.items():
            for blob, array in zip(net.params[name], arrays):
                blob.data[...] = array.reshape(blob.data.shape)


def trained_by_hand(solver_path, steps, normalised):
    """The tiny run by stock Caffe's solver, with the further steps in numpy.

    Returns (net, [L_D in the last step of each iteration]).
    """
    param = text_format.Parse(open(solver_path).read(), caffe_pb2.SolverParameter())
    param.snapshot = 0
    param.snapshot_after_train = False
    plain_path = f"{solver_path}.plain"
    with open(plain_path, "w") as file:
        file.write(text_format.MessageToString(param))
    plain = caffe.get_solver(plain_path)
    net, last, kept = plain.net, len(plain.net.layers) - 1, []
    bottom = net.bottom_names["gate"][0]
    net.after_forward(
        lambda layer: kept.append(net.blobs[bottom].data.copy()) if layer == last else None)
    first, second, losses, count = {}, {}, [], 0
    for iteration in range(param.max_iter):
        del kept[:]
        plain.step(1)
        for step in range(steps - 1):
            classifier = Classifier(net, normalised)
            passes = [classifier.gradient(features) for features in kept]
            loss = np.mean([value for value, _ in passes])
            rate = learning_rate(param, iteration + step / (steps - 1))
            count += 1
            for name, arrays in classifier.w.items():
                for number, array in enumerate(arrays):
                    key, local = (name, number), rate * (3, 6)[number]
                    slope = np.mean([found[name][number] for _, found in passes], axis=0)
                    slope = slope + param.weight_decay * (1, 0)[number] * array
                    if param.type == "SGD":
                        first[key] = param.momentum * first.get(key, 0) + local * slope
                        array -= first[key]
                        continue
                    beta, gamma = param.momentum, param.momentum2
                    first[key] = beta * first.get(key, 0) + (1 - beta) * slope
                    second[key] = gamma * second.get(key, 0) + (1 - gamma) * slope ** 2
                    correction = np.sqrt(1 - gamma ** count) / (1 - beta ** count)
                    array -= local * correction * first[key] / (np.sqrt(second[key]) + param.delta)
            classifier.put(net)
        losses.append(loss)
    return net, losses


@pytest.mark.parametrize("kind, passes, normalised", [
    ("SGD", 1, False), ("SGD", 2, True), ("Adam", 2, False)])
def test_further_steps_are_those_of_the_solvers_rule_on_the_same_features(tmp_path, kind, passes,
                                                                          normalised):
    solver = write_run(tmp_path, net_text(4, normalised, dropout=False), type=f'"{kind}"',
                       iter_size=passes, max_iter=4, lr_policy='"poly"', gamma=None, stepsize=None,
                       power=0.9, snapshot=4)
    assert tiny.train(solver, tmp_path / "out") == 0
    net, losses = trained_by_hand(tmp_path / "out" / "solver.prototxt", 4, normalised)
    found = tiny.parameters(tmp_path / "out" / "tiny_iter_4.caffemodel")
    start = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    for (name, number), values in found.items():
        expected = net.params[name][number].data.ravel()
        assert np.linalg.norm(values - expected) <= 1e-4 * np.linalg.norm(expected) + 1e-6, name
        assert not np.allclose(values, start.params[name][number].data.ravel())
    logged = [entry["values"] for entry in tiny.entries(tmp_path / "out", "train")]
    assert [values["classifier_loss"] for values in logged[:4]] == pytest.approx(losses, rel=1e-4)
    assert logged[0]["classifier_loss"] < logged[0]["domain_loss"]


def test_one_step_is_stock_caffes_training(tmp_path):
    for steps in (None, 1):
        text = net_text(1)
        if steps is None:
            text = text.replace(', "classifier_steps": 1', "")
        train(tmp_path / str(steps), text)
    one = tmp_path / "1" / "out"
    # the model files differ in the text of the net that they hold
    found, expected = (tiny.parameters(folder / "tiny_iter_8.caffemodel")
                       for folder in (one, tmp_path / "None" / "out"))
    assert found.keys() == expected.keys()
    assert all((found[key] == expected[key]).all() for key in expected)
    assert not list(one.glob("*.classifierstate"))
    assert "classifier_loss" not in tiny.entries(one, "train")[0]["values"]


def train(folder, net=None, *options, **fields):
    """Trains the tiny net in `folder`; returns the output folder."""
    assert tiny.train(write_run(folder, net, **fields), folder / "out", *options) == 0
    return folder / "out"


def state_bytes(output, iteration):
    return (output / f"tiny_iter_{iteration}.classifierstate").read_bytes()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdaDelta"])
def test_a_resumed_run_ends_with_the_same_bytes(tmp_path, kind):
    fields = dict(type=f'"{kind}"')
    whole = train(tmp_path / "whole", **fields)
    train(tmp_path / "parts", None, "--max-iter", 3, **fields)
    parts = train(tmp_path / "parts", None, "--max-iter", 8, "--resume", **fields)
    assert tiny.model(parts, 8) == tiny.model(whole, 8)
    assert state_bytes(parts, 8) == state_bytes(whole, 8)
    for mine, other in zip(tiny.entries(parts, "train"), tiny.entries(whole, "train")):
        assert mine["values"] == other["values"]


def test_the_history_belongs_to_the_snapshot(tmp_path):
    whole = train(tmp_path / "whole")
    parts = train(tmp_path / "parts", None, "--max-iter", 4)
    # a history of zeros in its place, listed as it is
    path = parts / "tiny_iter_4.classifierstate"
    state = caffe_pb2.SolverState.FromString(path.read_bytes())
    assert state.iter == 4 * 3 and not state.HasField("learned_net")
    for blob in state.history:
        blob.data[:] = [0] * len(blob.data)
    path.write_bytes(state.SerializeToString())
    manifest = (parts / "snapshots.json").read_text()
    entry = read_manifest(str(parts))[-1]
    (parts / "snapshots.json").write_text(
        manifest.replace(entry["classifier"]["sha256"], describe_file(str(path))["sha256"]))
    train(tmp_path / "parts", None, "--max-iter", 8, "--resume")
    assert tiny.model(parts, 8) != tiny.model(whole, 8)


def test_a_snapshot_whose_classifier_state_is_damaged_is_passed_over(tmp_path, capfd):
    whole = train(tmp_path / "whole")
    parts = train(tmp_path / "parts", None, "--max-iter", 4)
    (parts / "tiny_iter_4.classifierstate").write_bytes(b"damaged")
    train(tmp_path / "parts", None, "--max-iter", 8, "--resume")
    printed = capfd.readouterr().err
    assert "passing over the snapshot of iteration 4: tiny_iter_4.classifierstate has 7" in printed
    assert tiny.model(parts, 8) == tiny.model(whole, 8)


def test_a_snapshot_without_the_classifiers_state_is_refused(tmp_path):
    parts = train(tmp_path / "parts", None, "--max-iter", 4)
    manifest = (parts / "snapshots.json").read_text()
    (parts / "snapshots.json").write_text(manifest.replace('"classifier"', '"other"'))
    with pytest.raises(InputError, match="holds no state of the classifier's further steps"):
        train(tmp_path / "parts", None, "--max-iter", 8, "--resume")


def test_old_classifier_states_go_with_their_snapshots(tmp_path):
    out = train(tmp_path, None, "--keep-snapshots", 2)
    assert sorted(path.name for path in out.glob("*.classifierstate")) == [
        "tiny_iter_6.classifierstate", "tiny_iter_8.classifierstate"]
    assert not (out / "partial").exists()


def test_a_classifier_state_of_no_run_is_not_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tiny_iter_4.classifierstate").write_text("mine")
    with pytest.raises(InputError, match="holds tiny_iter_4.classifierstate and no record.json"):
        train(tmp_path)


def test_a_failure_between_the_steps_keeps_no_half_iteration(tmp_path, monkeypatch):
    run = classifier_steps.ClassifierSteps.run

    def fail(steps):
        if steps.solver.iter == 3 * 3:
            raise InputError("out of luck")
        return run(steps)

    monkeypatch.setattr(classifier_steps.ClassifierSteps, "run", fail)
    with pytest.raises(InputError, match="out of luck"):
        train(tmp_path, snapshot=2)
    assert [entry["iteration"] for entry in read_manifest(str(tmp_path / "out"))] == [2]
    monkeypatch.undo()
    train(tmp_path, None, "--resume", snapshot=2)
    assert tiny.model(tmp_path / "out", 8) == tiny.model(train(tmp_path / "whole"), 8)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    net = net_text().replace("lr_mult: 3", "lr_mult: 1e30")
    with pytest.raises(InputError, match="iteration 0: the loss is"):
        train(tmp_path, net)


def test_each_step_and_pass_draws_a_dropout_mask_of_its_own(tmp_path):
    # the weights stay, so that only masks can differ between the steps of a pass
    solver = write_run(tmp_path, net_text(3), max_iter=1, base_lr=1e-30)
    masks = []
    original = classifier_steps.ClassifierSteps._end_pass

    def look(steps, layer):
        if layer == steps._last:
            masks.append(steps.net.blobs["fc1"].data.copy())
        original(steps, layer)

    classifier_steps.ClassifierSteps._end_pass = look
    try:
        tiny.train(solver, tmp_path / "out")
    finally:
        classifier_steps.ClassifierSteps._end_pass = original
    dropped = [mask == 0 for mask in masks]
    assert len(dropped) == 2 * 2
    assert all((a != b).any() for n, a in enumerate(dropped) for b in dropped[n + 1:])


@pytest.mark.parametrize("policy", [
    'lr_policy: "fixed"', 'lr_policy: "step" gamma: 0.5 stepsize: 3', 'lr_policy: "exp" gamma: 0.9',
    'lr_policy: "inv" gamma: 0.1 power: 0.75',
    'lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 5', 'lr_policy: "poly" power: 0.9',
    'lr_policy: "sigmoid" gamma: 0.5 stepsize: 4'])
def test_the_schedule_is_stretched_for_every_policy(policy):
    param = text_format.Parse(f"{policy} base_lr: 0.1 max_iter: 8", caffe_pb2.SolverParameter())
    made = classifier_steps.stretched(param, 4)
    for iteration in range(8):
        for step in range(4):
            assert learning_rate(made, 4 * iteration + step) == pytest.approx(
                learning_rate(param, iteration + step / 4), rel=1e-6)


def test_a_schedule_that_cannot_be_stretched_is_refused():
    param = caffe_pb2.SolverParameter(max_iter=2 ** 30)
    with pytest.raises(InputError, match="max_iter 1073741824 is too large for classifier_steps 5"):
        classifier_steps.stretched(param, 4)


@pytest.mark.parametrize("value", ["0", "1001", "2.5", '"many"'])
def test_a_number_of_steps_out_of_range_is_refused(tmp_path, value):
    net = net_text().replace('"classifier_steps": 4', f'"classifier_steps": {value}')
    with pytest.raises(InputError, match='"classifier_steps" must be an integer from 1 to 1000'):
        train(tmp_path, net)


def test_two_classifiers_with_further_steps_are_refused(tmp_path):
    second = CLASSIFIER % dict(steps=1, norm="", drop="", gated="gated")
    for name in ("gate", "gated", "link", "fc1", "relu1", "domain_score", "domain_loss", "inverse",
                 "source", "target"):
        second = second.replace(f'"{name}"', f'"{name}2"')
    with pytest.raises(InputError, match="classifier_steps is 4 in a net with 2 domain losses"):
        train(tmp_path, net_text() + second)


def test_the_net_can_stand_in_the_solver_itself(tmp_path):
    expected = train(tmp_path / "file")
    solver = write_run(tmp_path / "inline")
    text = open(solver).read()
    line = text.splitlines()[0]
    with open(solver, "w") as file:
        file.write(text.replace(line, "train_net_param { %s }" % net_text()))
    assert tiny.train(solver, tmp_path / "inline" / "out") == 0
    assert tiny.model(tmp_path / "inline" / "out", 8) == tiny.model(expected, 8)


def test_a_run_that_has_moved_goes_on(tmp_path):
    whole = train(tmp_path / "whole")
    parts = train(tmp_path / "parts", None, "--max-iter", 4)
    os.makedirs(tmp_path / "moved")
    shutil.move(str(parts), str(tmp_path / "moved" / "out"))
    solver = str(tmp_path / "parts" / "tiny.prototxt")
    assert tiny.train(solver, tmp_path / "moved" / "out", "--max-iter", 8, "--resume") == 0
    assert tiny.model(tmp_path / "moved" / "out", 8) == tiny.model(whole, 8)
