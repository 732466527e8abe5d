"""The context module: released structure, padding, and released weights in both formats."""
import numpy as np
import pytest

from data.errors import InputError

caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2  # noqa: E402
from google.protobuf import text_format  # noqa: E402

from models.build import released_nets  # noqa: E402
from models.context import context_deploy_net  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from tools.lib.scoring.predictor import Predictor  # noqa: E402

NARROW = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6, margin=186)
MEAN, CLASSES = (10.0, 20.0, 30.0), 3
CONTEXT = {
    "ctx_conv1_1": 1, "ctx_conv1_2": 1, "ctx_conv2_1": 2, "ctx_conv3_1": 4, "ctx_conv4_1": 8,
    "ctx_conv5_1": 16, "ctx_conv6_1": 32, "ctx_conv7_1": 64, "ctx_fc1": 1
}


def test_the_committed_net_has_the_released_layers():
    net = released_nets()["context19/deploy.prototxt"]
    layers = {layer.name: layer for layer in net.layer}
    for name, dilation in CONTEXT.items():
        param = layers[name].convolution_param
        assert (param.num_output, list(param.kernel_size), list(param.dilation or [1]),
                list(param.pad)) == (19, [3], [dilation], [dilation])
    assert layers["ctx_final"].convolution_param.num_output == 19
    assert list(layers["ctx_final"].convolution_param.kernel_size) == [1]
    assert list(layers["ctx_conv1_1"].bottom) == ["final"] and list(
        layers["ctx_upsample"].bottom) == ["ctx_final"]
    relus = {
        layer.name
        for layer in net.layer if layer.type == "ReLU" and layer.name.startswith("ctx")
    }
    assert relus == {name.replace("conv", "relu")
                     for name in CONTEXT if name != "ctx_fc1"} | {"ctx_fc1_relu"}
    assert list(layers["data"].transform_param.mean_value) == pytest.approx([72.39, 82.91, 73.16])


def weighted(folder):
    """(prototxt, its NetParameter, caffe.Net) of the narrow net with random weights."""
    parameter = context_deploy_net(NARROW, CLASSES, MEAN, (32, 32))
    model = folder / "deploy.prototxt"
    model.write_text(str(parameter))
    net = caffe.Net(str(model), caffe.TEST)
    random = np.random.RandomState(3)
    for name, layer in zip(net._layer_names, net.layers):
        if layer.type == "Convolution":
            weight, bias = layer.blobs
            weight.data[...] = random.randn(*weight.shape) * np.sqrt(
                2.0 / np.prod(weight.shape[1:]))
            bias.data[...] = random.randn(*bias.shape)
            # near the identity, as Yu and Koltun start it: nine random layers would forget the
            # image
            if name in CONTEXT:
                weight.data[...] = 0.2 * weight.data + np.eye(CLASSES)[:, :, None, None] * np.eye(
                    3)[1][:, None] * np.eye(3)[1]
                bias.data[...] = 1
    return str(model), parameter, net


def save(net, path, old, without=()):
    """Writes a caffemodel of the current format, or of V1.

    V1 has `layers`, numbered types and four-number shapes.
    """
    stored = caffe_pb2.NetParameter(name="released")
    for name, layer in zip(net._layer_names, net.layers):
        if not layer.blobs or name in without:
            continue
        entry = stored.layers.add(
            name=name) if old else stored.layer.add(name=name, type=layer.type)
        if old:
            entry.type = caffe_pb2.V1LayerParameter.LayerType.Value(layer.type.upper())
        for blob in layer.blobs:
            made = entry.blobs.add(data=blob.data.ravel().tolist())
            if old:
                made.num, made.channels, made.height, made.width = (1, ) * (
                    4 - blob.data.ndim) + blob.data.shape
            else:
                made.shape.dim.extend(blob.data.shape)
    path.write_bytes(stored.SerializeToString())
    return str(path)


def expected(net, image):
    """Labels by the whole net at once, on the image with its reflected margin."""
    blob = np.pad(image.astype(np.float32) - MEAN, ((186, 186), (186, 186), (0, 0)),
                  "reflect").transpose(2, 0, 1)
    net.blobs["data"].reshape(1, *blob.shape)
    net.blobs["data"].data[0] = blob
    net.forward()
    return net.blobs["ctx_final"].data[0].copy(), net.blobs["ctx_upsample"].data[0].argmax(0)


@pytest.mark.parametrize("old", (False, True), ids=("current", "V1"))
def test_released_style_weights_load_by_name_and_score_as_the_whole_net(tmp_path, old):
    model, _, net = weighted(tmp_path)
    weights = save(net, tmp_path / "released.caffemodel", old)
    image = np.random.RandomState(1).randint(0, 256, (96, 104, 3)).astype(np.uint8)
    scores, labels = expected(net, image)
    for budget in (None, 1):  # at once, and the front-end in the smallest tiles
        predictor = Predictor(model, weights, budget=budget)
        np.testing.assert_allclose(predictor.scores(image), scores,
                                   atol=1e-4 * np.abs(scores).max())
        assert (predictor.predict(image) == labels).mean() > 0.999
    assert scores.std(axis=(1, 2)).min() > 0.01 * np.abs(scores).max()


def test_a_deploy_net_written_as_the_released_ones_runs(tmp_path):
    model, parameter, net = weighted(tmp_path)
    weights = save(net, tmp_path / "released.caffemodel", False)
    image = np.random.RandomState(1).randint(0, 256, (64, 72, 3)).astype(np.uint8)
    scores, _ = expected(net, image)
    released = caffe_pb2.NetParameter(input=["data"])
    released.input_shape.add(dim=parameter.layer[0].input_param.shape[0].dim)
    for layer in parameter.layer[1:]:
        copy = released.layer.add()
        copy.CopyFrom(layer)
        copy.convolution_param.ClearField("weight_filler")
        if layer.name == "drop7":  # in place there
            copy.top[0] = "fc7"
        if layer.name == "final":
            copy.bottom[0] = "fc7"
    released.layer.add(name="prob", type="Softmax", bottom=["ctx_upsample"], top=["prob"])
    path = tmp_path / "released.prototxt"
    path.write_text(text_format.MessageToString(released))
    predictor = Predictor(str(path), weights, mean=MEAN)
    np.testing.assert_allclose(predictor.scores(image), scores, atol=1e-4 * np.abs(scores).max())


def test_zero_padding_is_at_the_map_s_edge_and_not_at_a_tile_s(tmp_path):
    model, _, net = weighted(tmp_path)
    weights = save(net, tmp_path / "released.caffemodel", False)
    geometry = Predictor(model, weights, budget=1).geometry
    assert geometry.tiled == "final" and geometry.overlap == 0 and geometry.head[0] == "ctx_conv1_1"


def test_front_end_weights_alone_do_not_do(tmp_path):
    model, _, net = weighted(tmp_path)
    weights = save(net, tmp_path / "front.caffemodel", False,
                   without=tuple(CONTEXT) + ("ctx_final", ))
    with pytest.raises(InputError, match="front.caffemodel has no weights for ctx_conv1_1, "
                                         ".*ctx_final; expected all.*; it has conv1_1, "):
        Predictor(model, weights)


def test_another_number_of_classes_is_told_by_layer(tmp_path):
    _, _, net = weighted(tmp_path)
    weights = save(net, tmp_path / "released.caffemodel", True)
    model = tmp_path / "other.prototxt"
    model.write_text(str(context_deploy_net(NARROW, CLASSES + 1, MEAN, (32, 32))))
    with pytest.raises(InputError, match='layer "final", weights: 4 x 6 x 1 x 1 in the net, 3 x 6 '
                                         'x 1 x 1 in the file'):
        Predictor(str(model), weights)
