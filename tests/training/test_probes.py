"""Probes of adaptation against nets with one loss alone, and counts made by hand."""
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data import progress
from layers.category_targets import CategoryRule
from models.build import nets
from models.shapes import SLIM
from tools.bench.random_nets import experiment, fill, with_random_data
from tools.lib.training.log import plot_log
from tools.lib.training.probes import (
    DomainProbe,
    PresenceProbe,
    presence_by_class,
    presence_values,
)

import tiny_training as tiny


def net_of(folder, stage="ga_ca", weight=0.3, mil_weight=0.1):
    """A stage's slim net on 2 source and 2 target images, without dropout, after both passes."""
    sizes = experiment(SLIM, (48, 64), 2)
    sizes = replace(sizes, domain_loss=replace(sizes.domain_loss, weight=weight),
                    category_loss=replace(sizes.category_loss, mil_weight=mil_weight))
    parameter = with_random_data(nets(sizes)[stage + ".prototxt"], (48, 64), 2, 2)
    for layer in parameter.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    path = folder / "net.prototxt"
    path.write_text(str(parameter))
    caffe.set_random_seed(3)
    net = caffe.Net(str(path), caffe.TRAIN)
    for name in ("domain_score", "final"):
        net.params[name][0].data[...] *= 30         # so that the gradients are not nearly 0
    fill(net, sizes.classes)
    return net


def probed(net):
    """(values of its DomainProbe, the gradient that all losses together have on the features)."""
    probe, total = DomainProbe(net), []
    # The layer that makes the features for several readers adds the gradients in its backward.
    bottom = net.bottom_names[list(net._layer_names)[probe.maker]][0]

    def look(layer):
        if layer == probe.maker:
            probe.add()
        elif layer == probe.maker - 1:
            total.append(net.blobs[bottom].diff.astype(float))
    net.before_backward(look)
    net.forward()
    net.backward()
    return DomainProbe.values(probe.take(), 1), total[0]


def test_shares_and_ratios_are_those_of_the_losses_alone(tmp_path):
    values, total = probed(net_of(tmp_path))
    _, without_domain = probed(net_of(tmp_path, weight=0))
    _, segmentation = probed(net_of(tmp_path, weight=0, mil_weight=0))
    domain, category = total - without_domain, without_domain - segmentation
    assert not segmentation[2:].any() and not category[:2].any()
    norm = np.linalg.norm
    assert values["domain_gradient_ratio"] == pytest.approx(norm(domain) / norm(segmentation),
                                                            rel=1e-4)
    assert values["domain_target_share"] == pytest.approx(norm(domain[2:]) ** 2 / norm(domain) ** 2,
                                                          rel=1e-4)
    assert values["mil_gradient_ratio"] == pytest.approx(norm(category) / norm(segmentation),
                                                         rel=1e-4)
    assert 0.1 < values["domain_target_share"] < 0.9


def test_the_features_norm_is_the_mean_length_of_a_unit(tmp_path):
    net = net_of(tmp_path, "ga")
    values, _ = probed(net)
    lengths = np.linalg.norm(net.blobs["fc7"].data, axis=1)
    assert values["feature_norm_source"] == pytest.approx(lengths[:2].mean(), rel=1e-5)
    assert values["feature_norm_target"] == pytest.approx(lengths[2:].mean(), rel=1e-5)
    assert "mil_gradient_ratio" not in values


def test_a_loss_without_gradient_has_no_share(tmp_path):
    assert set(probed(net_of(tmp_path, "ga", weight=0))[0]) == {"feature_norm_source",
                                                                "feature_norm_target"}


def test_a_net_without_adaptation_is_not_probed(tmp_path):
    (tmp_path / "net.prototxt").write_text(tiny.STILL)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    assert DomainProbe(net).maker is None and DomainProbe(net).take() is None
    presence = PresenceProbe(net)
    presence.count()
    assert presence.take() is None


def presence_probe(scores, label, least_share=(0.3, 0.3, np.inf)):
    classes = len(least_share)
    rule = CategoryRule(np.array(least_share), np.zeros(classes), np.ones(classes), 1.0,
                        np.ones(classes))
    loss = SimpleNamespace(rule=rule, statistics=SimpleNamespace(classes=("sky", "road", "car")))
    blobs = {"final_source": SimpleNamespace(data=np.array(scores, np.float32)),
             "label": SimpleNamespace(data=np.array(label, np.float32))}
    return PresenceProbe(SimpleNamespace(layers=[object(), loss], blobs=blobs))


def scores_of(classes):
    """(3, 1, 4) scores whose largest is that of each of the 4 classes."""
    return np.eye(3)[classes].T[:, None]


def test_presence_by_hand():
    # Image 1: predicted sky 2/4, road 2/4, held sky and car. Image 2: predicted sky 3/4, road 1/4
    # (too little), held road, the rest ignored.
    probe = presence_probe([scores_of([0, 0, 1, 1]), scores_of([0, 0, 0, 1])],
                           [[[[0, 0], [2, 0]]], [[[1, 255], [255, 255]]]])
    probe.count()
    counts = probe.take()
    assert counts.tolist() == [[1, 0, 0], [2, 1, 0], [1, 1, 1]]     # right, predicted, held
    assert presence_values(counts) == {"mil_precision": pytest.approx(1 / 3),
                                       "mil_recall": pytest.approx(1 / 3)}
    assert presence_by_class(probe.classes, counts) == {
        "sky": {"precision": 0.5, "recall": 1.0}, "road": {"precision": 0.0, "recall": 0.0},
        "car": {"precision": None, "recall": 0.0}}
    assert not probe.take().any()


def test_counts_add_up_and_classes_that_play_no_part_are_left_out():
    probe = presence_probe([scores_of([0, 0, 0, 0])], [[[[0, 0], [0, 0]]]])
    probe.count()
    probe.count()
    counts = probe.take()
    assert counts[:, 0].tolist() == [2, 2, 2]
    assert presence_by_class(probe.classes, counts) == {"sky": {"precision": 1.0, "recall": 1.0}}


def test_nothing_predicted_has_no_precision_and_scores_of_nan_are_not_counted():
    probe = presence_probe([scores_of([0, 0, 0, 0])], [[[[0, 0], [0, 0]]]], [np.inf] * 3)
    probe.count()
    assert presence_values(probe.take()) == {"mil_recall": 0.0}
    probe = presence_probe([np.full((3, 1, 4), np.nan)], [[[[0, 0], [0, 0]]]])
    probe.count()
    assert presence_values(probe.take()) == {}


def small_run(folder, repo_root, **fields):
    """A solver of the toy's GA + CA net with small crops."""
    with open(f"{repo_root}/models/toy/ga_ca.prototxt") as file:
        net = file.read()
    for old, new in (("[80, 144]", "[32, 48]"), ('workers\\": 1', 'workers\\": 0')):
        assert old in net
        net = net.replace(old, new)
    return tiny.write_run(folder, net, base_lr=0.002, lr_policy='"fixed"', gamma=None,
                          stepsize=None, **fields)


def test_log_progress_and_plot_of_a_run(tmp_path, repo_root, capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)     # a line for every change
    solver = small_run(tmp_path, repo_root, max_iter=4, display=2, snapshot=4)
    assert tiny.train(solver, tmp_path / "out") == 0
    first, second, last = tiny.entries(tmp_path / "out", "train")
    probed = {"feature_norm_source", "feature_norm_target", "domain_target_share",
              "domain_gradient_ratio"}
    assert probed <= set(first["values"]) and probed <= set(second["values"])
    assert not probed & set(last["values"])         # a forward pass alone, after the last update
    for entry in (first, second, last):
        assert 0 <= entry["values"]["mil_recall"] <= 1
        assert set(entry["presence"]) <= {"sky", "building", "road", "sidewalk", "vegetation",
                                          "car", "person", "pole"}
        assert {tuple(found) for found in entry["presence"].values()} == {("precision", "recall")}
    assert "dom/seg" in capfd.readouterr().err
    plot_log(tiny.entries(tmp_path / "out", "train"), str(tmp_path / "plot.png"), "probes")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_run_without_adaptation_logs_as_before(tmp_path):
    assert tiny.train(tiny.write_run(tmp_path, max_iter=1), tmp_path / "out") == 0
    entry = tiny.entries(tmp_path / "out", "train")[0]
    assert "presence" not in entry and set(entry["values"]) == {"loss", "seg_loss"}
