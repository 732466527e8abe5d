"""RMSNorm: values by hand, differences, units that are 0, equal channels, the GPU's way."""
from types import SimpleNamespace

import numpy as np
import pytest

from layers import feature_rms

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

from data.errors import InputError  # noqa: E402

LAYER = """force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { %s } } }
layer { name: "norm" type: "Python" bottom: "x" top: "%s" python_param {
  module: "layers.rms_norm" layer: "RMSNorm" param_str: '%s' } }
"""


def build(folder, shape, param_str="", top="y"):
    path = folder / "net.prototxt"
    path.write_text(LAYER % (" ".join(f"dim: {side}" for side in shape), top, param_str))
    return caffe.Net(str(path), caffe.TRAIN)


def run(net, features, gradient):
    net.blobs["x"].data[...] = features
    net.forward()
    net.blobs["y"].diff[...] = gradient
    net.backward()
    return net.blobs["y"].data.astype(float), net.blobs["x"].diff.astype(float)


def reference(features, gradient, epsilon=1e-3):
    """y and dL/dR by the quotient rule in float64, of what float32 holds."""
    x, g = (np.asarray(values, np.float32).astype(float) for values in (features, gradient))
    rms = np.sqrt(epsilon + (x ** 2).mean(axis=1, keepdims=True))
    return x / rms, g / rms - x * (x * g).mean(axis=1, keepdims=True) / rms ** 3


def error(found, expected):
    """Largest relative error of a unit's vector."""
    return (np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max()


def test_a_unit_by_hand(tmp_path):
    # 3, 4 have the mean square 12.5; with epsilon 3.5 the root is 4
    net = build(tmp_path, (1, 2, 1, 1), '{"epsilon": 3.5}')
    y, found = run(net, [[[[3]], [[4]]]], [[[[1]], [[0]]]])
    assert y.ravel() == pytest.approx([0.75, 1])
    # g / 4 - R mean(g R) / 64, mean(g R) = 1.5
    assert found.ravel() == pytest.approx([0.25 - 4.5 / 64, -6 / 64])


def test_the_gradient_is_that_of_differences():
    draw = np.random.RandomState(2)
    features, gradient = draw.randn(2, 5, 3, 2), draw.randn(2, 5, 3, 2)

    def loss(x):
        factors = feature_rms.inverse_rms(feature_rms.unit_means(x, x))
        return (gradient * x * factors).sum()

    factors = feature_rms.inverse_rms(feature_rms.unit_means(features, features))
    found = feature_rms.features_gradient(factors, features * factors, gradient)
    for index in [(0, 0, 0, 0), (1, 4, 2, 1), (0, 2, 1, 0), (1, 1, 0, 1)]:
        step = np.zeros_like(features)
        step[index] = 1e-5
        slope = (loss(features + step) - loss(features - step)) / 2e-5
        assert found[index] == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("channels", [64, 256, 4096])
@pytest.mark.parametrize("size", [1e-3, 1, 100])
def test_exact_whatever_the_features_size(tmp_path, channels, size):
    draw = np.random.RandomState(channels)
    features = size * np.maximum(draw.randn(2, channels, 3, 5), 0)
    gradient = draw.randn(*features.shape)
    for found, expected in zip(run(build(tmp_path, features.shape), features, gradient),
                               reference(features, gradient)):
        assert error(found, expected) < 1e-6


def test_exact_where_a_float32_sum_is_not(tmp_path):
    """4096 equal channels: adding them one after the other in float32 is wrong by 1e-4."""
    draw = np.random.RandomState(1)
    features = np.repeat(np.exp(3 * draw.randn(2, 1, 4, 5)), 4096, axis=1)
    gradient = draw.randn(*features.shape)
    for found, expected in zip(run(build(tmp_path, features.shape), features, gradient),
                               reference(features, gradient)):
        assert error(found, expected) < 1e-6


def test_a_unit_whose_features_are_all_zero_stays_zero_and_gets_a_finite_gradient(tmp_path):
    features, gradient = np.ones((1, 4, 1, 2)), np.ones((1, 4, 1, 2))
    features[..., 0] = 0
    y, found = run(build(tmp_path, features.shape), features, gradient)
    assert not y[..., 0].any() and y[..., 1] == pytest.approx(1, abs=1e-3)
    assert found[..., 0] == pytest.approx(1 / np.sqrt(1e-3))


def test_huge_features_do_not_overflow(tmp_path):
    features = np.full((1, 8, 1, 1), 1e30)
    y, found = run(build(tmp_path, features.shape), features, np.arange(8.0).reshape(1, 8, 1, 1))
    assert y == pytest.approx(1) and np.isfinite(found).all()


def test_a_frozen_trunk_asks_for_no_gradient():
    from layers.rms_norm import RMSNorm
    RMSNorm.backward(SimpleNamespace(), [None], [False], [None])


def test_the_net_may_be_reshaped(tmp_path):
    net = build(tmp_path, (1, 2, 1, 1))
    net.blobs["x"].reshape(3, 6, 2, 4)
    net.reshape()
    features, gradient = np.random.RandomState(0).randn(2, 3, 6, 2, 4)
    for found, expected in zip(run(net, features, gradient), reference(features, gradient)):
        assert error(found, expected) < 1e-6


@pytest.mark.parametrize("options, words", [
    (dict(top="x"), "does not work in place"),
    (dict(param_str='{"eps": 1}'), 'unknown key "eps"'),
    (dict(param_str='{"epsilon": 0}'), '"epsilon" must be a number from'),
    (dict(shape=(2, 6)), r"must have the shape \(N, C, h, w\), found \[2, 6\]"),
    (dict(top='y" top: "z'), "takes 1 bottom .* found 1 and 2"),
])
def test_refused_when_the_net_is_built(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        build(tmp_path, **dict(dict(shape=(1, 2, 1, 1)), **options))
