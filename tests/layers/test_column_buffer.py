"""Convolutions of several nets in one process, which may share the memory of their columns."""
import threading

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

FILLER = 'weight_filler { type: "gaussian" std: 0.3 }'
LAYERS = {
    "plain": (16, 'type: "Convolution"', "num_output: 5 kernel_size: 3 pad: 1"),
    "dilated": (11, 'type: "Convolution"', "num_output: 4 kernel_size: 3 dilation: 2"),
    "grouped": (9, 'type: "Convolution"', "num_output: 6 kernel_size: 3 group: 2"),
    "pointwise": (13, 'type: "Convolution"', "num_output: 3 kernel_size: 1"),
    "any dimension": (10, 'type: "Convolution"',
                      "num_output: 3 kernel_size: 3 stride: 2 force_nd_im2col: true"),
    "deconvolution": (6, 'type: "Deconvolution"', "num_output: 3 kernel_size: 4 stride: 2 pad: 1"),
}
NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 2 dim: 4 dim: %d dim: %d } } }
layer { name: "one" %s bottom: "data" top: "one" convolution_param { %s %s } }
layer { name: "two" type: "Convolution" bottom: "one" top: "two"
        convolution_param { num_output: 2 kernel_size: 2 %s } }
"""


@pytest.fixture
def nets(tmp_path):
    """{name: Net} with random weights and data, the same at every call."""
    def build():
        built = {}
        for name, (size, kind, settings) in LAYERS.items():
            path = tmp_path / "net.prototxt"
            path.write_text(NET % (size, size, kind, settings, FILLER, FILLER))
            caffe.set_random_seed(3)
            built[name] = caffe.Net(str(path), caffe.TRAIN)
            fill(built[name])
        return built
    return build


def fill(net):
    blob = net.blobs["data"]
    blob.data[...] = np.random.RandomState(4).normal(size=blob.data.shape)


def backward(net):
    net.blobs["two"].diff[...] = np.cos(np.arange(net.blobs["two"].count)).reshape(
        net.blobs["two"].data.shape)
    net.clear_param_diffs()
    net.backward()


def outcome(net):
    """Copies of the net's result and gradients."""
    arrays = [net.blobs["two"].data, net.blobs["data"].diff]
    arrays += [blob.diff for blobs in net.params.values() for blob in blobs]
    return [array.copy() for array in arrays]


def equal(first, second):
    return all(np.array_equal(*pair) for pair in zip(first, second))


@pytest.fixture
def alone(nets):
    """{name: outcome} of every net, run while the others have not run yet."""
    found = {}
    for name in LAYERS:
        net = nets()[name]
        net.forward()
        backward(net)
        found[name] = outcome(net)
        assert all(array.any() for array in found[name])
    return found


def test_nets_that_take_turns_give_what_each_gives_alone(nets, alone):
    running = nets()
    for net in running.values():
        net.forward()
    for net in reversed(list(running.values())):
        backward(net)
    for name, net in running.items():
        assert equal(outcome(net), alone[name]), name


def test_a_net_that_grows_or_goes_away_leaves_the_others_as_they_are(nets, alone):
    running = nets()
    for net in running.values():
        net.forward()
    large = running.pop("plain")
    large.blobs["data"].reshape(1, 4, 60, 70)
    large.forward()
    backward(large)
    del running["dilated"]
    for net in running.values():
        backward(net)
    for name, net in running.items():
        assert equal(outcome(net), alone[name]), name
    large.blobs["data"].reshape(2, 4, 16, 16)
    fill(large)
    large.forward()
    backward(large)
    assert equal(outcome(large), alone["plain"])


def test_a_net_may_go_on_in_another_thread(nets, alone):
    running = nets()
    for net in running.values():
        net.forward()
    thread = threading.Thread(target=lambda: [backward(net) for net in running.values()])
    thread.start()
    thread.join()
    for name, net in running.items():
        assert equal(outcome(net), alone[name]), name
        net.forward()
        backward(net)
        assert equal(outcome(net), alone[name]), name
