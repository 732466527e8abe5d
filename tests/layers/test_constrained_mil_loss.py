"""ConstrainedMILLoss in a Caffe net, and its mathematics: presence, channel weights, gradient."""
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

from data.errors import InputError  # noqa: E402
from data.label_spaces import LabelSpace  # noqa: E402
from data.label_statistics import summarise, to_json  # noqa: E402
from layers.category_targets import (  # noqa: E402
    MATRIX_LIBRARIES,
    category_rule,
    category_target,
    category_targets,
    predicted_shares,
)
from layers.constrained_mil_loss import inside_repository  # noqa: E402
from layers.size_constraints import solve  # noqa: E402

NET = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}
layer {{ name: "final" type: "Scale" bottom: "data" top: "final" param {{ lr_mult: {rate} }}
  scale_param {{ filler {{ type: "constant" value: 1 }} bias_term: false }} }}
layer {{ name: "mil" type: "Python" bottom: "final" {more} top: "loss" top: "present" top:
    "active" top: "relaxed" {weights}
  python_param {{ module: "layers.constrained_mil_loss" layer: "ConstrainedMILLoss" param_str:
      '{params}' }} }}
"""
ONE = "loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0"
# Shares of 4 classes in 3 labels: the third is always large, the fourth never occurs.
FRACTIONS = np.array([[0.2, 0.3, 0.5, 0.0], [0.1, 0.0, 0.9, 0.0], [0.4, 0.1, 0.5, 0.0]])
STATISTICS = summarise([column[column > 0] for column in FRACTIONS.T], 3, "made", "train",
                       LabelSpace("made", ("a", "b", "c", "d"), np.zeros((4, 3), np.uint8)))


def scores_of(images=2, height=5, width=6, scale=2.0, seed=0):
    return np.random.RandomState(seed).normal(scale=scale,
                                              size=(images, 4, height, width)).astype(np.float32)


def build(folder, scores, weights=ONE, rate=1, more="", **params):
    (folder / "statistics.json").write_text(to_json(STATISTICS))
    params.setdefault("statistics", str(folder / "statistics.json"))
    (folder / "net.prototxt").write_text(
        NET.format(shape=" ".join(f"dim: {side}" for side in scores.shape), rate=rate,
                   weights=weights, more=more, params=json.dumps(params)))
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TRAIN)
    net.blobs["data"].data[...] = scores
    return net


def run(net):
    net.forward()
    net.backward()
    return {
        name: float(net.blobs[name].data[0])
        for name in ("loss", "present", "active", "relaxed")
    }


def test_statistics_by_hand():
    # Class 0: 0.1 0.2 0.4; class 1: 0.1 0.3 (two images contain it); class 2: 0.5 0.5 0.9.
    assert STATISTICS.counts.tolist() == [3, 2, 3, 0]
    assert STATISTICS.alpha[:3] == pytest.approx([0.12, 0.12, 0.5])
    assert STATISTICS.delta[:3] == pytest.approx([0.7 / 3, 0.2, 1.9 / 3])
    assert STATISTICS.gamma[:3] == pytest.approx([0.36, 0.28, 0.82])


def test_presence_by_hand():
    # 2 x 5 pixels: class 0 in 1, class 1 in none, class 2 in 8, class 3 in 1.
    winners = np.array([[0, 2, 2, 2, 2], [2, 2, 2, 2, 3]])
    scores = np.eye(4)[winners].transpose(2, 0, 1)
    assert predicted_shares(scores).tolist() == [0.1, 0, 0.8, 0.1]
    # Class 0 is present above presence_factor * 0.12, class 2 above presence_factor * 0.5; class 3
    # has no statistics.
    for factor, present in ((0.8, 2), (0.84, 1), (1.5, 1), (1.7, 0)):
        assert category_target(scores, category_rule(STATISTICS,
                                                     presence_factor=factor)).present == present


def test_rule_of_the_statistics():
    rule = category_rule(STATISTICS, slack=3.0, presence_factor=0.2, down_weight_threshold=0.13,
                         down_weight_factor=0.3)
    assert rule.least_share == pytest.approx([0.024, 0.024, 0.1, np.inf])
    assert rule.lower == pytest.approx([0.7 / 3, 0.2, 1.9 / 3, 0])
    assert rule.upper == pytest.approx([0.36, 0.28, 0.82, 1])
    assert rule.channel_weights == pytest.approx([1, 1, 0.3, 1])
    assert rule.slack == 3.0


@pytest.mark.parametrize("bounds, lower, upper", [
    ("both", [0.7 / 3, 0.2, 1.9 / 3], [0.36, 0.28, 0.82]),
    ("lower", [0.7 / 3, 0.2, 1.9 / 3], [1, 1, 1]),
    ("upper", [0, 0, 0], [0.36, 0.28, 0.82]), ("none", [0, 0, 0], [1, 1, 1])])
def test_bounds_used(bounds, lower, upper):
    rule = category_rule(STATISTICS, bounds=bounds)
    assert rule.lower[:3] == pytest.approx(lower) and rule.upper[:3] == pytest.approx(upper)


@pytest.mark.parametrize("bounds", ["both", "lower", "upper", "none"])
def test_gradient_is_the_numerical_derivative_of_the_value(bounds):
    scores = scores_of(1)[0].astype(float)
    rule = category_rule(STATISTICS, down_weight_factor=1.0, bounds=bounds)
    target = category_target(scores, rule)
    present = predicted_shares(scores) > rule.least_share
    assert 0 < target.present < 4 and target.value > 0

    def value(moved):  # V with the classes present before the step
        return solve(moved, present, rule.lower, rule.upper, rule.slack).value
    for index in np.ndindex(scores.shape):
        step = np.zeros(scores.shape)
        step[index] = 1e-4
        slope = (value(scores + step) - value(scores - step)) / 2e-4
        assert target.gradient[index] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("loss_weight", [1.0, 0.1])
def test_caffe_gradient_is_the_numerical_derivative_of_the_loss(tmp_path, loss_weight):
    """Through the net's own float32 loss, of a batch of three images."""
    scores = scores_of(3)
    net = build(tmp_path, scores, weights=ONE.replace("1", str(loss_weight), 1),
                down_weight_factor=1)
    run(net)
    gradient = net.blobs["final"].diff.copy()
    random = np.random.RandomState(1)
    for _ in range(12):
        direction = random.normal(size=scores.shape).astype(np.float32)
        losses = []
        for sign in (1, -1):
            net.blobs["data"].data[...] = scores + sign * 1e-3 * direction
            net.forward()
            losses.append(float(net.blobs["loss"].data[0]))
        slope = loss_weight * (losses[0] - losses[1]) / 2e-3
        assert (gradient * direction).sum() == pytest.approx(slope, abs=2e-4 * loss_weight)


def test_loss_and_log_are_those_of_each_image(tmp_path):
    scores = scores_of(3)
    net = build(tmp_path, scores)
    values = run(net)
    rule = category_rule(STATISTICS)
    targets = [category_target(image, rule) for image in scores]
    assert values["loss"] == pytest.approx(np.mean([target.value for target in targets]), rel=1e-6)
    assert values["present"] == pytest.approx(np.mean([target.present for target in targets]))
    assert values["active"] == pytest.approx(np.mean([target.active for target in targets]))
    assert values["relaxed"] == sum(target.relaxed for target in targets)
    assert np.allclose(net.blobs["final"].diff,
                       np.stack([target.gradient for target in targets]) / 3, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_matrix_products_stay_on_one_thread_whatever_the_process_uses(threads, monkeypatch):
    scores = scores_of(2, height=40, width=60)
    expected = [category_target(image, category_rule(STATISTICS)).gradient for image in scores]
    seen = []

    def threads_of():
        return [library["num_threads"] for library in MATRIX_LIBRARIES.info()]

    def watched(image, rule):
        seen.append(threads_of())
        return category_target(image, rule)
    monkeypatch.setattr("layers.category_targets.category_target", watched)
    with MATRIX_LIBRARIES.limit(limits=threads):
        before = threads_of()
        targets = category_targets(scores, category_rule(STATISTICS))
        assert threads_of() == before
    # OpenCV brings an OpenBLAS that knows one thread only
    assert set(before) <= {1, threads} and threads in before
    assert len(seen) == 2 and all(set(counts) == {1} for counts in seen)
    assert all(np.array_equal(target.gradient, gradient)
               for target, gradient in zip(targets, expected))


def test_images_do_not_see_each_other(tmp_path):
    scores = scores_of(2)
    both = build(tmp_path, scores)
    run(both)
    for index in range(2):
        alone = build(tmp_path, scores[index:index + 1])
        run(alone)
        assert np.array_equal(alone.blobs["final"].diff[0] / 2, both.blobs["final"].diff[index])


def test_down_weighting_scales_large_channels_and_not_the_loss(tmp_path):
    scores = scores_of()
    plain = build(tmp_path, scores, down_weight_factor=1)
    plain_values = run(plain)
    scaled = build(tmp_path, scores, down_weight_threshold=0.2, down_weight_factor=0.1)
    assert run(scaled) == plain_values
    factors = np.array([1, 1, 0.1, 1]).reshape(1, 4, 1, 1)  # alpha of class 2 is 0.5
    assert np.allclose(scaled.blobs["final"].diff, plain.blobs["final"].diff * factors, rtol=1e-5,
                       atol=1e-12)
    assert plain.blobs["final"].diff[:, 2].any()


def test_class_that_the_source_never_showed_loses_its_mass(tmp_path):
    scores = scores_of()
    scores[:, 3] += 2  # predicted most often
    net = build(tmp_path, scores)
    assert run(net)["present"] == 3
    assert (net.blobs["final"].diff[:, 3] > 0).all()  # descent lowers it


def test_no_class_present_gives_no_gradient(tmp_path):
    scores = scores_of()
    scores[:, 3] += 100  # all argmax is the class without statistics
    net = build(tmp_path, scores)
    net.blobs["final"].diff[...] = 7
    assert run(net) == {"loss": 0, "present": 0, "active": 0, "relaxed": 0}
    assert not net.blobs["final"].diff.any()


def test_images_with_unattainable_upper_bounds_are_counted(tmp_path):
    # Half the pixels each: their upper bounds sum to 0.64. In the second image class 2 (up to 0.82)
    # is there as well.
    scores = np.full((2, 4, 2, 10), -5.0, np.float32)
    scores[0, 0, :, :5] = scores[0, 1, :, 5:] = 5
    scores[1, 0, :, :2] = scores[1, 1, :, 2:5] = scores[1, 2, :, 5:] = 5
    values = run(build(tmp_path, scores))
    assert values["relaxed"] == 1 and values["present"] == 2.5


def test_saturated_scores_give_finite_gradients(tmp_path):
    net = build(tmp_path, scores_of(scale=500.0))
    assert np.isfinite(run(net)["loss"]) and np.isfinite(net.blobs["final"].diff).all()


def test_scores_that_are_nan_give_a_loss_that_is_nan(tmp_path):
    scores = scores_of()
    scores[1, 2, 0, 0] = np.nan
    net = build(tmp_path, scores)
    assert np.isnan(run(net)["loss"])
    assert np.isfinite(net.blobs["final"].diff[0]).all() and np.isnan(
        net.blobs["final"].diff[1]).all()


def test_frozen_scores_get_no_gradient(tmp_path):
    net = build(tmp_path, scores_of(), rate=0)  # nothing below learns: Caffe asks for no gradient
    net.blobs["final"].diff[...] = 0
    run(net)
    assert not net.blobs["final"].diff.any()


def test_backward_leaves_the_bottom_alone_when_it_is_not_asked(tmp_path):
    net = build(tmp_path, scores_of())
    net.forward()
    layer = net.layers[list(net._layer_names).index("mil")]
    bottom = SimpleNamespace(diff=np.full(net.blobs["final"].diff.shape, 7.0))
    tops = [SimpleNamespace(diff=np.array([weight])) for weight in (1.0, 0.0, 0.0, 0.0)]
    layer.backward(tops, [False], [bottom])
    assert (bottom.diff == 7).all()
    layer.backward(tops, [True], [bottom])
    assert (bottom.diff != 7).all()


def test_batch_size_and_map_size_may_change(tmp_path):
    net = build(tmp_path, scores_of())
    run(net)
    for shape in ((1, 4, 3, 3), (3, 4, 7, 2)):
        net.blobs["data"].reshape(*shape)
        net.blobs["data"].data[...] = np.random.RandomState(2).normal(size=shape)
        assert np.isfinite(run(net)["loss"])
        assert net.blobs["final"].diff.shape == shape


def test_descent_on_the_scores_ends_at_what_the_bounds_leave(tmp_path):
    """The lower bounds sum to 0.7/3 + 0.2 + 1.9/3 = 16/15, so 1/15 stays missing, at price 2."""
    net = build(tmp_path, scores_of(1, scale=1.0), down_weight_factor=1)
    first = run(net)["loss"]
    for _ in range(100):
        net.blobs["data"].data[...] -= 30 * net.blobs["final"].diff
        last = run(net)["loss"]
    assert first > 0.5 and last == pytest.approx(2 / 15, abs=0.01)


@pytest.mark.parametrize("params, word", [
    ({"slak": 1}, "did you mean"), ({"slack": -1}, "slack"), ({"bounds": "some"}, "bounds"),
    ({"presence_factor": "0.1"}, "presence_factor"),
    ({"down_weight_factor": 2}, "down_weight_factor"),
    ({"down_weight_threshold": -1}, "down_weight_threshold"), ({"statistics": ""}, "statistics"),
    ({"statistics": "data/statistics/none.json"}, "label_stats.py"),
    ({"statistics": "../outside.json"}, "leaves the repository"),
    ({"statistics": "data/../../outside.json"}, "leaves the repository"),
])
def test_wrong_params_are_refused_by_name(tmp_path, params, word):
    with pytest.raises(InputError, match="(?s)" + word):
        build(tmp_path, scores_of(), **params)


def test_statistics_of_other_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match="8 classes .toy."):
        build(tmp_path, scores_of(), statistics="data/statistics/toy.json")


def test_wrong_number_of_bottoms_is_refused(tmp_path):
    with pytest.raises(InputError, match="1 bottom .* found 2 and 4"):
        build(tmp_path, scores_of(), more='bottom: "data"')


def test_gradient_on_a_log_top_is_refused(tmp_path):
    net = build(tmp_path, scores_of(), weights="loss_weight: 1 loss_weight: 1 loss_weight: 0 "
                                               "loss_weight: 0")
    net.forward()
    with pytest.raises(InputError, match="only the first top is a loss"):
        net.backward()


def test_link_that_leads_out_of_the_repository_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("layers.constrained_mil_loss.ROOT", str(tmp_path / "repository"))
    (tmp_path / "repository").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    os.symlink(str(tmp_path / "secret.json"), str(tmp_path / "repository" / "link.json"))
    with pytest.raises(InputError, match="leaves the repository"):
        inside_repository("link.json")
    assert inside_repository("a/b.json") == str(tmp_path / "repository" / "a/b.json")
    assert inside_repository(str(tmp_path / "secret.json")) == str(tmp_path / "secret.json")


def test_committed_statistics_fit_their_nets(repo_root):
    """Every committed train net with this layer opens its statistics file; the classes agree."""
    from tools.lib.checking.net import load_net

    found = 0
    for folder, _, files in os.walk(os.path.join(repo_root, "models")):
        for name in files:
            if not name.endswith(".prototxt"):
                continue
            net = load_net(os.path.join(folder, name))
            for layer in net.layer:
                if layer.python_param.layer != "ConstrainedMILLoss":
                    continue
                path = inside_repository(json.loads(layer.python_param.param_str)["statistics"])
                # those of data sets that are not at hand are made by label_stats.py
                if os.path.exists(path):
                    from data.label_statistics import read_statistics
                    final = next(other for other in net.layer if other.name == "final")
                    assert len(
                        read_statistics(path).classes) == final.convolution_param.num_output, name
                    found += 1
    assert found >= 4
