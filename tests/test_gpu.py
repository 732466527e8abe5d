"""CPU against GPU: every kind of Caffe's own layers that the nets use, forward and backward.

The comparison also runs as CPU against CPU, so that what it compares is known to work where there is no GPU.
"""
import glob

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data.errors import InputError  # noqa: E402
from tools.checking.device import use_device  # noqa: E402

TOLERANCE = 1e-4
CONV = ('type: "Convolution" convolution_param { num_output: %d kernel_size: %d pad: %d dilation: %d stride: %d '
        'weight_filler { type: "msra" } bias_filler { type: "gaussian" std: 1 } }')
LAYERS = {
    "convolution": CONV % (5, 3, 1, 1, 1), "1x1 convolution": CONV % (7, 1, 0, 1, 1),
    "dilation 2": CONV % (5, 3, 0, 2, 1), "dilation 4, kernel 7": CONV % (5, 7, 12, 4, 1),
    "relu": 'type: "ReLU"',
    "max pooling": 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 }',
    "upsampling": 'type: "Deconvolution" convolution_param { num_output: 3 group: 3 kernel_size: 16 stride: 8 pad: 4 '
                  'bias_term: false weight_filler { type: "bilinear" } }',
    "softmax": 'type: "Softmax"', "power": 'type: "Power" power_param { scale: 2 shift: 1 }',
}


def no_gpu():
    """Why there is no GPU to test, or None."""
    if not glob.glob("/proc/driver/nvidia/gpus/*"):
        return "no NVIDIA GPU with a driver on this machine"
    try:
        use_device(0, "tests/test_gpu.py")
    except InputError as problem:
        return "this Caffe cannot use the GPU: %s" % problem
    return None


@pytest.fixture(params=["cpu", "gpu"])
def device(request):
    """Where the second of two runs computes."""
    reason = no_gpu() if request.param == "gpu" else None
    if reason:
        pytest.skip(reason)
    yield request.param
    caffe.set_mode_cpu()


def passes(net, device, seed=1):
    """One forward and backward pass; {name: array} of all blobs, their gradients and the parameters' gradients."""
    (caffe.set_mode_gpu if device == "gpu" else caffe.set_mode_cpu)()
    draw = np.random.RandomState(seed)
    for name in net.inputs:
        shape = net.blobs[name].data.shape
        net.blobs[name].data[...] = draw.randint(0, 3, shape) if "label" in name else draw.normal(size=shape)
    net.clear_param_diffs()
    net.forward()
    for name in net.outputs:
        if not net.blob_loss_weights[name]:
            net.blobs[name].diff[...] = draw.normal(size=net.blobs[name].data.shape) if len(net.blobs) == 2 else 0
    net.backward()
    found = {}
    for name, blob in net.blobs.items():
        found[name], found["gradient of " + name] = blob.data.copy(), blob.diff.copy()
    for name, blobs in net.params.items():
        for number, blob in enumerate(blobs):
            found["gradient of parameter %d of %s" % (number, name)] = blob.diff.copy()
    return found


def compare(path, device):
    first, second = caffe.Net(str(path), caffe.TRAIN), caffe.Net(str(path), caffe.TRAIN)
    for name, blobs in first.params.items():
        for mine, other in zip(blobs, second.params[name]):
            other.data[...] = mine.data
    expected, found = passes(first, "cpu"), passes(second, device)
    assert any(np.abs(values).max() > 0 for name, values in expected.items() if name.startswith("gradient"))
    for name, values in expected.items():
        assert np.abs(found[name] - values).max() <= TOLERANCE * np.abs(values).max(), name


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_gives_the_same_both_ways(tmp_path, device, kind):
    path = tmp_path / "net.prototxt"
    path.write_text('force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape '
                    '{ dim: 2 dim: 3 dim: 17 dim: 22 } } } layer { name: "y" bottom: "x" top: "y" %s }' % LAYERS[kind])
    compare(path, device)
