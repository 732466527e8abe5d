"""The dry run of a whole step finds where Caffe would abort, and costs known nets nothing."""
import glob
import os
import signal

import pytest

caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data import child_process
from data.errors import InputError
from data.files import ROOT
from tools.lib.checking import whole_step
from tools.lib.checking.net import load_net
from tools.lib.checking.solver_file import load_nets, load_solver
from tools.lib.checking.whole_step import TRAINS, dry_run_step, is_known_to_train
from tools.lib.training import run

from data_files import children
from tiny_nets import NET, write_solver

POOL = """layer { name: "pool" type: "Pooling" bottom: "final" top: "pool" %s
        pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
"""
TESTED = "test_iter: 1 test_interval: 1"
#: Every type of TRAINS that needs no file, with every field that TRAINS has for it.
ALL = """name: "all"
layer { name: "in" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 2 dim: 3 dim: 12 dim: 10 }
                      shape { dim: 2 dim: 1 dim: 12 dim: 10 } } transform_param { scale: 2 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 bias_term: true kernel_size: 3 pad: 2 dilation: 2
                            stride: 1 group: 1 weight_filler { type: "msra" }
                            bias_filler { type: "constant" value: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "max" type: "Pooling" bottom: "conv" top: "max"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 pad: 1 } }
layer { name: "mean" type: "Pooling" bottom: "conv" top: "mean"
        pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
layer { name: "drop" type: "Dropout" bottom: "max" top: "max"
        dropout_param { dropout_ratio: 0.5 } }
layer { name: "sum" type: "Eltwise" bottom: "max" bottom: "mean" top: "sum"
        eltwise_param { coeff: 1 coeff: -1 } }
layer { name: "slice" type: "Slice" bottom: "sum" top: "a" top: "b"
        slice_param { axis: 1 slice_point: 1 } }
layer { name: "concat" type: "Concat" bottom: "b" bottom: "a" top: "joined"
        concat_param { axis: 1 } }
layer { name: "up" type: "Deconvolution" bottom: "joined" top: "up"
        convolution_param { num_output: 4 bias_term: false kernel_size: 4 stride: 2 pad: 0 group: 4
                            weight_filler { type: "bilinear" } } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "label" top: "score"
        crop_param { axis: 2 offset: 1 } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
layer { name: "end" type: "Silence" bottom: "prob" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
        propagate_down: true propagate_down: false
        loss_param { ignore_label: 255 normalization: VALID normalize: true } }
"""


def step(folder, text=NET, changes="", **options):
    """dry_run_step of a solver in `folder`; returns the lines that it reported."""
    path = write_solver(folder, changes, text)
    solver = load_solver(path)
    train_net, test_nets = load_nets(solver, path)
    lines = []
    dry_run_step(solver, [train_net] + test_nets, "solver", lines.append, **options)
    return lines


@pytest.fixture
def always(monkeypatch):
    """No net is known to train."""
    monkeypatch.setattr(whole_step, "is_known_to_train", lambda layer: False)


@pytest.mark.parametrize("text, changes, where", [
    (NET + POOL % "", "", "pool"), (NET + POOL % "include { phase: TEST }", TESTED, "pool")])
def test_the_step_finds_stochastic_pooling_without_a_list(tmp_path, text, changes, where):
    with pytest.raises(InputError) as caught:
        step(tmp_path, text, changes)
    assert caught.value.what.startswith(
        f'solver: layer "{where}": Caffe refuses it in its forward pass: Not Implemented Yet')


def test_train_refuses_it_without_the_list_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "refuse_gpu_only", lambda *_: None)
    solver = write_solver(tmp_path, "", NET + POOL % "")
    with pytest.raises(InputError, match='layer "pool": Caffe refuses it in its forward pass'):
        run.main(["--solver", solver, "--output", str(tmp_path / "out"), "--seed", "1"])
    assert not (tmp_path / "out").exists()


def test_a_missing_backward_pass_names_its_layer(tmp_path, always):
    text = NET + """
layer { name: "made" type: "ArgMax" bottom: "final" top: "a" argmax_param { axis: 1 } }
layer { name: "far" type: "EuclideanLoss" bottom: "a" bottom: "label" top: "far" }"""
    with pytest.raises(InputError, match='layer "made": Caffe refuses it in its backward pass: '
                                         "Not Implemented"):
        step(tmp_path, text)


class DyingLayer(caffe.Layer):
    """Ends its process in the backward pass, and tells nobody why."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        os.kill(os.getpid(), signal.SIGSEGV)


class SlowLayer(DyingLayer):
    """Needs longer than anybody waits."""

    def forward(self, bottom, top):
        signal.pause()


def python_layer(name):
    return NET + f"""layer {{ name: "p" type: "Python" bottom: "final" top: "p" loss_weight: 1
        python_param {{ module: "{__name__}" layer: "{name}" }} }}"""


@pytest.fixture
def unchecked(monkeypatch):
    """Lets layers outside of layers/ through."""
    monkeypatch.setattr("tools.lib.checking.layer_fields.PACKAGE", __name__)


def test_the_signal_and_the_layer_are_named(tmp_path, always, unchecked):
    with pytest.raises(InputError) as caught:
        step(tmp_path, python_layer("DyingLayer"))
    assert caught.value.what == 'solver: layer "p": Caffe died of SIGSEGV in its backward pass'


def test_a_step_that_takes_too_long_is_left_to_the_training(tmp_path, always, unchecked):
    before = children()
    lines = step(tmp_path, python_layer("SlowLayer"), seconds=5)
    assert lines == ['solver: layer "p": Caffe did not finish computing a step within 5 s; whether '
                     "Caffe can compute this net shows in training"]
    assert children() == before


def test_sound_nets_pass_and_every_net_is_computed(tmp_path, always):
    assert step(tmp_path, NET, TESTED + " snapshot: 1 iter_size: 3 test_initialization: true") == []
    more = 'layer { name: "e" type: "ELU" bottom: "final" top: "e" }'
    assert step(tmp_path, NET + more) == []


def test_everything_in_the_list_of_known_layers_trains(tmp_path, always):
    step(tmp_path, ALL)


def test_the_list_of_known_layers_covers_the_net_above():
    layers = text_format.Parse(ALL, caffe_pb2.NetParameter()).layer
    assert all(map(is_known_to_train, layers))
    used = {layer.type for layer in layers}
    assert set(TRAINS) - used == {"Data", "ImageData", "Python"}
    for own, fields in (TRAINS[kind] for kind in used if TRAINS[kind][0]):
        given = {field.name for layer in layers for field, _ in getattr(layer, own).ListFields()}
        assert given == set(fields), own


@pytest.mark.parametrize("text", [
    'type: "PReLU"', 'type: "ReLU" relu_param { negative_slope: 0.1 }',
    'type: "Pooling" pooling_param { pool: STOCHASTIC }',
    'type: "Pooling" pooling_param { global_pooling: true }',
    'type: "ReLU" convolution_param { num_output: 1 }',
    'type: "Convolution" convolution_param { axis: 2 }'])
def test_other_types_and_fields_are_not_known(text):
    assert not is_known_to_train(text_format.Parse(text, caffe_pb2.LayerParameter()))


def test_the_nets_of_this_project_take_no_extra_step():
    paths = glob.glob(os.path.join(ROOT, "models", "*", "*.prototxt"))
    unknown = {layer.type for path in paths for layer in load_net(path).layer
               if not is_known_to_train(layer)}
    assert paths and not unknown


def test_a_known_net_starts_no_child(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_step, "dry_run", None)
    assert step(tmp_path, NET, TESTED) == []


def test_the_step_is_found_out_in_a_new_python_too(tmp_path, monkeypatch):
    # as on a GPU, where a fork cannot compute
    monkeypatch.setattr(child_process, "_spawning", True)
    monkeypatch.setattr(child_process.os, "fork", None)
    with pytest.raises(InputError, match='layer "pool": Caffe refuses it in its forward pass'):
        step(tmp_path, NET + POOL % "")
