"""Prediction with real Caffe: tiles against the whole image, margins, sizes, errors."""
import tracemalloc

import numpy as np
import pytest

from data.errors import InputError
from data.transforms import resize

caffe = pytest.importorskip("caffe")

from models.adaptation import deploy_net  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from tools.lib.scoring.label_maps import label_map  # noqa: E402
from tools.lib.scoring.predictor import Predictor  # noqa: E402
from tools.lib.scoring.tiled_net import choose_tile, tile_bytes  # noqa: E402

MEAN = (10.0, 20.0, 30.0)


def tiny(folder, margin, window=(32, 32), classes=3):
    """(prototxt, caffemodel) of a front-end with a few channels and random weights."""
    shape = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6, margin=margin)
    model, weights = folder / f"deploy_{margin}.prototxt", folder / f"net_{margin}.caffemodel"
    model.write_text(str(deploy_net(shape, classes, MEAN, window)))
    net = caffe.Net(str(model), caffe.TEST)
    random = np.random.RandomState(4)
    for layer in net.layers:
        if layer.type == "Convolution":
            weight, bias = layer.blobs
            deviation = np.sqrt(2.0 / np.prod(weight.shape[1:]))
            weight.data[...] = random.randn(*weight.shape) * deviation
            bias.data[...] = random.randn(*bias.shape)
    net.save(str(weights))
    return str(model), str(weights)


def image(height, width):
    random = np.random.RandomState(height + width)
    return random.randint(0, 256, (height, width, 3)).astype(np.uint8)


def opened(files, shape):
    """The whole net itself, for an input (H, W, 3) that includes the margin."""
    net = caffe.Net(files[0], caffe.TEST)
    net.copy_from(files[1])
    net.blobs["data"].reshape(1, 3, *shape[:2])
    net.reshape()
    return net


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    return {margin: tiny(folder, margin) for margin in (0, 186)}


@pytest.mark.parametrize("margin", (0, 186))
@pytest.mark.parametrize("size", [(96, 136), (33, 700)])
def test_tiles_stitch_to_the_scores_of_the_whole_image(nets, margin, size):
    whole = Predictor(*nets[margin])
    tiled = Predictor(*nets[margin], budget=1)  # the smallest tiles: 8 units a side
    picture = image(*size)
    expected, found = whole.scores(picture), tiled.scores(picture)
    assert expected.shape == (3, -(-size[0] // 8), -(-size[1] // 8))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("margin", (0, 186))
def test_scores_of_a_whole_image_are_those_of_the_net_itself(nets, margin):
    picture = image(40, 56)
    predictor = Predictor(*nets[margin])
    padded = np.pad(picture.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)),
                    "reflect")
    net = opened(nets[margin], padded.shape)
    net.blobs["data"].data[0] = (padded - np.float32(MEAN)).transpose(2, 0, 1)
    full = net.forward()["score"][0]
    np.testing.assert_allclose(predictor.scores(picture), net.blobs["final"].data[0], atol=1e-5)
    assert (predictor.predict(picture) == full.argmax(0)).mean() > 0.999


def test_padded_context_module_sees_the_whole_map_although_the_front_end_is_tiled(nets, tmp_path):
    # as in the released dilation models: context convolutions with zero padding behind an unpadded
    # front-end
    text = open(nets[186][0]).read()
    context = "".join(f"""
        layer {{ name: "ctx_conv{i}" type: "Convolution" bottom: "{bottom}" top: "ctx_conv{i}"
                 convolution_param {{ num_output: 3 kernel_size: 3 pad: {2 ** i} dilation: {2 ** i}
                                      weight_filler {{ type: "gaussian" std: 0.3 }} }} }}
        """ for i, bottom in ((1, "final"), (2, "ctx_conv1"), (3, "ctx_conv2")))
    cut = text.index('layer {\n  name: "score"')
    model, weights = str(tmp_path / "context.prototxt"), str(tmp_path / "context.caffemodel")
    open(model, "w").write(text[:cut] + context
                           + text[cut:].replace('bottom: "final"', 'bottom: "ctx_conv3"'))
    built = caffe.Net(model, caffe.TEST)
    built.copy_from(nets[186][1])
    built.save(weights)
    predictor = Predictor(model, weights, budget=1)
    assert predictor.geometry.tiled == "final" and predictor.geometry.scores == "ctx_conv3"
    picture = image(120, 200)
    padded = np.pad(picture.astype(np.float32), ((186, 186), (186, 186), (0, 0)), "reflect")
    net = opened((model, weights), padded.shape)
    net.blobs["data"].data[0] = (padded - np.float32(MEAN)).transpose(2, 0, 1)
    net.forward()
    expected = net.blobs["ctx_conv3"].data[0]
    np.testing.assert_allclose(predictor.scores(picture), expected,
                               atol=1e-5 * np.abs(expected).max())


def test_labels_of_another_size_get_scores_of_their_size(nets):
    predictor = Predictor(*nets[0])
    picture = image(50, 70)
    assert predictor.predict(picture, (100, 140)).shape == (100, 140)
    assert predictor.predict(picture, scale=0.5).shape == (50, 70)
    assert predictor.predict(picture, (31, 17), scale=1.3).shape == (31, 17)


def test_scale_resizes_the_image_and_brings_the_scores_back_not_the_labels(nets):
    predictor = Predictor(*nets[0])
    picture = image(96, 128)
    halved = resize(picture, 0.5)
    expected = label_map(predictor.scores(halved), 8, (48, 64), (96, 128))
    assert (predictor.predict(picture, scale=0.5) == expected).all()
    assert (predictor.predict(picture) != expected).any()


def test_image_smaller_than_the_margin_is_reflected_again_and_again(nets):
    predictor = Predictor(*nets[186])
    picture = image(5, 7)
    padded = np.pad(picture, ((186, 189), (186, 187), (0, 0)), "reflect")
    net = opened(nets[186], padded.shape)
    net.blobs["data"].data[0] = (padded - np.float32(MEAN)).transpose(2, 0, 1)
    net.forward()
    np.testing.assert_allclose(predictor.scores(picture), net.blobs["final"].data[0], atol=1e-5)


def test_several_sizes_in_turn_do_not_leak_into_each_other(nets):
    predictor = Predictor(*nets[0])
    first = predictor.scores(image(64, 64))
    predictor.scores(image(40, 120))
    np.testing.assert_array_equal(predictor.scores(image(64, 64)), first)


def test_memory_of_the_largest_pass_stays_in_the_budget_however_large_the_image(nets):
    predictor = Predictor(*nets[186], budget=200 << 20)

    def largest_pass(*sides):
        units = tuple(side // predictor.geometry.stride for side in sides)
        return tile_bytes(predictor.geometry, units,
                          choose_tile(predictor.geometry, units, predictor.budget))

    assert largest_pass(1024, 2048) <= 200 << 20
    assert largest_pass(8192, 16384) <= 200 << 20
    assert largest_pass(64, 64) < largest_pass(1024, 2048)


def test_label_map_holds_few_full_size_planes_not_all_classes():
    scores = np.random.RandomState(0).rand(40, 32, 64).astype(np.float32)
    tracemalloc.start()
    label_map(scores, 8, (256, 512))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 256 * 512 * 4  # 40 classes would be 40 planes


def test_mean_comes_from_the_net_and_can_be_given(nets):
    assert Predictor(*nets[0]).mean.tolist() == list(MEAN)
    picture = image(32, 32)
    other = Predictor(*nets[0], mean=(1, 2, 3)).scores(picture)
    assert not np.allclose(other, Predictor(*nets[0]).scores(picture))


def test_net_without_a_mean_asks_for_one(nets, tmp_path):
    text = open(nets[0][0]).read()
    start = text.index("transform_param")
    bare = tmp_path / "bare.prototxt"
    bare.write_text(text[:start] + text[text.index("}", start) + 1:])
    with pytest.raises(InputError, match="--mean B G R"):
        Predictor(str(bare), nets[0][1])


def test_missing_weights_are_named(nets):
    with pytest.raises(InputError, match="gone.caffemodel"):
        Predictor(nets[0][0], "gone.caffemodel")
