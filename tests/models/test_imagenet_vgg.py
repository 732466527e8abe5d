"""The VGG weights: conversion checked against convolutions written in numpy, not Caffe."""
import io
import os
import pickle

import caffe
import numpy as np
import pytest

from data.errors import InputError
from models.adaptation import deploy_net
from models.imagenet_vgg import (
    CONV_NAMES,
    IMAGENET_MEAN,
    IMAGENET_STD_RGB,
    caffemodel,
    read_checkpoint,
    to_caffe,
)
from models.shapes import CONVS_A_BLOCK, SLIM


def checkpoint(channels=SLIM.channels, seed=0):
    """A pickle with the layout of the package's: random He-scaled filters, HWIO."""
    rng = np.random.RandomState(seed)
    layers, inputs = {}, 3
    widths = [width for width, convs in zip(channels, CONVS_A_BLOCK) for _ in range(convs)]
    for index, width in enumerate(widths):
        deviation = (2.0 / (9 * inputs)) ** 0.5
        layers[f"Conv_{index}"] = {
            "kernel": (deviation * rng.randn(3, 3, inputs, width)).astype(np.float32),
            "bias": (0.1 * rng.randn(width)).astype(np.float32)}
        inputs = width
    return {"VGG16_0": layers}


def pickled(content):
    return io.BytesIO(pickle.dumps(content, protocol=3))


def reference_features(layers, rgb):
    """conv5_3 of VGG-16 (pool4 gone, conv5 dilated) in float64 numpy; rgb (H, W, 3) in 0..255."""
    x = (rgb / 255.0 - [0.485, 0.456, 0.406]) / np.asarray(IMAGENET_STD_RGB)
    index = 0
    for block, convs in enumerate(CONVS_A_BLOCK, start=1):
        dilation = 2 if block == 5 else 1
        for _ in range(convs):
            layer = layers[f"Conv_{index}"]
            padded = np.pad(x, ((dilation, dilation), (dilation, dilation), (0, 0)))
            total = np.zeros(x.shape[:2] + layer["bias"].shape) + layer["bias"]
            for i in range(3):
                for j in range(3):
                    window = padded[i * dilation:i * dilation + x.shape[0],
                                    j * dilation:j * dilation + x.shape[1]]
                    total += window @ layer["kernel"][i, j].astype(np.float64)
            x = np.maximum(total, 0)
            index += 1
        if block <= 3:
            x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max(axis=(1, 3))
    return x.transpose(2, 0, 1)


def caffe_features(layers, rgb, tmp_path):
    converted = to_caffe(read_checkpoint(pickled({"VGG16_0": layers}), "test"))
    weights, net_path = tmp_path / "vgg.caffemodel", tmp_path / "net.prototxt"
    weights.write_bytes(caffemodel(converted).SerializeToString())
    shape = SLIM._replace(channels=tuple(
        len(layers[f"Conv_{index}"]["bias"]) for index in (0, 2, 4, 7, 10)))
    net_path.write_text(str(deploy_net(shape, 2, IMAGENET_MEAN, rgb.shape[:2])))
    net = caffe.Net(str(net_path), caffe.TEST)
    net.copy_from(str(weights))
    net.blobs["data"].data[0] = (rgb[:, :, ::-1] - IMAGENET_MEAN).transpose(2, 0, 1)
    net.forward(end="relu5_3")
    return net.blobs["conv5_3"].data[0]


def test_converted_weights_give_the_features_of_the_original_convention(tmp_path):
    layers = checkpoint()["VGG16_0"]
    rgb = np.random.RandomState(1).randint(0, 256, (32, 48, 3)).astype(np.float64)
    expected = reference_features(layers, rgb)
    np.testing.assert_allclose(caffe_features(layers, rgb, tmp_path), expected,
                               atol=2e-5 * np.abs(expected).max())


def test_the_real_weights_see_an_image_alike_in_numpy_and_caffe(tmp_path, repo_root):
    """Runs where tools/make_vgg_weights.py has been run; the synthetic test above always runs."""
    path = os.path.join(str(repo_root), "models", "vgg_conv.caffemodel")
    if not os.path.exists(path):
        pytest.skip("models/vgg_conv.caffemodel is absent: python3 tools/make_vgg_weights.py")
    net = caffe.proto.caffe_pb2.NetParameter.FromString(open(path, "rb").read())
    assert [layer.name for layer in net.layer] == list(CONV_NAMES)
    layers = {}
    for index, layer in enumerate(net.layer):
        weights, bias = (np.array(blob.data, np.float32).reshape(blob.shape.dim)
                         for blob in layer.blobs)
        if index == 0:      # back to RGB in [0, 1], normalised
            weights = weights[:, ::-1] * (255 * np.asarray(IMAGENET_STD_RGB)[:, None, None])
        layers[f"Conv_{index}"] = {"kernel": weights.transpose(2, 3, 1, 0), "bias": bias}
    # a smooth scene: blue above, green below
    rgb = np.zeros((32, 32, 3))
    rgb[:16, :, 2], rgb[16:, :, 1] = 200, 120
    expected = reference_features(layers, rgb)
    net_path = tmp_path / "net.prototxt"
    net_path.write_text(str(deploy_net(
        SLIM._replace(channels=(64, 128, 256, 512, 512)), 2, IMAGENET_MEAN, (32, 32))))
    caffe_net = caffe.Net(str(net_path), caffe.TEST)
    caffe_net.copy_from(path)
    caffe_net.blobs["data"].data[0] = (rgb[:, :, ::-1] - IMAGENET_MEAN).transpose(2, 0, 1)
    caffe_net.forward(end="relu5_3")
    np.testing.assert_allclose(caffe_net.blobs["conv5_3"].data[0], expected,
                               atol=1e-4 * expected.max())


def test_a_pickle_that_calls_anything_is_refused():
    class Call:
        def __reduce__(self):
            return os.getcwd, ()
    with pytest.raises(InputError, match="refused: posix.getcwd"):
        read_checkpoint(pickled({"VGG16_0": Call()}), "evil.ckpt")


@pytest.mark.parametrize("spoil,expected", [
    (lambda layers: layers.pop("Conv_12"), "Conv_12"),
    (lambda layers: layers["Conv_3"].update(kernel=np.zeros((3, 3, 1, 16), np.float32)), "conv2_2"),
    (lambda layers: layers["Conv_0"].update(bias=np.zeros(3, np.float32)), "conv1_1"),
])
def test_a_checkpoint_of_another_shape_is_named(spoil, expected):
    content = checkpoint()
    spoil(content["VGG16_0"])
    with pytest.raises(InputError, match=expected):
        read_checkpoint(pickled(content), "x.ckpt")


def test_a_truncated_checkpoint_is_one_sentence():
    whole = pickle.dumps(checkpoint(), protocol=3)
    with pytest.raises(InputError, match="not the VGG-16 checkpoint"):
        read_checkpoint(io.BytesIO(whole[:len(whole) // 2]), "x.ckpt")
