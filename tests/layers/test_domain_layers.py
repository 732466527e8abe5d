"""DomainGate and DomainAdversarialLoss in a Caffe net: gradients, phases, ramp, refusals.

The toy's trunk and classifier are identities, so the two features of a unit are its two domain
scores.
"""
import json
from types import SimpleNamespace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

from data.errors import InputError  # noqa: E402

LAMBDA = 0.5
IDENTITY = """
layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" param {{ lr_mult:
    {rate} }}
  convolution_param {{ num_output: 2 kernel_size: 1 bias_term: false weight_filler {{ type:
      "constant" value: 0 }} }} }}
"""
HEAD = """
layer {{ name: "gate" type: "Python" bottom: "{features}" top: "gated" top: "link" {gate_extra}
  python_param {{ module: "layers.domain_gate" layer: "DomainGate" param_str: '{gate_params}' }} }}
{classifier}
layer {{ name: "loss" type: "Python" bottom: "domain_score" bottom: "link"
  top: "L_D" top: "L_Dinv" top: "accuracy_source" top: "accuracy_target" {loss_extra}
  python_param {{ module: "layers.domain_adversarial_loss" layer: "DomainAdversarialLoss"
      param_str: '{params}' }} }}
"""
ONE = "loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0 "
CLASSIFIER = IDENTITY.format(name="domain_score", bottom="gated", rate=1)
# source, target
LOGITS = np.array([[[[0.0, 3.0, -40.0, 800.0, -800.0]]], [[[-1e-4, 2.0, 40.0, 800.0, -800.0]]]])


def build(folder, logits=LOGITS, phase=caffe.TRAIN, trunk_rate=1, gate_extra="", gate_params="",
          loss_extra=ONE, classifier=None, before="", after="", in_place=False, **params):
    keys = dict({"weight": LAMBDA, "source_images": 1}, **params)
    dims = " ".join(f"dim: {side}" for side in (len(logits), 2) + logits.shape[2:])
    text = before + ('layer { name: "data" type: "Input" top: "data" '
                     f'input_param {{ shape {{ {dims} }} }} }}\n')
    text += IDENTITY.format(name="trunk", bottom="data", rate=trunk_rate)
    if in_place:
        text += 'layer { name: "split" type: "Split" bottom: "trunk" top: "own" top: "gated" }\n'
    text += HEAD.format(
        features="gated" if in_place else "trunk", gate_extra=gate_extra, gate_params=gate_params,
        loss_extra=loss_extra, params=json.dumps(keys), classifier=classifier or CLASSIFIER) + after
    path = folder / "net.prototxt"
    path.write_text(text)
    net = caffe.Net(str(path), phase)
    for blobs in net.params.values():
        if blobs[0].data.shape == (2, 2, 1, 1):
            blobs[0].data[:, :, 0, 0] = np.eye(2)
    net.blobs["data"].data[...] = np.concatenate([-0.5 * logits, 0.5 * logits], axis=1)
    return net


def run(net):
    net.forward()
    net.backward()
    return net


def layer(net, name):
    return net.layers[list(net._layer_names).index(name)]


def unit_gradients(net, blob):
    """d/ds of each unit: the two channels carry -g and +g."""
    diff = net.blobs[blob].diff
    assert np.array_equal(diff[:, 0], -diff[:, 1])
    return diff[:, 1:]


def sigmoid(s):
    return np.exp(-np.logaddexp(0, -s))


@pytest.mark.parametrize("objective", ["confusion", "reversal", "inverse"])
def test_every_single_unit_gets_its_own_gradient(tmp_path, objective):
    net = run(build(tmp_path, objective=objective))
    s = LOGITS
    loss = np.stack([-sigmoid(-s[0]), sigmoid(s[1])]) / s.size
    wanted = {"confusion": 0.5 * np.tanh(s / 2) / s.size, "reversal": -loss,
              "inverse": np.stack([0 * s[0], -sigmoid(-s[1])]) / s.size}[objective]
    assert unit_gradients(net, "domain_score") == pytest.approx(loss, rel=1e-6, abs=1.01e-20)
    found = unit_gradients(net, "trunk")
    assert np.isfinite(found).all()
    if objective == "reversal":
        # the floor is on |p - y| itself
        assert found == pytest.approx(LAMBDA * wanted, rel=1e-6, abs=1.01e-20)
    else:
        assert found == pytest.approx(LAMBDA * wanted, rel=1e-6, abs=1e-30)


def test_the_difference_of_the_scores_is_taken_in_float64(tmp_path):
    net = build(tmp_path, np.zeros((2, 1, 8, 8)))
    scores = net.blobs["data"].data
    scores[...] = np.random.RandomState(0).uniform(15, 22, scores.shape) * [[[[-1]], [[1]]],
                                                                            [[[1]], [[-1]]]]
    run(net)
    s = scores[:, 1:].astype(float) - scores[:, :1]             # about 40 on source, -40 on target
    wanted = np.stack([-sigmoid(-s[0]), sigmoid(s[1])]) / s.size
    assert unit_gradients(net, "domain_score") == pytest.approx(wanted, rel=2e-7, abs=0)


def test_link_is_zero_forwards_and_one_number_a_unit(tmp_path):
    net = run(build(tmp_path))
    assert net.blobs["link"].data.shape == (2, 1, 1, 5) and not net.blobs["link"].data.any()
    assert np.array_equal(net.blobs["gated"].data, net.blobs["trunk"].data)


def test_values_and_accuracies_for_the_log(tmp_path):
    net = run(build(tmp_path))
    assert net.blobs["L_D"].data[0] == pytest.approx(
        np.logaddexp(0, [-LOGITS[0], LOGITS[1]]).mean(), rel=1e-6)
    assert net.blobs["L_Dinv"].data[0] == pytest.approx(
        np.logaddexp(0, [LOGITS[0], -LOGITS[1]]).mean(), rel=1e-6)
    assert net.blobs["accuracy_source"].data[0] == pytest.approx(2.5 / 5)       # a tie counts half
    assert net.blobs["accuracy_target"].data[0] == pytest.approx(2 / 5)


def test_a_net_that_is_reshaped_follows(tmp_path):
    net = build(tmp_path)
    net.blobs["data"].reshape(3, 2, 4, 2)
    net.reshape()
    net.blobs["data"].data[:, 0] = 0
    net.blobs["data"].data[:, 1] = 1
    run(net)
    assert net.blobs["link"].data.shape == (3, 1, 4, 2)
    every = LAMBDA * 0.5 * np.tanh(0.5) / 24
    assert unit_gradients(net, "trunk") == pytest.approx(np.full((3, 1, 4, 2), every), rel=1e-6)


def test_weight_zero_trains_the_classifier_alone(tmp_path):
    net = run(build(tmp_path, weight=0))
    assert net.params["domain_score"][0].diff.any() and not net.params["trunk"][0].diff.any()


# Which gradients Caffe asks for
# ---------------------------------------------------------------------------------------

def test_frozen_trunk_skips_gate_and_link_but_trains_the_classifier(tmp_path):
    net = build(tmp_path, trunk_rate=0)
    layer(net, "gate").backward = lambda *_: pytest.fail("ran")
    run(net)
    assert net.params["domain_score"][0].diff.any()
    assert not net.blobs["link"].diff.any() and not net.blobs["trunk"].diff.any()


def test_force_backward_reaches_a_frozen_trunk(tmp_path):
    net = run(build(tmp_path, trunk_rate=0, before="force_backward: true\n"))
    assert unit_gradients(net, "data") == pytest.approx(LAMBDA * 0.5 * np.tanh(LOGITS / 2) / 10,
                                                        rel=1e-6, abs=1e-30)


def test_gate_that_does_not_propagate_down(tmp_path):
    net = run(build(tmp_path, gate_extra="propagate_down: false"))
    assert net.params["domain_score"][0].diff.any() and not net.params["trunk"][0].diff.any()


def test_gate_leaves_a_gradient_alone_that_nobody_asked_for(tmp_path):
    # Caffe skips a layer with one bottom and nothing to propagate; called all the same, it must not
    # write.
    gate = layer(build(tmp_path), "gate")
    ones = SimpleNamespace(diff=np.ones((1, 1, 1, 1), np.float32))
    bottom = SimpleNamespace(diff=np.full((1, 1, 1, 1), 7, np.float32))
    gate.backward([ones, ones], [False], [bottom])
    assert bottom.diff == 7
    gate.backward([ones, ones], [True], [bottom])
    assert bottom.diff == 1


def test_loss_without_the_links_gradient_gives_the_features_none(tmp_path):
    net = run(build(tmp_path, loss_extra=ONE + "propagate_down: true propagate_down: false"))
    assert net.params["domain_score"][0].diff.any() and not net.params["trunk"][0].diff.any()


def test_loss_that_does_not_propagate_to_the_scores(tmp_path):
    net = run(build(tmp_path, loss_extra=ONE + "propagate_down: false propagate_down: true"))
    assert not net.blobs["domain_score"].diff.any() and net.blobs["link"].diff.any()
    assert not net.params["domain_score"][0].diff.any() and not net.params["trunk"][0].diff.any()


@pytest.mark.parametrize("in_place", [False, True])
def test_features_with_a_branch_of_their_own_add_both_gradients(tmp_path, in_place):
    branch = IDENTITY.format(name="final", bottom="own" if in_place else "trunk", rate=1) + """
      layer { name: "square" type: "Reduction" bottom: "final" top: "square" loss_weight: 1
        reduction_param { operation: SUMSQ } }"""
    logits = np.clip(LOGITS, -2, 2)
    net = build(tmp_path, logits, in_place=in_place, before="force_backward: true\n", after=branch)
    assert layer(net, "gate").in_place == in_place
    own = 2 * 0.5 * logits
    adversarial = LAMBDA * 0.5 * np.tanh(logits / 2) / 10
    assert run(net).blobs["data"].diff[:, 1:] == pytest.approx(own + adversarial, rel=1e-6)


# Phases and the ramp
# ------------------------------------------------------------------------------------------------

def test_test_phase_computes_values_and_does_not_move_the_ramp(tmp_path):
    net = build(tmp_path, phase=caffe.TEST, loss_extra="", ramp_passes=10)
    net.forward()
    assert net.blobs["L_D"].data[0] > 0 and layer(net, "loss").position == 0


def test_ramp_counts_training_passes_and_can_be_positioned(tmp_path):
    net = build(tmp_path, ramp_passes=4)
    full = LAMBDA * 0.5 * np.tanh(LOGITS / 2) / 10
    for k in (0, 1, 2):
        assert unit_gradients(run(net), "trunk") == pytest.approx(
            (2 / (1 + np.exp(-10 * k / 4)) - 1) * full, rel=1e-6, abs=1e-30)
    again = build(tmp_path, ramp_passes=4)
    layer(again, "loss").set_position(2)
    assert np.array_equal(unit_gradients(run(again), "trunk"), unit_gradients(net, "trunk"))


# Refusals
# -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, words", [
    (dict(source_images=2), "no target image is left"),
    (dict(source_images=0), '"source_images" must be an integer >= 1'),
    (dict(objective="confuse"), 'one of "confusion", "reversal", "inverse"'),
    (dict(weight=-1), '"weight" must be'),
    (dict(ramp_pass=3), 'unknown key "ramp_pass", did you mean "ramp_passes"'),
    (dict(gate_params="{}"), "DomainGate: takes no parameters"),
    (dict(classifier=CLASSIFIER.replace("num_output: 2", "num_output: 3")),
     "(N, 2, h, w), found [2, 3, 1, 5]"),
    (dict(classifier=CLASSIFIER.replace("kernel_size: 1", "kernel_w: 3 kernel_h: 1")),
     "expected [2, 1, 1, 3], one number for each unit"),
])
def test_refused_when_the_net_is_built(tmp_path, options, words):
    with pytest.raises(InputError) as caught:
        build(tmp_path, **options)
    assert words in caught.value.what


@pytest.mark.parametrize("text, words", [
    ('layer { name: "g" type: "Python" bottom: "x" top: "y" '
     'python_param { module: "layers.domain_gate" layer: "DomainGate" } }', "2 tops (features, "
                                                                            "link), found 1 and 1"),
    ('layer { name: "l" type: "Python" bottom: "x" top: "y" python_param { module: '
     '"layers.domain_adversarial_loss" '
     'layer: "DomainAdversarialLoss" } }', "2 bottoms (domain scores, link) and 4 tops"),
    ('layer { name: "f" type: "Flatten" bottom: "x" top: "flat" } '
     'layer { name: "g" type: "Python" bottom: "flat" top: "y" top: "l" '
     'python_param { module: "layers.domain_gate" layer: "DomainGate" } }', "(N, C, h, w), found "
                                                                            "[2, 6]"),
])
def test_wrong_arity_and_shape_are_refused(tmp_path, text, words):
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "x" type: "Input" top: "x" '
                    'input_param { shape { dim: 2 dim: 2 dim: 1 dim: 3 } } }\n' + text)
    with pytest.raises(InputError) as caught:
        caffe.Net(str(path), caffe.TRAIN)
    assert words in caught.value.what


@pytest.mark.parametrize("weights", ["0 1 0 0", "1 0.5 0 0", "1 0 0 1"])
def test_a_gradient_on_a_log_top_is_refused(tmp_path, weights):
    net = build(tmp_path,
                loss_extra=" ".join("loss_weight: " + weight for weight in weights.split()))
    with pytest.raises(InputError, match="only the first top"):
        run(net)
