"""Net prototxts: wiring, types, parameters and Python layers, before Caffe sees them."""
import glob
import os

import pytest

caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from tools.lib.checking.net import check_net, load_net
from tools.lib.checking.upgrade import upgrade_net, v1_type_name

from tiny_nets import NET, write_net


class ToyLayer(caffe.Layer):
    """A Python layer of this test: its module is imported already."""


def refusal(tmp_path, text, phase=caffe.TRAIN):
    path = write_net(tmp_path, text)
    with pytest.raises(InputError) as caught:
        check_net(load_net(path), phase, path)
    assert "net.prototxt" in str(caught.value)
    return str(caught.value)


def layer(rest):
    return NET + "layer { " + rest + " }\n"


def convolution(name, param):
    return (f'name: "{name}" type: "Convolution" bottom: "final" top: "{name}" '
            "convolution_param { " + param + " }")


def python(param):
    return 'name: "p" type: "Python" bottom: "final" top: "p" python_param { ' + param + " }"


def test_only_the_layers_of_the_phase_are_returned(tmp_path):
    net = load_net(write_net(tmp_path))
    assert check_net(net, caffe.TRAIN, "net")[-1].name == "loss"
    assert check_net(net, caffe.TEST, "net")[-1].name == "final"


def test_stages_and_levels_choose_layers_as_in_caffe(tmp_path):
    text = layer('name: "s" type: "Silence" bottom: "final" include { stage: "a" not_stage: "b" '
                 'min_level: 1 }')
    path = write_net(tmp_path, text)
    for state, there in (("", False), ('stage: "a"', False), ('stage: "a" level: 1', True),
                         ('stage: "a" stage: "b" level: 1', False)):
        net = load_net(path)
        net.state.CopyFrom(text_format.Parse(state, caffe_pb2.NetState()))
        running = check_net(net, caffe.TRAIN, path)
        assert any(layer.name == "s" for layer in running) == there
        built = caffe_net_layers(net, tmp_path)
        assert ("s" in built) == there


def caffe_net_layers(net, folder):
    """Names of the layers that Caffe itself keeps."""
    path = folder / "state.prototxt"
    path.write_text(text_format.MessageToString(net))
    return list(caffe.Net(str(path), caffe.TRAIN, level=net.state.level)._layer_names)


def test_the_committed_nets_pass(repo_root):
    paths = glob.glob(os.path.join(repo_root, "models", "*", "*.prototxt"))
    assert paths
    for path in paths:
        phase = caffe.TEST if path.endswith("deploy.prototxt") else caffe.TRAIN
        check_net(load_net(path), phase, path)


@pytest.mark.parametrize("text, words", [
    ('name: "x" type: "ReLu" bottom: "final" top: "x"', '"ReLU"'),
    ('name: "x" type: "Nonsense" bottom: "final" top: "x"', "expected one of: AbsVal"),
    ('name: "x" bottom: "final" top: "x"', 'unknown type ""'),
    ('type: "ReLU" bottom: "final" top: "x"', "layer number 6 has no name"),
    ('name: "conv" type: "ReLU" bottom: "final" top: "x"', 'layer "conv": the name is given twice'),
    ('name: "x" type: "ReLU" bottom: "fimal" top: "x"', 'bottom "fimal"; did you mean "final"'),
    ('name: "x" type: "ReLU" bottom: "y" top: "x" } '
     'layer { name: "y" type: "ReLU" bottom: "final" top: "y"', 'layer "y" makes it, later'),
    ('name: "x" type: "ReLU" bottom: "x" top: "x"', 'bottom "x"; layer "x" makes it, later'),
    ('name: "x" type: "ReLU" bottom: "data" top: "final"', 'top "final" is made by layer "final"'),
    ('name: "x" type: "Split" bottom: "final" top: "x" top: "x"', 'top "x" is made by layer "x"'),
    ('name: "x" type: "ReLU" bottom: "final" top: "x" propagate_down: true propagate_down: true',
     "propagate_down is given 2 times for 1 bottoms"),
    ('name: "x" type: "ReLU" bottom: "final" top: "x" loss_weight: nan', "loss_weight is nan"),
    ('name: "x" type: "ReLU" bottom: "final" top: "x" include {} exclude {}', "one kind"),
    ('name: "x" type: "HDF5Output" bottom: "final" bottom: "label" '
     'hdf5_output_param { file_name: "/tmp/x" }', "writes to any file"),
    ('name: "x" type: "ReLU" top: "x"', "has no bottom; a layer of type ReLU"),
    ('name: "x" type: "MemoryData" top: "x" top: "y"', "C++ program"),
    ('name: "x" type: "Dropout" bottom: "final" top: "x" dropout_param { dropout_ratio: 1 }',
     "dropout_ratio is 1"),
    ('name: "x" type: "InnerProduct" bottom: "final" top: "x"', "num_output is missing"),
    ('name: "x" type: "Pooling" bottom: "final" top: "x"', "kernel_size is missing"),
    ('name: "x" type: "Pooling" bottom: "final" top: "x" '
     'pooling_param { kernel_size: 2 stride: 0 }', "stride is 0"),
    ('name: "x" type: "Power" bottom: "final" top: "x" power_param { scale: inf }',
     "scale is inf")])
def test_each_fault_names_its_layer(tmp_path, text, words):
    assert words in refusal(tmp_path, layer(text))


@pytest.mark.parametrize("param, words", [
    ("kernel_size: 1", "num_output is missing or 0"),
    ("num_output: 0 kernel_size: 1", "num_output is missing or 0"),
    ("num_output: 2", "kernel_size is missing"),
    ("num_output: 2 kernel_h: 3", "kernel_size is missing"),
    ("num_output: 2 kernel_size: 0", "kernel_size is 0"),
    ("num_output: 2 kernel_size: 1 stride: 0", "stride is 0"),
    ("num_output: 2 kernel_size: 1 dilation: 0", "dilation is 0"),
    ("num_output: 2 kernel_size: 1 group: 0", "group is 0"),
    ("num_output: 3 kernel_size: 1 group: 2", "no multiple of group"),
    ('num_output: 2 kernel_size: 1 weight_filler { type: "gausian" }', '"gaussian"'),
    ('num_output: 2 kernel_size: 1 weight_filler { type: "gaussian" std: -1 }', "std is -1"),
    ('num_output: 2 kernel_size: 1 weight_filler { type: "gaussian" std: 0 }', "std is 0"),
    ('num_output: 2 kernel_size: 1 weight_filler { type: "uniform" min: 1 max: 0 }', "min is 1"),
    ("num_output: 2 kernel_size: 1 bias_filler { value: nan }", "value is nan")])
def test_convolutions(tmp_path, param, words):
    message = refusal(tmp_path, layer(convolution("x", param)))
    assert words in message and 'layer "x"' in message


@pytest.mark.parametrize("spec, words", [
    ('name: "w" lr_mult: 2', 'lr_mult of the shared parameter "w" is 2; layer "a" says 1'),
    ('name: "w" decay_mult: 0', "decay_mult of the shared"),
    ("lr_mult: -1", "lr_mult is -1"), ("decay_mult: nan", "decay_mult is nan")])
def test_multipliers_of_parameters(tmp_path, spec, words):
    first, second = (convolution(name, "num_output: 3 kernel_size: 1") + " param { " + own + " }"
                     for name, own in (("a", 'name: "w" lr_mult: 1 decay_mult: 1'), ("b", spec)))
    assert words in refusal(tmp_path, layer(first + " } layer { " + second))


@pytest.mark.parametrize("param, words", [
    ('module: "layers.domain_gat" layer: "DomainGate"', '"layers.domain_gate"'),
    ('module: "layers.domain_gate" layer: "DomainGat"', '"DomainGate"'),
    ('module: "layers.domain_gate" layer: "caffe"', "no layer class"),
    ('module: "layers.box_newton" layer: "x"', "it has: none"),
    ('module: "layers.domain_gate.x" layer: "x"', "no module layers.domain_gate.x"),
    ('module: "os" layer: "system"', "no layer class"),
    ('module: "antigravity" layer: "x"', "expected a module of the package layers"),
    ('module: "../x" layer: "y"', "plain name"), ('module: "layers.x y" layer: "z"', "plain name"),
    ('module: "layers.domain_gate" layer: "__init__()"', "plain name"), ("", "plain name")])
def test_python_layers(tmp_path, param, words):
    assert words in refusal(tmp_path, layer(python(param)))


def test_a_module_that_a_net_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    refusal(tmp_path, layer(python('module: "evil" layer: "A"')))


def test_a_layer_of_the_running_program_may_be_used(tmp_path):
    path = write_net(tmp_path, layer(python(f'module: "{__name__}" layer: "ToyLayer"')))
    check_net(load_net(path), caffe.TRAIN, path)


def test_a_classifier_that_mixes_units_is_refused(tmp_path):
    text = layer('name: "gate" type: "Python" bottom: "conv" top: "g" top: "link" '
                 'python_param { module: "layers.domain_gate" layer: "DomainGate" }')
    assert "DomainAdversarialLoss" in refusal(tmp_path, text)


def test_of_classifiers_that_stages_choose_between_the_one_that_runs_is_looked_at(tmp_path):
    adversarial = """name: "gate" type: "Python" bottom: "final" top: "gated" top: "link"
              python_param { module: "layers.domain_gate" layer: "DomainGate" } }
    layer { name: "domain" type: "Convolution" bottom: "gated" top: "domain"
            convolution_param { num_output: 2 kernel_size: 1 } }
    """
    loss = """layer { name: "domain_lossN" type: "Python" bottom: "domain" bottom: "link"
              top: "aN" top: "bN" top: "cN" top: "dN" include { stage: "sN" }
              loss_weight: WEIGHT loss_weight: 0 loss_weight: 0 loss_weight: 0
              python_param { module: "layers.domain_adversarial_loss"
                             layer: "DomainAdversarialLoss" } """
    first, second = (loss.replace("N\"", f"{number}\"").replace("WEIGHT", weight)
                     for number, weight in ((1, "1"), (2, "0")))
    path = write_net(tmp_path, layer(adversarial + first + "} " + second))
    net = load_net(path)
    net.state.stage.append("s1")
    assert check_net(net, caffe.TRAIN, path)[-1].name == "domain_loss1"
    net.state.stage[0] = "s2"
    with pytest.raises(InputError, match="domain_loss2.*the first not 0"):
        check_net(net, caffe.TRAIN, path)


def test_a_net_without_layers_of_the_phase(tmp_path):
    assert "no layer that runs in phase TEST" in refusal(tmp_path, 'name: "x"', caffe.TEST)


def test_every_v1_type_becomes_a_type_of_this_caffe():
    known = set(caffe.layer_type_list())
    enum = caffe_pb2.V1LayerParameter.LayerType
    missing = [n for n, v in enum.items() if v and v1_type_name(v) not in known]
    # a build without OpenCV has no ImageData and no WindowData
    assert missing == ([] if "ImageData" in known else ["IMAGE_DATA", "WINDOW_DATA"])


def test_v1_layers_become_what_caffe_makes_of_them(tmp_path):
    text = """input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
    layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2
             weight_decay: 1 weight_decay: 0 convolution_param { num_output: 2 kernel_size: 3 } }
    layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
    layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
             pooling_param { kernel_size: 2 stride: 2 } }"""
    path = write_net(tmp_path, text)
    net = load_net(path)
    assert [(layer.name, layer.type) for layer in check_net(net, caffe.TEST, path)] == [
        ("input", "Input"), ("conv", "Convolution"), ("relu", "ReLU"), ("pool", "Pooling")]
    assert [(p.lr_mult, p.decay_mult) for p in net.layer[1].param] == [(1, 1), (2, 0)]
    new = write_net(tmp_path, text_format.MessageToString(net), "new.prototxt")
    old_net, new_net = caffe.Net(path, caffe.TEST), caffe.Net(new, caffe.TEST)
    assert {k: tuple(b.shape) for k, b in old_net.blobs.items()} == \
        {k: tuple(b.shape) for k, b in new_net.blobs.items()}


@pytest.mark.parametrize("text, words", [
    ('layer { name: "a" type: "Input" } layers { name: "b" type: RELU }', "expected one of them"),
    ('layers { layer { name: "a" type: "conv" } }', "V0 format"),
    ('input: "a" input_dim: 1', "expected 4 for each"),
    ('input: "a"', "0 input_shape for 1 inputs"),
    ('input: "a" input_dim: 1 input_shape { dim: 1 }', "both input_shape and input_dim")])
def test_formats_that_cannot_be_upgraded(text, words):
    with pytest.raises(InputError) as caught:
        upgrade_net(text_format.Parse(text, caffe_pb2.NetParameter()), "old.prototxt")
    assert words in str(caught.value) and "old.prototxt" in str(caught.value)
