"""CPU against GPU: Caffe's own layers that the nets use, whole nets, and runs that change device.

The comparison also runs as CPU against CPU, so that the tests themselves are tested without a GPU.
"""
from dataclasses import replace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data.errors import InputError
from models.build import nets
from models.experiments.toy import TOY
from models.shapes import SLIM
from tools.bench.random_nets import experiment, with_random_data
from tools.lib.checking.device import use_device
from tools.lib.runtime.machine import cards

import tiny_training as tiny

TOLERANCE = 1e-4
#: Of whole nets, where a unit may fall on the other side of a ReLU's kink: relative, in the mean
#: square.
NET_TOLERANCE = 1e-3
CONV = ('type: "Convolution" convolution_param { num_output: %d kernel_size: %d pad: %d '
        'dilation: %d stride: %d weight_filler { type: "msra" } '
        'bias_filler { type: "gaussian" std: 1 } }')
LAYERS = {
    "convolution": CONV % (5, 3, 1, 1, 1), "1x1 convolution": CONV % (7, 1, 0, 1, 1),
    "dilation 2": CONV % (5, 3, 0, 2, 1), "dilation 4, kernel 7": CONV % (5, 7, 12, 4, 1),
    "relu": 'type: "ReLU"',
    "max pooling": 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 }',
    "upsampling": 'type: "Deconvolution" convolution_param { num_output: 3 group: 3 '
                  'kernel_size: 16 stride: 8 pad: 4 bias_term: false '
                  'weight_filler { type: "bilinear" } }',
    "slice": 'type: "Slice" top: "z" slice_param { axis: 0 slice_point: 1 }',
    "copies for two readers": 'type: "Split" top: "z"',
    "softmax": 'type: "Softmax"',
    "softmax loss, some pixels ignored":
        'type: "SoftmaxWithLoss" bottom: "label" '
        'loss_param { ignore_label: 255 normalization: VALID }',
}
IGNORED = 255
LABEL = ('layer { name: "label" type: "Input" top: "label" '
         'input_param { shape { dim: 2 dim: 1 dim: 17 dim: 22 } } }')


def no_gpu():
    """Why there is no GPU to test, or None."""
    if not cards():
        return "no NVIDIA GPU with a driver on this machine"
    try:
        use_device(0, "tests/training/test_gpu.py")
    except InputError as problem:
        return f"this Caffe cannot use the GPU: {problem}"
    return None


@pytest.fixture(params=["cpu", "gpu"])
def device(request):
    """Where the second of two runs computes."""
    reason = no_gpu() if request.param == "gpu" else None
    if reason:
        pytest.skip(reason)
    yield request.param
    caffe.set_mode_cpu()


def net_on(path, device):
    """The net, made and to be run on that device."""
    use_device(0 if device == "gpu" else None, "tests/training/test_gpu.py")
    return caffe.Net(str(path), caffe.TRAIN)


def passes(net, seed=1, labels=3):
    """One forward and backward pass; {name: array} of all blobs and all gradients."""
    draw = np.random.RandomState(seed)
    for name in net.inputs:
        shape = net.blobs[name].data.shape
        classes = np.where(draw.uniform(size=shape) < 0.2, IGNORED, draw.randint(0, labels, shape))
        net.blobs[name].data[...] = classes if "label" in name else 30 * draw.normal(size=shape)
    net.clear_param_diffs()
    net.forward()
    for name in net.outputs:
        if not net.blob_loss_weights[name]:
            alone = not any(net.blob_loss_weights.values())
            net.blobs[name].diff[...] = draw.normal(size=net.blobs[name].data.shape) if alone else 0
    net.backward()
    found = {}
    for name, blob in net.blobs.items():
        found[name], found["gradient of " + name] = blob.data.copy(), blob.diff.copy()
    for name, blobs in net.params.items():
        for number, blob in enumerate(blobs):
            found[f"gradient of parameter {number} of {name}"] = blob.diff.copy()
    return found


def both_ways(path, device):
    """The results of passes() on the CPU and on the device, with the same parameters."""
    first = net_on(path, "cpu")
    expected = passes(first)
    second = net_on(path, device)
    for name, blobs in first.params.items():
        for mine, other in zip(blobs, second.params[name]):
            other.data[...] = mine.data
    found = passes(second)
    assert any(np.abs(values).max() > 0 for name, values in expected.items()
               if name.startswith("gradient"))
    return expected, found


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_gives_the_same_both_ways(tmp_path, device, kind):
    path = tmp_path / "net.prototxt"
    path.write_text(f'''force_backward: true
layer {{ name: "x" type: "Input" top: "x"
         input_param {{ shape {{ dim: 2 dim: 3 dim: 17 dim: 22 }} }} }}
{LABEL if "label" in LAYERS[kind] else ""}
layer {{ name: "y" bottom: "x" top: "y" {LAYERS[kind]} }}''')
    expected, found = both_ways(path, device)
    for name, values in expected.items():
        assert np.abs(found[name] - values).max() <= TOLERANCE * np.abs(values).max(), name


def test_dropout_lets_through_the_same_units_forwards_and_backwards(tmp_path, device):
    """The masks of two devices differ, so each is compared with what any mask must do."""
    path = tmp_path / "net.prototxt"
    path.write_text('''force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 17 dim: 22 } } }
layer { name: "y" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.25 } }''')
    net = net_on(path, device)
    found = passes(net)
    kept = found["y"] != 0
    assert 0.65 < kept.mean() < 0.85
    assert np.allclose(found["y"][kept], found["x"][kept] / 0.75, rtol=TOLERANCE)
    assert np.allclose(found["gradient of x"], np.where(kept, found["gradient of y"] / 0.75, 0),
                       rtol=TOLERANCE)
    assert (passes(net)["y"] != 0).tolist() != kept.tolist()


def slim_net(sizes, stage):
    """A stage's train net with random images, without dropout, whose masks differ by device."""
    targets = 0 if stage == "source" else sizes.batch
    net = with_random_data(nets(sizes)[stage + ".prototxt"], (48, 64), sizes.batch, targets)
    for layer in net.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    return net


SLIM_EXPERIMENT = experiment(SLIM, (48, 64), 1)
NORMALISED = replace(SLIM_EXPERIMENT,
                     domain_loss=replace(SLIM_EXPERIMENT.domain_loss, normalised=True))


@pytest.mark.parametrize("sizes, stage", [
    pytest.param(TOY, "source", id="source"),
    pytest.param(TOY, "ga", id="reversal"),
    pytest.param(TOY, "ga_ca", id="reversal and sizes"),
    pytest.param(SLIM_EXPERIMENT, "ga", id="confusion"),
    pytest.param(SLIM_EXPERIMENT, "ga_ca", id="confusion and sizes"),
    pytest.param(NORMALISED, "ga_ca", id="confusion on normalised features and sizes"),
])
def test_a_whole_net_gives_the_same_both_ways(tmp_path, device, sizes, stage):
    path = tmp_path / "net.prototxt"
    path.write_text(str(slim_net(sizes, stage)))
    expected, found = both_ways(path, device)
    if stage == "ga_ca":
        assert expected["mil_loss"] > 0 and expected["mil_present"] > 0
    if stage != "source":
        assert np.abs(expected["gradient of domain_features"]).max() > 0
    for name, values in expected.items():
        assert np.linalg.norm(found[name] - values) <= NET_TOLERANCE * np.linalg.norm(values), name


def test_adaptation_trains_and_is_probed_the_same_both_ways(tmp_path, device):
    """Normalised features, further classifier steps and all probes, from the data layer on."""
    sizes = replace(TOY, crop=(32, 48), shape=TOY.shape._replace(dropout=0), domain_loss=replace(
        TOY.domain_loss, objective="confusion", normalised=True, classifier_steps=3))
    net = nets(sizes)["ga_ca.prototxt"]
    solver = tiny.write_run(tmp_path, str(net), base_lr=0.002, lr_policy='"fixed"', gamma=None,
                            stepsize=None, max_iter=3, snapshot=3)
    folders = tmp_path / "first", tmp_path / "second"
    for folder, where in zip(folders, ("cpu", "gpu:0" if device == "gpu" else "cpu")):
        assert tiny.train(solver, folder, "--device", where) == 0
    expected, found = (tiny.parameters(folder / "tiny_iter_3.caffemodel") for folder in folders)
    for key, values in expected.items():
        assert np.linalg.norm(found[key] - values) <= NET_TOLERANCE * np.linalg.norm(values), key
    entries = [tiny.entries(folder, "train") for folder in folders]
    assert {"domain_gradient_ratio", "mil_gradient_ratio", "classifier_loss"} <= set(
        entries[0][0]["values"])
    for mine, other in zip(*entries):
        for name, value in mine["values"].items():
            assert other["values"][name] == pytest.approx(value, rel=1e-2, abs=1e-3), name


def test_a_run_goes_on_on_another_device(tmp_path, device):
    solver = tiny.write_run(tmp_path, tiny.net_text(dropout=""), max_iter=6)
    other = "gpu:0" if device == "gpu" else "cpu"
    assert tiny.train(solver, tmp_path / "whole", "--device", "cpu") == 0
    for resumed, where, until in ((False, other, 2), (True, "cpu", 4), (True, other, 6)):
        assert tiny.train(solver, tmp_path / "parts", "--device", where, "--max-iter", until,
                          *["--resume"] * resumed) == 0
    expected, found = (tiny.parameters(tmp_path / run / "tiny_iter_6.caffemodel")
                       for run in ("whole", "parts"))
    start = tiny.parameters(tmp_path / "whole" / "tiny_iter_2.caffemodel")
    for key, values in expected.items():
        assert np.abs(values - start[key]).max() > 0, f"{key} has not been trained"
        assert np.abs(found[key] - values).max() <= TOLERANCE * np.abs(values).max(), key
