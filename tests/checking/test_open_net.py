"""Opening a net with its weights, and labels against scores."""
import json
import os
import time

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")

from data.errors import InputError
from tools.lib.checking.caffemodel import open_net
from tools.lib.checking.dry_run import dry_run_net
from tools.lib.checking.net import load_net

from tiny_nets import NET, write_net


def toy_net(channels=8, loss_param="ignore_label: 255", workers=0, **options):
    """A net on the toy data set, whose label space has 8 classes; options: of the data set."""
    keys = dict(crop=[8, 8], mean=[0, 0, 0], workers=workers,
                source=dict(dataset="toy", split="source_val", options=options))
    return f"""
        layer {{ name: "data" type: "Python" top: "data" top: "label" python_param {{
                 module: "layers.source_target_data" layer: "SourceTargetData"
                 param_str: '{json.dumps(keys)}' }} }}
        layer {{ name: "final" type: "Convolution" bottom: "data" top: "final"
                 convolution_param {{ num_output: {channels} kernel_size: 1 }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "final" bottom: "label" top: "loss"
                 loss_param {{ {loss_param} }} }}"""


def saved(tmp_path, text=NET, change=None):
    net = caffe.Net(write_net(tmp_path, text, "saved.prototxt"), caffe.TRAIN)
    if change:
        change(net)
    path = str(tmp_path / "m.caffemodel")
    net.save(path)
    return path


def test_a_net_gets_its_weights(tmp_path):
    weights = saved(tmp_path, change=lambda net: net.params["final"][1].data.fill(7))
    net, report = open_net(write_net(tmp_path), weights)
    assert (net.params["final"][1].data == 7).all() and report.loaded == ["conv", "final"]
    assert net.forward()["final"].shape == (2, 3, 6, 5)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    weights = saved(tmp_path, change=lambda net: net.params["conv"][0].data.fill(np.inf))
    with pytest.raises(InputError, match="not finite"):
        open_net(write_net(tmp_path), weights)


def test_a_layer_without_weights_is_refused_unless_allowed(tmp_path):
    weights = saved(tmp_path, NET.replace('"final"', '"other"'))
    with pytest.raises(InputError, match="no weights for final"):
        open_net(write_net(tmp_path), weights)
    assert open_net(write_net(tmp_path), weights, complete=False)[1].initial == ["final"]


def test_a_net_that_aborts_caffe_is_refused(tmp_path):
    wrong = NET + 'layer { name: "e" type: "Eltwise" bottom: "final" bottom: "conv" top: "e" }'
    with pytest.raises(InputError, match='layer "e"'):
        open_net(write_net(tmp_path, wrong), saved(tmp_path))


@pytest.mark.parametrize("channels, ignored, words", [
    (8, "ignore_label: 255", None),
    (7, "ignore_label: 255", "have 7 channels; expected 8, the classes of the label space toy"),
    (9, "ignore_label: 255", "have 9 channels"), (8, "", "ignore_label is missing; expected 255"),
    (8, "ignore_label: 0", "ignore_label is 0")])
def test_scores_fit_the_classes_of_the_labels(tmp_path, channels, ignored, words):
    path = write_net(tmp_path, toy_net(channels, ignored))
    if words is None:
        dry_run_net(load_net(path), caffe.TRAIN, path)
        return
    with pytest.raises(InputError) as caught:
        dry_run_net(load_net(path), caffe.TRAIN, path)
    assert words in str(caught.value) and 'layer "loss"' in str(caught.value)


@pytest.mark.parametrize("option", ["root", "name", "space"])
def test_a_net_cannot_lead_a_data_set_elsewhere(tmp_path, option):
    path = write_net(tmp_path, toy_net(**{option: "/etc"}))
    with pytest.raises(InputError, match=f'layer "data": .*{option} is no option of a data set'):
        dry_run_net(load_net(path), caffe.TRAIN, path)


def holders(path):
    """Processes other than this one that have the file open, as forks of this one do."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{pid}/fd"
        try:
            links = [os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)]
        except OSError:
            continue
        if path in links and int(pid) != os.getpid():
            found.append(pid)
    return found


def test_the_workers_of_a_dry_run_end_with_it(tmp_path):
    path = write_net(tmp_path, toy_net(workers=2))
    with open(path):
        net = load_net(path)
        dry_run_net(net, caffe.TRAIN, path)
        deadline = time.monotonic() + 5
        while holders(path):
            assert time.monotonic() < deadline, "a process of the dry run lives on"
            time.sleep(0.01)
