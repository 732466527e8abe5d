"""Numbers that go wrong stop the run before a snapshot keeps them; the error names the place."""
import os

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.training import guards
from tools.lib.training.guards import (
    AVERAGED,
    PROBES,
    ClassifierMonitor,
    FeatureMonitor,
    FirstLossMonitor,
)
from tools.lib.training.snapshots import read_manifest

from tiny_training import entries, model, net_text, train, write_run


def listed(out):
    return [entry["iteration"] for entry in read_manifest(str(out))]


def test_nan_in_a_batch_names_the_blob_and_layer_and_keeps_the_last_snapshot(tmp_path):
    solver = write_run(tmp_path, net_text(nan_at=10))       # the first pass of iteration 5
    with pytest.raises(InputError) as stop:
        train(solver, tmp_path / "out")
    message = "iteration 5: the loss is nan; it starts in blob data, made by layer data"
    assert message in str(stop.value)
    assert listed(tmp_path / "out") == [2, 4]
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST,
                    weights=str(tmp_path / "out" / "tiny_iter_4.caffemodel"))
    assert guards.bad_parameter(net) is None


def test_rate_that_makes_parameters_infinite_stops_within_display_iterations(tmp_path):
    solver = write_run(tmp_path, base_lr=1e30, lr_policy='"fixed"', snapshot=1, max_iter=50,
                       display=3)
    with pytest.raises(InputError, match="layer (conv|final)"):
        train(solver, tmp_path / "out")
    for iteration in listed(tmp_path / "out"):
        net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST,
                        weights=str(tmp_path / "out" / f"tiny_iter_{iteration}.caffemodel"))
        assert guards.bad_parameter(net) is None
    assert len(entries(tmp_path / "out", "train")) <= 2


def test_update_that_overflows_never_reaches_a_snapshot(tmp_path):
    """The loss is still finite when the snapshot is due: the parameters are checked as well."""
    net = net_text().replace("param { lr_mult: 1 }", "param { lr_mult: 1e20 }")
    solver = write_run(tmp_path, net, base_lr=1e30, lr_policy='"fixed"', snapshot=1, display=0)
    with pytest.raises(InputError, match="after 1 iterations parameter 0 of layer conv"):
        train(solver, tmp_path / "out")
    assert listed(tmp_path / "out") == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_parameter_is_found_by_layer_and_index(tmp_path, value):
    write_run(tmp_path)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    assert guards.bad_parameter(net) is None
    net.params["final"][1].data[1] = value
    assert guards.bad_parameter(net) == ("final", 1)
    with pytest.raises(guards.NotFinite, match="after 7 iterations parameter 1 of layer final"):
        guards.check_parameters(net, 7)


def test_large_but_finite_parameters_are_no_fault(tmp_path):
    write_run(tmp_path)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.params["conv"][0].data[...] = 3e38        # the sum of squares overflows
    assert guards.bad_parameter(net) is None


def test_failing_layer_keeps_the_state_before_its_step(tmp_path):
    # the second pass of iteration 5
    solver = write_run(tmp_path, net_text(fail_at=11), snapshot=100)
    with pytest.raises(InputError, match="list.txt:7"):
        train(solver, tmp_path / "out")
    assert listed(tmp_path / "out") == [5]
    # with the fault repaired, the run goes on as if it had never failed
    whole, net = tmp_path / "whole", net_text()
    train(write_run(tmp_path, net), whole)
    os.replace(whole / "net.prototxt", tmp_path / "out" / "net.prototxt")
    train(tmp_path / "tiny.prototxt", tmp_path / "out", "--resume")
    assert model(tmp_path / "out", 8) == model(whole, 8)


def domain(source, target):
    return {"domain_accuracy_source": source, "domain_accuracy_target": target}


def test_classifier_that_has_won_for_long_is_reported_once_and_again_after_it_recovered():
    monitor = ClassifierMonitor()
    texts = [monitor.check(k, domain(1.0, 1.0)) for k in range(3 * AVERAGED)]
    warnings = [text for text in texts if text]
    assert len(warnings) == 1 and "has won" in warnings[0]
    assert texts.index(warnings[0]) >= AVERAGED - 1
    assert not any(monitor.check(0, domain(0.5, 0.5)) for _ in range(AVERAGED))
    assert any(monitor.check(0, domain(1.0, 1.0)) for _ in range(10 * AVERAGED))


@pytest.mark.parametrize("source, target, side", [(1.0, 0.0, "every unit source"),
                                                  (0.0, 1.0, "every unit target")])
def test_classifier_that_calls_everything_one_domain_has_collapsed(source, target, side):
    monitor = ClassifierMonitor()
    texts = [monitor.check(k, domain(source, target)) for k in range(10 * AVERAGED)]
    warnings = [text for text in texts if text]
    assert len(warnings) == 1 and "collapsed" in warnings[0] and side in warnings[0]


@pytest.mark.parametrize("source, target", [(0.9, 0.9), (1.0, 0.6), (0.5, 0.5),
                                            (float("nan"), 1.0)])
def test_classifier_that_still_learns_is_not_warned_about(source, target):
    monitor = ClassifierMonitor()
    assert not any(monitor.check(k, domain(source, target)) for k in range(10 * AVERAGED))


def test_net_without_a_classifier_gets_no_warning():
    assert ClassifierMonitor().check(0, {"loss": 1.0}) is None


def probe(norm, share):
    return {"feature_norm_source": norm, "domain_target_share": share}


def warnings_of(monitor, probes):
    return [text for text in (monitor.check(k, values) for k, values in enumerate(probes)) if text]


def test_a_domain_loss_that_shrinks_the_features_is_reported_once_in_words():
    (text,) = warnings_of(FeatureMonitor(), [probe(100, 0.1)] * PROBES + [probe(70, 0.1)] * 20)
    assert "the domain loss shrinks the features: 90% of its gradient's square" in text
    assert "0.70 times as long" in text and "normalised" in text


@pytest.mark.parametrize("later", [(100, 0.1), (70, 0.8), (90, 0.1), (70, 0.31)])
def test_features_that_keep_their_length_or_a_gradient_on_the_target_are_not_warned_about(later):
    assert not warnings_of(FeatureMonitor(), [probe(100, 0.1)] * PROBES + [probe(*later)] * 20)


def test_a_single_batch_with_short_features_is_chance():
    probes = [probe(100, 0.1)] * 2 * PROBES + [probe(70, 0.1)] + [probe(100, 0.1)] * PROBES
    assert not warnings_of(FeatureMonitor(), probes)


def test_a_resumed_run_knows_the_features_of_its_start_and_what_was_said():
    start = [dict(kind="train", iteration=k, values=probe(100, 0.1)) for k in range(PROBES)]
    start.append(dict(kind="note", iteration=3, text="resumed"))
    assert warnings_of(FeatureMonitor(start), [probe(70, 0.1)] * PROBES)
    shrunk = [dict(kind="train", iteration=9, values=probe(70, 0.1))] * PROBES
    assert not warnings_of(FeatureMonitor(start + shrunk), [probe(70, 0.1)] * PROBES)


def test_numbers_that_are_missing_or_not_finite_are_passed_over():
    probes = [{}, probe(None, 0.1), probe(float("nan"), 0.1), {"feature_norm_source": 3.0}]
    assert not warnings_of(FeatureMonitor(), probes * 20)


def test_first_loss_near_ln_classes_is_healthy_and_a_high_one_is_not():
    monitor = FirstLossMonitor(19)
    assert "only 0.5" in FirstLossMonitor(19).check(0, {"seg_loss": 0.5})
    assert monitor.check(0, {"seg_loss": 2.95}) is None
    assert "ln(19) = 2.94" in monitor.check(0, {"seg_loss": 60.0})
    assert monitor.check(1, {"seg_loss": 60.0}) is None


def test_high_first_loss_is_warned_about_in_the_run_and_its_log(tmp_path, capfd):
    net = net_text().replace("std: 0.001", "std: 30")
    train(write_run(tmp_path, net, max_iter=1), tmp_path / "out")
    assert "Likely causes" in capfd.readouterr().err
    assert entries(tmp_path / "out", "note")[0]["iteration"] == 0
