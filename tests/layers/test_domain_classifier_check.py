"""layers/domain_classifier_check.py: what may stand between the gate and the domain loss."""
import glob
import os

import pytest

caffe_pb2 = pytest.importorskip("caffe.proto.caffe_pb2", reason="needs the Caffe runtime: python3 "
                                                                "tools/setup_caffe.py")
from google.protobuf import text_format  # noqa: E402

from data.errors import InputError  # noqa: E402
from data.files import ROOT  # noqa: E402
from layers.domain_classifier_check import check_classifier  # noqa: E402
from tools.lib.checking.net import running_layers  # noqa: E402

MODELS = os.path.join(ROOT, "models")
GATE = """layer { name: "gate" type: "Python" bottom: "fc7" top: "gated" top: "link"
  python_param { module: "layers.domain_gate" layer: "DomainGate" } }
"""
LOSS = """layer { name: "loss" type: "Python" bottom: "score" bottom: "link" top: "a" top: "b"
    top: "c" top: "d"
  loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0
  python_param { module: "layers.domain_adversarial_loss" layer: "DomainAdversarialLoss" } }
"""
TRUNK = """layer { name: "fc7" type: "Convolution" bottom: "data" top: "fc7"
  convolution_param { num_output: 9 kernel_size: 3 } }
layer { name: "final" type: "Convolution" bottom: "fc7" top: "final"
  convolution_param { num_output: 9 kernel_size: 7 } }
"""
FC1 = """layer { name: "fc1" type: "Convolution" bottom: "gated" top: "fc1"
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "drop1" type: "Dropout" bottom: "fc1" top: "fc1" }
"""
SCORE = """layer { name: "score" type: "Convolution" bottom: "fc1" top: "score"
  convolution_param { num_output: 2 kernel_h: 1 kernel_w: 1 stride: 1 pad: 0 } }
"""
GOOD = TRUNK + GATE + FC1 + SCORE + LOSS


def check(text, phase=0):
    net = caffe_pb2.NetParameter()
    text_format.Merge(text, net)
    check_classifier(running_layers(net, phase, "net"), phase)


def refused(text, phase=0):
    with pytest.raises(InputError) as caught:
        check(text, phase)
    return caught.value.what


def test_the_classifier_of_the_method_passes_whatever_the_trunk_is():
    check(GOOD)


def test_a_net_without_adaptation_passes():
    check(TRUNK)


def test_a_gate_in_place_passes():
    check(GOOD.replace('top: "gated"', 'top: "fc7"', 1).replace('bottom: "gated"', 'bottom: "fc7"'))


@pytest.mark.parametrize("old, new, words", [
    ("num_output: 4 kernel_size: 1", "num_output: 4 kernel_size: 3 pad: 1",
     "'fc1': Convolution with kernel 3, stride 1, pad 1"),
    ("num_output: 4 kernel_size: 1", "num_output: 4", "'fc1': Convolution with kernel "),
    ("kernel_h: 1 kernel_w: 1", "kernel_h: 1 kernel_w: 3", "'score': Convolution with kernel 1x3"),
    ("stride: 1", "stride: 2", "stride 2"),
    ("stride: 1", "stride_h: 1 stride_w: 2", "stride 1x2"),
    ("pad: 0", "pad: 1", "pad 1"),
    ("pad: 0", "axis: 2", "axis 2"),
    ('name: "relu1" type: "ReLU"', 'name: "norm" type: "BatchNorm"', "'norm': BatchNorm cannot "
                                                                     "stand"),
    ('name: "relu1" type: "ReLU"', 'name: "pool" type: "Pooling"', "'pool': Pooling"),
    ('name: "relu1" type: "ReLU"', 'name: "own" type: "Python" python_param { layer: "Mixer" }',
     "'own': Python Mixer"),
])
def test_layers_that_mix_units_are_refused_with_the_reason(old, new, words):
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    what = refused(text)
    assert words in what
    assert "each unit's domain logit depends on the features of that unit alone" in what


NORM = """layer { name: "norm" type: "Python" bottom: "gated" top: "normed"
  python_param { module: "layers.rms_norm" layer: "RMSNorm" } }
"""
LRN = """layer { name: "norm" type: "LRN" bottom: "gated" top: "normed" lrn_param { %s } }
"""
ON_NORM = FC1.replace('bottom: "gated"', 'bottom: "normed"') + SCORE + LOSS


@pytest.mark.parametrize("norm", [NORM, LRN % "local_size: 17", LRN % "local_size: 99"])
def test_normalisation_over_all_channels_of_a_unit_passes(norm):
    relu = 'layer { name: "relu" type: "ReLU" bottom: "fc7" top: "fc7" }\n'
    check(TRUNK + relu + GATE + norm + ON_NORM)


@pytest.mark.parametrize("norm, words", [
    (LRN % "", "LRN with local_size 5, less than the 17 that cover all 9 channels"),
    (LRN % "local_size: 15", "LRN with local_size 15, less than the 17"),
    (LRN % "local_size: 17 norm_region: WITHIN_CHANNEL", "LRN within a channel cannot stand"),
    (NORM.replace("RMSNorm", "SomeNorm"), "Python SomeNorm cannot stand"),
])
def test_normalisation_over_anything_else_is_refused(norm, words):
    assert f"'norm': {words}" in refused(TRUNK + GATE + norm + ON_NORM)


def test_normalisation_over_an_unknown_number_of_channels_is_refused():
    trunk = 'layer { name: "data" type: "Input" top: "fc7" }\n'
    assert "'norm': LRN across channels whose number no Convolution" in refused(
        trunk + GATE + LRN % "local_size: 17" + ON_NORM)


def test_a_second_branch_of_the_classifier_is_followed_too():
    branch = ('layer { name: "wide" type: "Convolution" bottom: "fc1" top: "w" '
              'convolution_param { num_output: 2 kernel_size: 3 } }\n')
    assert "'wide': Convolution with kernel 3" in refused(GOOD + branch)


def test_segmentation_must_not_hang_on_the_gates_features():
    assert "'final': Convolution with kernel 7" in refused(
        GATE.replace("fc7", "data") + TRUNK.replace('bottom: "fc7"', 'bottom: "gated"') + FC1 +
        SCORE + LOSS)


@pytest.mark.parametrize("text, words", [
    (TRUNK + FC1.replace("gated", "fc7") + SCORE + LOSS, "'loss': no DomainGate stands before"),
    (TRUNK + GATE + FC1 + SCORE, "'gate': nothing behind this DomainGate ends in"),
    (TRUNK + GATE + FC1 + SCORE + LOSS.replace('bottom: "link"', 'bottom: "final"'),
     "the gate's second top 'link', found 'score', 'final'"),
    (TRUNK + GATE + FC1 + SCORE + LOSS.replace('bottom: "score"', 'bottom: "final"'),
     "found 'final', 'link'"),
    (GOOD + 'layer { name: "s" type: "Silence" bottom: "link" }', "'s': the link 'link' of a "
                                                                  "DomainGate may go to"),
    (GOOD + LOSS.replace('"loss"', '"loss2"'), "'loss2': layer 'loss' uses the same gate"),
    (TRUNK + GATE.replace('top: "link"', "") + FC1 + SCORE + LOSS, "'gate': a DomainGate takes 1 "
                                                                   "bottom and 2 tops"),
    (GOOD.replace("loss_weight: 0", ""), "loss_weight must be given once for each of the 4 tops"),
    (GOOD.replace("loss_weight: 0", "").replace("loss_weight: 1", ""), "nothing would be trained"),
    (GOOD.replace("loss_weight: 1 loss_weight: 0", "loss_weight: 0 loss_weight: 1"),
     "the first not 0, the others 0"),
])
def test_wrong_wiring_is_refused(text, words):
    assert words in refused(text)


def test_in_place_layer_on_features_that_the_gate_shares_is_refused():
    gate, fc1 = GATE.replace("gated", "fc7"), FC1.replace("gated", "fc7")
    drop = 'layer { name: "drop" type: "Dropout" bottom: "fc7" top: "fc7" }\n'
    assert "'drop': works in place on 'fc7'" in refused(TRUNK + gate + drop + fc1 + SCORE + LOSS)


def test_layers_of_the_other_phase_do_not_count():
    pool = FC1.replace('name: "relu1" type: "ReLU"', 'name: "pool" type: "Pooling" include { '
                                                     'phase: TEST }')
    check(TRUNK + GATE + pool + SCORE + LOSS)
    assert "'pool'" in refused(TRUNK + GATE + pool + SCORE + LOSS, phase=1)
    out = FC1.replace('name: "relu1" type: "ReLU"', 'name: "pool" type: "Pooling" exclude { phase: '
                                                    'TRAIN }')
    check(TRUNK + GATE + out + SCORE + LOSS)


def test_loss_weights_do_not_matter_in_the_test_phase():
    check(GOOD.replace("loss_weight: 0", "").replace("loss_weight: 1", ""), phase=1)


def test_the_committed_adversarial_nets_pass():
    paths = sorted(glob.glob(os.path.join(MODELS, "*", "ga*.prototxt")))
    assert paths
    for path in paths:
        with open(path) as file:
            text = file.read()
        assert "DomainGate" in text
        check(text)
