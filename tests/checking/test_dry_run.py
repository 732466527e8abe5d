"""The dry run: whatever a net does to Caffe, this process survives and names the reason."""
import os
import time

import pytest

caffe = pytest.importorskip("caffe")

from data import child_process
from data.errors import InputError
from tools.lib.checking.dry_run import cheap, dry_run, dry_run_net, dry_run_solver
from tools.lib.checking.net import load_net
from tools.lib.checking.solver_file import load_nets, load_solver

from data_files import children
from tiny_nets import NET, write_net, write_solver


class RaisingLayer(caffe.Layer):
    """Raises what its param_str says, in setup."""

    def setup(self, bottom, top):
        raise {"input": InputError("the crop is 0", "write 1"),
               "key": KeyError("colour")}[self.param_str]

    def reshape(self, bottom, top):
        top[0].reshape(1)


class WaitingLayer(RaisingLayer):
    """Never ends its setup."""

    def setup(self, bottom, top):
        time.sleep(60)


def net_with(rest):
    return NET + "layer { " + rest + " }\n"


def refusal(tmp_path, text, **options):
    path = write_net(tmp_path, text)
    with pytest.raises(InputError) as caught:
        dry_run_net(load_net(path), caffe.TRAIN, path, **options)
    assert path in str(caught.value)
    return str(caught.value)


def python_layer(name, param_str=""):
    return net_with(f'name: "p" type: "Python" top: "p" python_param {{ module: "{__name__}" '
                    f'layer: "{name}" param_str: "{param_str}" }}')


@pytest.fixture(autouse=True)
def no_child_is_left():
    before = children()
    yield
    assert children() == before


def test_shapes_come_back_as_caffe_made_them(tmp_path):
    path = write_net(tmp_path)
    shapes = dry_run_net(load_net(path), caffe.TRAIN, path)
    assert shapes.blobs["final"] == (2, 3, 6, 5)
    assert shapes.parameters["conv"] == [(4, 3, 3, 3), (4,)] and shapes.parameters["relu"] == []


@pytest.mark.parametrize("rest, words", [
    ('name: "e" type: "Eltwise" bottom: "final" bottom: "conv" top: "e"', 'layer "e"'),
    ('name: "s" type: "Softmax" bottom: "final" bottom: "conv" top: "s"', "takes 1 bottom blob"),
    ('name: "r" type: "ReLU" bottom: "final" top: "r" loss_weight: 1 loss_weight: 1',
     'layer "r": Caffe refuses it: top.size() == num_loss_weights (1 vs. 2) loss_weight must be '
     'unspecified or specified once per top blob'),
    ('name: "c" type: "Convolution" bottom: "final" top: "c" '
     'convolution_param { num_output: 2 kernel_size: 99 }', 'layer "c"'),
    ('name: "c" type: "Convolution" bottom: "final" top: "c" '
     'convolution_param { num_output: 2 kernel_size: 1 group: 2 }', 'layer "c"'),
    ('name: "i" type: "Input" top: "i" '
     'input_param { shape { dim: 100000 dim: 100000 dim: 100000 } }', "INT_MAX"),
    ('name: "d" type: "Data" top: "d" '
     'data_param { source: "nowhere" batch_size: 1 backend: LMDB }', "(db"),
    ('name: "h" type: "HDF5Data" top: "h" hdf5_data_param { source: "nowhere" batch_size: 1 }',
     'layer "h"'),
    ('name: "c" type: "InnerProduct" bottom: "final" top: "c" '
     'inner_product_param { num_output: 2000000000 }', 'layer "c"')])
def test_what_aborts_caffe_becomes_one_message(tmp_path, rest, words):
    message = refusal(tmp_path, net_with(rest))
    assert words in message and "\n" not in message


def test_an_error_of_a_python_layer_keeps_its_words_and_its_repair(tmp_path):
    message = refusal(tmp_path, python_layer("RaisingLayer", "input"))
    assert message.endswith('layer "p": the crop is 0\n  write 1')


def test_another_exception_names_its_type_and_line(tmp_path):
    message = refusal(tmp_path, python_layer("RaisingLayer", "key"))
    assert "KeyError: 'colour' (test_dry_run.py:" in message


def test_a_layer_that_never_ends_is_stopped(tmp_path):
    start = time.monotonic()
    message = refusal(tmp_path, python_layer("WaitingLayer"), seconds=10)
    assert 'layer "p": Caffe did not finish' in message
    assert "\n  try again while the machine" in message
    assert time.monotonic() - start < 30


def test_weights_that_caffe_refuses(tmp_path):
    path = write_net(tmp_path)
    wide = write_net(tmp_path, NET.replace("num_output: 4", "num_output: 5"), "wide.prototxt")
    caffe.Net(wide, caffe.TRAIN).save(str(tmp_path / "wide.caffemodel"))
    message = refusal(tmp_path, NET, weights=str(tmp_path / "wide.caffemodel"))
    assert "Cannot copy param 0 weights from layer 'conv'" in message
    assert path in message


def test_a_solver_is_built_with_all_its_nets(tmp_path):
    wrong = net_with('name: "e" type: "Eltwise" bottom: "final" bottom: "conv" top: "e"')
    other = write_net(tmp_path, wrong, "b.prototxt")
    path = write_solver(tmp_path)
    solver = load_solver(path)
    shapes = dry_run_solver(solver, *load_nets(solver, path), name=path)
    assert shapes.blobs["final"] == (2, 3, 6, 5)
    path = write_solver(tmp_path, f'test_net: "{other}" test_iter: 1 test_interval: 1')
    solver = load_solver(path)
    with pytest.raises(InputError, match='layer "e"'):
        dry_run_solver(solver, *load_nets(solver, path), name=path)


def test_the_dry_run_writes_nothing_where_the_solver_would(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_solver(tmp_path, 'snapshot: 1 snapshot_prefix: "not/made/yet"',
                        without=("snapshot_prefix", ))
    before = sorted(os.listdir(tmp_path))
    solver = load_solver(path)
    dry_run_solver(solver, *load_nets(solver, path), name=path)
    assert sorted(os.listdir(tmp_path)) == before


def test_the_generators_state_of_this_process_is_untouched(tmp_path):
    path = write_net(tmp_path)
    net = load_net(path)

    def weights(after_dry_run):
        caffe.set_random_seed(3)
        if after_dry_run:
            dry_run_net(net, caffe.TRAIN, path)
        return caffe.Net(path, caffe.TRAIN).params["conv"][0].data.copy()

    assert (weights(True) == weights(False)).all()


def test_cheap_fillers_change_no_shape_and_leave_fragile_ones(tmp_path):
    text = NET.replace('type: "msra"', 'type: "bilinear"').replace("std: 0.1", "std: 0.1 sparse: 2")
    net = cheap(load_net(write_net(tmp_path, text)))
    assert net.layer[1].convolution_param.weight_filler.sparse == 2
    assert net.layer[3].convolution_param.weight_filler.type == "bilinear"
    assert cheap(load_net(
        write_net(tmp_path))).layer[1].convolution_param.weight_filler.type == "constant"


def test_a_dry_run_gives_a_folder_that_is_gone_afterwards():
    folder = dry_run(lambda folder: folder if os.path.isdir(folder) else None, "x")
    assert folder and not os.path.exists(folder)


def test_a_new_python_finds_what_a_fork_finds(tmp_path, monkeypatch):
    """As on a GPU, whose threads a fork would not have."""
    net, solver = write_net(tmp_path), write_solver(tmp_path)
    (tmp_path / "broken").mkdir()
    broken = net_with('name: "p" type: "Pooling" bottom: "conv" top: "p" '
                      'pooling_param { kernel_size: 0 }')

    def found():
        parameter = load_solver(solver)
        train_net, test_nets = load_nets(parameter, solver)
        return (dry_run_net(load_net(net), caffe.TRAIN, net),
                dry_run_solver(parameter, train_net, test_nets, solver),
                refusal(tmp_path / "broken", broken))

    forked = found()
    monkeypatch.setattr(child_process, "_spawning", True)
    monkeypatch.setattr(os, "fork", None)
    assert found() == forked
