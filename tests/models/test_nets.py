"""The nets and solvers: generated, committed, and of the shapes that the method fixes."""
import json
from dataclasses import replace

import caffe
import numpy as np
import pytest

import models.build
import solvers.build
from models.adaptation import deploy_net, train_net
from models.experiments import EXPERIMENTS
from models.generated import stale
from models.shapes import FULL, SLIM, Shape
from tools.lib.checking.net import check_net

NARROW = Shape(channels=(1, 1, 1, 1, 1), fc=1, hidden=(2, 2), dropout=0.5, margin=FULL.margin,
               frozen_blocks=0)


def load(net_parameter, tmp_path, phase=caffe.TEST):
    path = tmp_path / "net.prototxt"
    path.write_text(str(net_parameter))
    return caffe.Net(str(path), phase)


def layers_by_name(net_parameter):
    return {layer.name: layer for layer in net_parameter.layer}


@pytest.mark.parametrize("builder", [models.build, solvers.build])
def test_committed_prototxts_are_what_the_builders_write(builder):
    assert stale(builder.generated_files()) == []


def test_a_stale_prototxt_is_named():
    path, text = next(iter(solvers.build.generated_files().items()))
    assert stale({path: text + "#"}) == [path]


def test_unpadded_net_labels_a_256_window_from_a_628_input(tmp_path):
    net = load(deploy_net(NARROW, 19, (1, 2, 3), (256, 256)), tmp_path)
    assert net.blobs["data"].data.shape == (1, 3, 628, 628)
    assert net.blobs["final"].data.shape == (1, 19, 32, 32)
    assert net.blobs["score"].data.shape == (1, 19, 256, 256)


@pytest.mark.parametrize("height,width", [(64, 64), (80, 144), (96, 8)])
def test_padded_net_scores_every_pixel(tmp_path, height, width):
    net = load(deploy_net(SLIM, 8, (1, 2, 3), (height, width)), tmp_path)
    assert net.blobs["final"].data.shape == (1, 8, height // 8, width // 8)
    assert net.blobs["score"].data.shape == (1, 8, height, width)


def test_upsampling_is_bilinear_and_fixed(tmp_path):
    parameter = deploy_net(SLIM, 2, (1, 2, 3), (64, 64))
    deconvolution = layers_by_name(parameter)["score"]
    assert deconvolution.param[0].lr_mult == 0
    net = load(parameter, tmp_path)
    ramp = np.arange(8, dtype=np.float32)
    net.blobs["final"].data[...] = ramp
    net.forward(start="score")
    row = net.blobs["score"].data[0, 1, 32]
    # the centre of unit k is pixel 8 k + 3.5: inside, the ramp goes on in steps of 1/8
    np.testing.assert_allclose(row[4:60], (np.arange(4, 60) - 3.5) / 8, atol=1e-5)


def test_full_net_has_the_released_names_and_widths():
    layers = layers_by_name(deploy_net(FULL, 19, (1, 2, 3), (256, 256)))
    expected = {"conv1_1": 64, "conv1_2": 64, "conv2_1": 128, "conv2_2": 128,
                "conv3_1": 256, "conv3_2": 256, "conv3_3": 256, "conv4_1": 512,
                "conv4_2": 512, "conv4_3": 512, "conv5_1": 512, "conv5_2": 512,
                "conv5_3": 512, "fc6": 4096, "fc7": 4096, "final": 19}
    widths = {name: layer.convolution_param.num_output for name, layer in layers.items()
              if layer.type == "Convolution"}
    assert widths == expected
    assert list(layers["conv5_2"].convolution_param.dilation) == [2]
    assert list(layers["fc6"].convolution_param.dilation) == [4]
    assert list(layers["fc6"].convolution_param.kernel_size) == [7]
    assert all(list(layers[name].convolution_param.pad) in ([], [0]) for name in expected)
    assert not {"pool4", "pool5"} & set(layers)


def test_biases_learn_twice_as_fast_and_do_not_decay():
    for layer in deploy_net(FULL, 19, (1, 2, 3), (256, 256)).layer:
        if layer.type == "Convolution":
            weights, bias = layer.param
            assert (bias.lr_mult, bias.decay_mult) == (2 * weights.lr_mult, 0)


def test_frozen_blocks_keep_their_weights_and_the_others_do_not():
    layers = layers_by_name(deploy_net(SLIM._replace(frozen_blocks=2), 8, (1, 2, 3), (64, 64)))
    rates = {name: layers[name].param[0].lr_mult for name in ("conv1_1", "conv2_2", "conv3_1")}
    assert rates == {"conv1_1": 0, "conv2_2": 0, "conv3_1": 1}


def test_classifier_is_pointwise_and_stands_between_gate_and_loss():
    experiment = EXPERIMENTS["gta"]
    net = models.build.nets(experiment)["ga.prototxt"]
    layers = layers_by_name(net)
    widths = [layers[name].convolution_param.num_output
              for name in ("domain_fc1", "domain_fc2", "domain_score")]
    assert widths == [1024, 512, 2]
    gate = next(layer for layer in net.layer if layer.python_param.layer == "DomainGate")
    assert list(gate.bottom) == ["fc7"]
    loss = next(layer for layer in net.layer if layer.python_param.layer == "DomainAdversarialLoss")
    assert list(loss.bottom) == ["domain_score", "domain_link"]
    assert json.loads(loss.python_param.param_str)["weight"] == experiment.domain_loss.weight


def test_a_normalised_classifier_sees_normalised_features_and_the_segmentation_does_not(tmp_path):
    domain = dict(objective="confusion", weight=0.1, lr_mult=1, steps=1, normalised=True)
    net = train_net(SLIM, 8, models.build.data_keys(EXPERIMENTS["toy"]), target_images=2,
                    domain=domain)
    check_net(net, caffe.TRAIN, "net")
    layers = layers_by_name(net)
    norm = layers["domain_normalised"]
    assert norm.python_param.layer == "RMSNorm"
    assert list(norm.bottom) == ["domain_features"] and list(norm.top) == ["domain_normalised"]
    assert list(layers["domain_fc1"].bottom) == ["domain_normalised"]
    assert list(layers["drop7"].bottom) == ["fc7"]


def test_further_classifier_steps_stand_in_the_domain_loss():
    toy = EXPERIMENTS["toy"]
    for steps, expected in ((1, None), (5, 5)):
        net = models.build.nets(replace(
            toy, domain_loss=replace(toy.domain_loss, classifier_steps=steps)))["ga.prototxt"]
        keys = json.loads(layers_by_name(net)["domain_loss"].python_param.param_str)
        assert keys.get("classifier_steps") == expected


def test_the_reasons_of_the_domain_loss_stand_in_the_nets_that_have_it(monkeypatch):
    loss = replace(EXPERIMENTS["toy"].domain_loss, why=("first", "second"))
    reasoned = replace(EXPERIMENTS["toy"], domain_loss=loss)
    monkeypatch.setattr(models.build, "EXPERIMENTS", {"toy": reasoned})
    files = models.build.generated_files()
    with_reasons = [name for name, text in files.items() if "\n# first\n# second\nname: " in text]
    assert with_reasons == ["models/toy/ga.prototxt", "models/toy/ga_ca.prototxt"]


def test_source_net_names_no_target():
    data = next(iter(models.build.nets(EXPERIMENTS["toy"])["source.prototxt"].layer))
    keys = json.loads(data.python_param.param_str)
    assert keys["target_images"] == 0 and "target" not in keys


def test_augmentation_of_each_domain_reaches_the_data_layer():
    toy = EXPERIMENTS["toy"]
    jitter = {"brightness": 0.2}
    built = models.build.nets(replace(
        toy, source=replace(toy.source, scale=(0.75, 1.5)),
        target=replace(toy.target, scale=(0.5, 1.0), jitter=jitter)))
    found = {stage: json.loads(built[stage + ".prototxt"].layer[0].python_param.param_str)
             for stage in ("source", "ga")}
    assert found["ga"]["source_scale"] == found["source"]["source_scale"] == [0.75, 1.5]
    assert found["ga"]["target_scale"] == [0.5, 1] and found["ga"]["target_jitter"] == jitter
    assert not {"source_jitter", "target_scale", "target_jitter"} & set(found["source"])


def test_adaptation_without_target_images_is_refused():
    data = models.build.data_keys(EXPERIMENTS["toy"])
    with pytest.raises(ValueError, match="target images"):
        train_net(SLIM, 8, data, target_images=0, categories=dict(loss_weight=1))


def test_a_window_that_the_stride_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        deploy_net(SLIM, 8, (1, 2, 3), (100, 64))
