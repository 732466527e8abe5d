"""Deploy nets of other people: label maps and scores of plain pycaffe, or a sentence."""
import argparse
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from data.errors import InputError

caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2  # noqa: E402
from google.protobuf import text_format  # noqa: E402

from models.adaptation import deploy_net  # noqa: E402
from models.context import context_deploy_net  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from tools.lib.scoring import net_options, score_command, tiled_net, whole_net  # noqa: E402
from tools.lib.scoring.predictor import Predictor  # noqa: E402

MEAN = (10.0, 20.0, 30.0)
CLASSES = 5


def layer(kind, bottoms, top, parameters=""):
    """Prototxt of one layer named after its top; bottoms: names with spaces between them."""
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}" {read} top: "{top}" {parameters} }}\n'


def conv(bottom, top, outputs, kernel=3, more="", kind="Convolution"):
    return layer(kind, bottom, top, f"convolution_param {{ num_output: {outputs} "
                                    f"kernel_size: {kernel} {more} }}")


def relu(blob):
    return layer("ReLU", blob, blob, "").replace(f'name: "{blob}"', f'name: "relu_{blob}"')


def pool(bottom, top, more="kernel_size: 2 stride: 2"):
    return layer("Pooling", bottom, top, f"pooling_param {{ pool: MAX {more} }}")


def up(bottom, top, more="", group=CLASSES, kernel=8, stride=4, pad=2):
    """A Deconvolution, by default fixed bilinear upsampling by 4."""
    return layer("Deconvolution", bottom, top,
                 f"convolution_param {{ num_output: {CLASSES} group: {group} kernel_size: {kernel} "
                 f"stride: {stride} pad: {pad} {'' if 'bias_term' in more else 'bias_term: false'} "
                 f'{more} weight_filler {{ type: "bilinear" }} }}')


def crop(bottoms, top, offset):
    return layer("Crop", bottoms, top, f"crop_param {{ axis: 2 offset: {offset} }}")


def image_input(side=32, channels=3,
                transform="mean_value: 10 mean_value: 20 mean_value: 30"):
    return ('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 '
            f"dim: {channels} dim: {side} dim: {side} }} }} transform_param {{ {transform} }} }}\n")


TRUNK = (conv("data", "a", 4, more="pad: 1") + relu("a") + pool("a", "b")
         + conv("b", "c", 6, more="pad: 2 dilation: 2") + relu("c") + pool("c", "d")
         + conv("d", "final", CLASSES, 1))
FIXED = TRUNK + up("final", "score")


def write(folder, text, change=None, scale=1):
    """(prototxt, caffemodel) of a net with random weights; grouped upsampling stays bilinear.

    change: called with the caffe.Net before it is saved; scale: that of its input.
    """
    model = str(folder / "deploy.prototxt")
    with open(model, "w") as file:
        file.write(text)
    net = caffe.Net(model, caffe.TEST)
    random = np.random.RandomState(3)
    for made in net.layers:
        if made.type == "Deconvolution" and made.blobs[0].shape[1] == 1:
            continue
        for number, blob in enumerate(made.blobs):
            fan_in = max(1, np.prod(blob.shape[1:]))
            blob.data[...] = random.randn(*blob.shape) * np.sqrt(2 / fan_in)
            if made.type == "BatchNorm" and number:
                blob.data[...] = np.abs(blob.data) + 0.5
    _balance(net, scale * random.uniform(-128, 128, net.blobs["data"].shape))
    if change:
        change(net)
    weights = str(folder / "net.caffemodel")
    net.save(weights)
    return model, weights


def _balance(net, values):
    """Gives every channel of every convolution mean 0 and deviation 1 over an input of these
    values, so that no class wins everywhere."""
    net.blobs["data"].data[...] = values
    for name, made in zip(net._layer_names, net.layers):
        if made.type == "Convolution":
            net.forward(end=name)
            made_values = net.blobs[net.top_names[name][0]].data
            deviation = made_values.std(axis=(0, 2, 3)) + 1e-3
            made.blobs[1].data[...] -= made_values.mean(axis=(0, 2, 3))
            made.blobs[1].data[...] /= deviation
            made.blobs[0].data[...] /= deviation[:, None, None, None]


def picture(height, width):
    return np.random.RandomState(height + width).randint(
        0, 256, (height, width, 3)).astype(np.uint8)


def plain(files, image, blob, mean=MEAN, scale=1, margin=0, more=(0, 0)):
    """A blob (C, h, w) of plain pycaffe for an image with its reflected margin; `more`: rows and
    columns of reflection behind it."""
    net = caffe.Net(*files, caffe.TEST)
    padded = np.pad(image, ((margin, margin + more[0]), (margin, margin + more[1]), (0, 0)),
                    "reflect").astype(np.float32)
    values = ((padded - np.float32(mean)) * scale).transpose(2, 0, 1)
    net.blobs["data"].reshape(1, *values.shape)
    net.blobs["data"].data[0] = values
    net.forward()
    return net.blobs[blob].data[0].copy()


def require_labels(found, truth):
    """Fails unless `found` (H, W) is the arg max of `truth` (C, H, W), rounding apart."""
    assert found.shape == truth.shape[1:]
    second, best = np.sort(truth, 0)[-2:]
    clear = best - second > 1e-5 * np.abs(truth).max()
    assert clear.mean() > 0.98 and len(np.unique(truth.argmax(0))) > 1
    assert (found == truth.argmax(0))[clear].all()


def require_plain(files, whole, sizes=((40, 56), (32, 64)), blob="score", **given):
    """Fails unless labels, and scores of a net that runs whole, are those of plain pycaffe."""
    predictor = Predictor(*files)
    assert bool(predictor.whole_because) == whole
    for size in sizes:
        image = picture(*size)
        truth = plain(files, image, blob, **given)
        require_labels(predictor.predict(image), truth[:, :size[0], :size[1]])
        if whole:
            np.testing.assert_allclose(predictor.scores(image), truth[:, :size[0], :size[1]],
                                       rtol=0, atol=1e-5 * np.abs(truth).max())
    if not whole:       # nor do tiles change anything
        np.testing.assert_allclose(Predictor(*files, budget=1).scores(image),
                                   predictor.scores(image), rtol=0, atol=1e-5 * np.abs(truth).max())
    return predictor


def test_fixed_upsampling_is_recognised_and_tiled(tmp_path):
    predictor = require_plain(write(tmp_path, FIXED.join((image_input(), ""))), whole=False)
    assert predictor.geometry.stride == 4 and predictor.geometry.upsampling == "score"


def permuted(net):
    net.params["score"][0].data[...] = net.params["score"][0].data[::-1] * np.arange(
        1, CLASSES + 1)[:, None, None, None]


def scaled(net):
    net.params["score"][0].data[1] *= 3


def biased(net):
    net.params["score"][1].data[...] = np.linspace(2, -2, CLASSES)


def blurred(net):
    net.params["score"][0].data[..., 0] += 0.01


@pytest.mark.parametrize("text, change, reason", [
    (up("final", "score", group=1), None, "has group: 1; .* has 5"),
    (up("final", "score", "bias_term: true", group=1), None, "has group: 1; .* has 5"),
    (FIXED[len(TRUNK):], scaled, "has weights"), (FIXED[len(TRUNK):], permuted, "has weights"),
    (FIXED[len(TRUNK):], blurred, "has weights"),
    (up("final", "score", "bias_term: true"), biased, "has a bias")],
    ids=("learned", "learned with a bias", "scaled", "permuted", "blurred", "biased"))
def test_other_deconvolutions_are_computed_by_the_net_itself(tmp_path, text, change, reason):
    files = write(tmp_path, image_input() + TRUNK + text, change=change)
    predictor = require_plain(files, whole=True)
    # by the layer's parameters and weights; the comparison at load would notice most of it too
    assert re.search(f"layer score of type Deconvolution {reason}", predictor.whole_because)


def test_a_bias_of_zeros_is_none(tmp_path):
    text = image_input() + TRUNK + up("final", "score", "bias_term: true")

    def zero(net):
        net.params["score"][1].data[...] = 0

    require_plain(write(tmp_path, text, change=zero), whole=False)


def test_a_deconvolution_of_pad_0_needs_a_crop_to_say_where_the_image_is(tmp_path):
    larger = image_input() + TRUNK + up("final", "large", pad=0)
    with pytest.raises(InputError, match="output large is 36 x 36 .* input of 32 x 32.*\n.*Crop"):
        Predictor(*write(tmp_path, larger))
    cropped = larger + crop("large data", "score", 2)
    require_plain(write(tmp_path, cropped), whole=True, sizes=((40, 56), (32, 64), (37, 45)))


@pytest.mark.parametrize("rule", ('include { stage: "deploy" }', 'exclude { not_stage: "deploy" }',
                                  "include { min_level: 1 }"))
@pytest.mark.parametrize("group", (CLASSES, 1), ids=("tiled", "whole"))
def test_the_layers_that_caffe_chooses_by_the_nets_state_run(tmp_path, rule, group):
    """Caffe keeps the file's stages and sets its level to 0."""
    head = up("final", "score", group=group)
    for sign in (1, -1):    # one of the two maps changes where the layer is left out
        chosen = layer("Power", "final", "final", f"power_param {{ scale: {sign} shift: -0.5 }} "
                                                  f"{rule}").replace('"final" type', '"sign" type')
        text = 'state { stage: "deploy" level: 1 }' + image_input() + TRUNK + chosen + head
        files = write(tmp_path, text)
        assert ("sign" in caffe.Net(files[0], caffe.TEST)._layer_names) == ("stage" in rule)
        require_plain(files, whole=group == 1)


def patches(side, stride, kernel=None, group=1):
    """A net that looks at one patch after another, and leaves out a rest at the right and bottom.
    """
    odd = stride % 2
    return (image_input(side) + conv("data", "a", 4, kernel or stride, f"stride: {stride}")
            + conv("a", "final", CLASSES, 1)
            + up("final", "score", group=group, kernel=2 * stride - odd, stride=stride,
                 pad=(stride - odd) // 2))


@pytest.mark.parametrize("side", (60, 63, 64))
def test_pixels_that_rounding_down_leaves_out_are_no_margin(tmp_path, side):
    files = write(tmp_path, patches(side, 16))
    predictor = require_plain(files, whole=True, sizes=((48, 64),))
    assert predictor.geometry == (1, 0, 16, (0, 0))
    files = write(tmp_path, patches(side, 4, kernel=8))     # and this is one
    assert Predictor(*files).geometry == (1, 2, 4, (0, 0))


@pytest.mark.parametrize("stride, side", [(3, 32), (3, 33), (5, 50), (6, 47)])
def test_a_learned_upsampling_by_a_multiple_of_3_or_5(tmp_path, stride, side):
    files = write(tmp_path, patches(side, stride))
    predictor = require_plain(files, whole=True, sizes=((60, 90),))
    assert predictor.geometry == (1, 0, stride, (0, 0))


def test_a_stride_of_30_is_not_taken_for_32(tmp_path):
    text = image_input(64) + conv("data", "a", 4, 30, "stride: 30") + layer(
        "MVN", "a", "b") + conv("b", "score", CLASSES, 1)
    assert Predictor(*write(tmp_path, text)).geometry == (30, 0, 30, (0, 0))


@pytest.mark.parametrize("upsampled", (True, False))
@pytest.mark.parametrize("stride, side", [(7, 32), (9, 63), (13, 65), (33, 79)])
def test_a_stride_that_cannot_be_measured_is_refused(tmp_path, stride, side, upsampled):
    text = patches(side, stride)
    if not upsampled:
        text = image_input(side) + conv("data", "a", 4, stride, f"stride: {stride}") + layer(
            "MVN", "a", "b") + conv("b", "score", CLASSES, 1)
    with pytest.raises(InputError, match=r"the output score is .* its place in the image is "
                                         r"unknown\n.*Crop"):
        Predictor(*write(tmp_path, text))


def test_an_output_of_another_size_than_measured_is_refused(tmp_path, monkeypatch):
    predictor = Predictor(*write(tmp_path, patches(32, 4)))
    monkeypatch.setattr(predictor._runner, "geometry", predictor.geometry._replace(
        remainders=(1, 1)))
    with pytest.raises(InputError, match="score is 40 x 56 for an input of 41 x 57; expected "
                                         "41 x 57"):
        predictor.predict(picture(40, 56))


@pytest.mark.parametrize("behind, words", [
    (layer("Log", "final", "score"), "output score is nan at .* of its 10 x 14 units"),
    (layer("Power", "final", "score", "power_param { power: 0.5 }"), "output score is nan at"),
    (layer("Exp", "final", "score", "exp_param { scale: 1000 }"), "is an infinity, and")])
def test_scores_without_a_highest_one_are_a_sentence(tmp_path, behind, words):
    predictor = Predictor(*write(tmp_path, image_input() + TRUNK + behind))
    with pytest.raises(InputError, match=words):
        predictor.predict(picture(40, 56))


def test_minus_infinity_is_the_logarithm_of_a_probability_of_0(tmp_path):
    text = (image_input() + conv("data", "a", CLASSES, more="pad: 1")
            + layer("Power", "a", "b", "power_param { scale: 200 }")
            + layer("Softmax", "b", "prob") + layer("Log", "prob", "score"))
    files = write(tmp_path, text)
    image = picture(40, 56)
    truth = plain(files, image, "score")
    assert np.isneginf(truth).any()
    assert (Predictor(*files).predict(image) == truth.argmax(0)).all()


BEHIND = {
    "permuting convolution": (conv("up", "score", CLASSES, 1), True),
    "sigmoid": (layer("Sigmoid", "up", "score"), True),
    "relu in place": (relu("up"), True),
    "softmax over rows": (layer("Softmax", "up", "score", "softmax_param { axis: 2 }"), True),
}


@pytest.mark.parametrize("name", BEHIND)
def test_layers_behind_the_last_deconvolution_count(tmp_path, name):
    text, whole = BEHIND[name]
    files = write(tmp_path, image_input() + TRUNK + up("final", "up") + text)
    predictor = require_plain(files, whole, blob="up" if "in place" in name else "score")
    assert "layer up of type Deconvolution may read more" in predictor.whole_because


@pytest.mark.parametrize("group", (CLASSES, 1), ids=("fixed", "learned"))
def test_a_softmax_over_the_classes_changes_no_label(tmp_path, group):
    text = TRUNK + up("final", "up", group=group) + layer("Softmax", "up", "score")
    files = write(tmp_path, image_input() + text)
    predictor = Predictor(*files)
    image = picture(40, 56)
    truth = plain(files, image, "up")
    require_labels(predictor.predict(image), truth)
    assert (predictor.predict(image) == plain(files, image, "score").argmax(0)).mean() > 0.99
    if group == 1:
        np.testing.assert_allclose(predictor.scores(image), truth, rtol=0,
                                   atol=1e-5 * np.abs(truth).max())


@pytest.mark.parametrize("group", (CLASSES, 1), ids=("fixed", "learned"))
def test_an_arg_max_at_the_end_gives_the_labels(tmp_path, group):
    text = TRUNK + up("final", "up", group=group) + layer("ArgMax", "up", "score",
                                                          "argmax_param { axis: 1 }")
    files = write(tmp_path, image_input() + text)
    predictor, image = Predictor(*files), picture(40, 56)
    assert predictor.classes == CLASSES
    assert (predictor.predict(image) == plain(files, image, "score")[0]).mean() > 0.999
    equal = write(tmp_path, image_input() + text,
                  change=lambda net: [blob.data.fill(0) for blob in net.params["final"]])
    labels = Predictor(*equal).predict(image)   # the last of equals
    assert (labels == plain(equal, image, "score")[0]).all() and labels.min() == CLASSES - 1


@pytest.mark.parametrize("parameters", ("", "argmax_param { axis: 1 top_k: 2 }",
                                        "argmax_param { axis: 1 out_max_val: true }"))
def test_an_arg_max_without_a_label_map_is_refused(tmp_path, parameters):
    text = image_input() + FIXED + layer("ArgMax", "score", "best", parameters)
    with pytest.raises(InputError, match='layer "best" of type ArgMax gives no label map'):
        Predictor(*write(tmp_path, text))


MIXING = {
    "batch statistics": (layer("BatchNorm", "final", "mixed",
                               "batch_norm_param { use_global_stats: false }"), "mixed"),
    "LRN within a channel": (layer("LRN", "final", "mixed",
                                   "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
                             "mixed"),
    "MVN": (layer("MVN", "final", "mixed"), "mixed"),
    "softmax over rows": (layer("Softmax", "final", "mixed", "softmax_param { axis: 2 }"),
                          "mixed"),
    "global pooling": (layer("Pooling", "final", "mean", "pooling_param { pool: AVE "
                             "global_pooling: true }") + layer("Flatten", "mean", "flat")
                       + layer("Scale", "final flat", "mixed", "scale_param { axis: 0 }"), "mixed"),
    "concat of rows": (layer("Concat", "final final", "twice", "concat_param { axis: 2 }")
                       + crop("twice final", "mixed", "1 offset: 0"), "mixed"),
}


@pytest.mark.parametrize("name", MIXING)
def test_layers_that_mix_units_over_space_are_never_tiled(tmp_path, name):
    text, blob = MIXING[name]
    files = write(tmp_path, image_input() + TRUNK + text + up(blob, "score"))
    predictor = require_plain(files, whole=True)
    first = {"global pooling": "mean", "concat of rows": "twice"}.get(name, "mixed")
    assert f"layer {first} of type " in predictor.whole_because
    image = picture(40, 56)
    with pytest.raises(InputError, match="deploy.prototxt: an image of 40 x 56 pixels needs at "
                                         "least .* GB .* cannot be computed in tiles: layer "
                                         ".* of type .*\n.*--memory"):
        Predictor(*files, budget=20000).predict(image)


def test_an_image_is_continued_to_a_size_that_the_net_takes_and_cut_again(tmp_path):
    files = write(tmp_path, image_input() + TRUNK + up("final", "score", group=1))
    predictor = require_plain(files, whole=True, sizes=((37, 42),), more=(3, 2))
    assert (predictor.geometry.step, predictor.geometry.stride) == (4, 1)
    assert predictor.predict(picture(37, 42), (74, 84), 0.5).shape == (74, 84)


@pytest.mark.parametrize("first", (1, 3))
@pytest.mark.parametrize("kernel, dilation", [(3, 1), (3, 2), (5, 1)])
def test_padding_before_a_layer_with_a_margin(tmp_path, first, kernel, dilation):
    """No head may shrink the map: it would no longer lie over the image."""
    text = (conv("data", "a", 4, first) + conv("a", "b", 4, more="pad: 1") + relu("b")
            + conv("b", "c", 4, kernel, f"dilation: {dilation}") + conv("c", "score", CLASSES, 1))
    files = write(tmp_path, image_input() + text)
    predictor, image = Predictor(*files, budget=1), picture(40, 56)
    margin = (first - 1 + dilation * (kernel - 1)) // 2
    assert predictor.whole_because is None and predictor.geometry.margin == margin
    require_labels(predictor.predict(image), plain(files, image, "score", margin=margin))


@pytest.mark.parametrize("before", ("", conv("data", "p", 3, more="pad: 1")),
                         ids=("front", "head"))
@pytest.mark.parametrize("kind, words", [("BatchNorm", 'layer "b": Caffe refuses it'),
                                         ("Power", "nothing is left in blob a")])
def test_an_image_of_which_a_layer_leaves_nothing_is_too_small(
        tmp_path, before, kind, words):
    """Caffe takes a blob of 0 rows, and ends the process when a layer reads it."""
    text = (image_input() + before + pool("p" if before else "data", "a", "kernel_size: 5")
            + layer(kind, "a", "b") + conv("b", "score", CLASSES, 1, "pad: 2"))
    predictor = require_plain(write(tmp_path, text), whole=True)
    assert "layer a leaves nothing of an input of 1 pixels" in predictor.whole_because
    with pytest.raises(InputError, match=f"image of 40 x 4 pixels cannot be computed: .*{words}"):
        predictor.predict(picture(40, 4))


U_NET = "".join((
    conv("data", "c1", 4, more="pad: 1"), relu("c1"), pool("c1", "p1"),
    conv("p1", "c2", 6, more="pad: 1"), relu("c2"), pool("c2", "p2"),
    conv("p2", "c3", 8, more="pad: 1"), relu("c3"),
    conv("c3", "u2", 6, 2, "stride: 2", "Deconvolution"), layer("Concat", "u2 c2", "j2"),
    conv("j2", "d2", 6, more="pad: 1"), relu("d2"),
    conv("d2", "u1", 4, 2, "stride: 2", "Deconvolution"), layer("Concat", "u1 c1", "j1"),
    conv("j1", "d1", 4, more="pad: 1"), relu("d1"), conv("d1", "score", CLASSES, 1)))


@pytest.mark.parametrize("size, more", [((48, 64), (0, 0)), ((45, 63), (3, 1))])
def test_u_net(tmp_path, size, more):
    files = write(tmp_path, image_input() + U_NET)
    assert require_plain(files, True, (size,), more=more).geometry.step == 4


def test_u_net_without_padding_gets_its_margin(tmp_path):
    body = (conv("data", "c1", 4) + relu("c1") + pool("c1", "p1") + conv("p1", "c2", 6)
            + conv("c2", "u1", 4, 2, "stride: 2", "Deconvolution")
            + crop("c1 u1", "c1c", 2) + layer("Concat", "u1 c1c", "j1")
            + conv("j1", "d1", 4) + relu("d1") + conv("d1", "score", CLASSES, 1))
    files = write(tmp_path, image_input(36) + body)
    predictor = Predictor(*files)
    assert (predictor.geometry.margin, predictor.geometry.step) == (4, 2)
    image = picture(40, 56)
    require_labels(predictor.predict(image), plain(files, image, "score", margin=4))


def test_batch_norm_with_stored_statistics_and_scale_are_tiled(tmp_path):
    norm = (layer("BatchNorm", "a", "norm") + layer("Scale", "norm", "norm2",
                                                    "scale_param { bias_term: true }"))
    text = image_input() + FIXED.replace(pool("a", "b"), norm + relu("norm2") + pool("norm2", "b"))
    files = write(tmp_path, text)
    require_plain(files, whole=False)


def fcn(levels):
    """A narrow FCN with padding of 100, 32s, 16s or 8s by the number of fused levels, 0 to 2."""
    body = conv("data", "conv1", 4, more="pad: 100") + relu("conv1")
    for number in range(1, 6):
        body += pool(f"pool{number - 1}" if number > 1 else "conv1", f"pool{number}")
    body += conv("pool5", "fc6", 6, 7) + relu("fc6") + layer("Dropout", "fc6", "drop6")
    body += conv("drop6", "fused", CLASSES, 1)
    fused, stride = "fused", 32
    for level, offset in ((4, 5), (3, 9))[:levels]:
        twice, skip = f"twice{level}", f"skip{level}"
        body += conv(fused, twice, CLASSES, 4, "stride: 2 bias_term: false", "Deconvolution")
        body += conv(f"pool{level}", skip, CLASSES, 1) + crop(f"{skip} {twice}", f"{skip}c", offset)
        fused, stride = f"fused{level}", stride // 2
        body += layer("Eltwise", f"{twice} {skip}c", fused)
    body += conv(fused, "large", CLASSES, 2 * stride, f"stride: {stride} bias_term: false",
                 "Deconvolution")
    return body + crop("large data", "score", {32: 19, 16: 27, 8: 31}[stride])


@pytest.mark.parametrize("levels", (0, 1, 2), ids=("32s", "16s", "8s"))
def test_fcn(tmp_path, levels):
    files = write(tmp_path, image_input(96) + fcn(levels))
    predictor = require_plain(files, whole=True, sizes=((96, 128), (101, 117)))
    assert predictor.geometry.step == 1


#: classes and channels of the context module's convolutions, and whether it is there
RELEASED = {"VOC": (21, True), "CamVid": (11, True), "Cityscapes": (19, True), "KITTI": (11, True),
            "VOC front-end": (21, False)}


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("upsampling", (True, False))
def test_the_shapes_of_the_released_dilation_nets(tmp_path, name, upsampling):
    classes, context = RELEASED[name]
    narrow = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6, margin=186)
    make = context_deploy_net if context else deploy_net
    net = text_format.Parse(str(make(narrow, classes, MEAN, (32, 32))), caffe_pb2.NetParameter())
    if not upsampling:
        del net.layer[-1]
    scores = net.layer[-1].top[0]
    net.layer.add(name="prob", type="Softmax", bottom=[scores], top=["prob"])
    files = write(tmp_path, text_format.MessageToString(net))
    image = picture(64, 80)
    for budget in (None, 1):
        predictor = Predictor(*files, budget=budget)
        assert predictor.whole_because is None and predictor.classes == classes
        truth = plain(files, image, predictor.geometry.scores, margin=186)
        np.testing.assert_allclose(predictor.scores(image), truth, rtol=0,
                                   atol=1e-5 * np.abs(truth).max())
        if upsampling:
            require_labels(predictor.predict(image), plain(files, image, scores, margin=186))


TWO_HEADS = FIXED + conv("d", "other", CLASSES, 1) + up("other", "second") + conv(
    "d", "edges", 1, 1)


def test_of_several_outputs_one_is_chosen_by_name(tmp_path):
    files = write(tmp_path, image_input() + TWO_HEADS)
    with pytest.raises(InputError, match=r"outputs score \(5 channels\), second \(5 channels\), "
                                         r"edges \(1 channel\); one is expected\n.*--score-blob"):
        Predictor(*files)
    with pytest.raises(InputError, match="--score-blob final: .* no such output; it has score"):
        Predictor(*files, score_blob="final")
    with pytest.raises(InputError, match="edges has the shape .*expected 1 x classes"):
        Predictor(*files, score_blob="edges")
    image = picture(40, 56)
    for name in ("score", "second"):
        require_labels(Predictor(*files, score_blob=name).predict(image),
                       plain(files, image, name))


def test_a_head_without_weights_is_not_needed_where_another_is_chosen(tmp_path):
    model, weights = write(tmp_path, image_input() + FIXED)
    with open(model, "w") as file:
        file.write(image_input() + TWO_HEADS)
    Predictor(model, weights, score_blob="score")
    with pytest.raises(InputError, match="no weights for other"):
        Predictor(model, weights, score_blob="second")


@pytest.mark.parametrize("transform, mean, scale", [
    ("mean_value: 7 scale: 0.0078125", (7, 7, 7), 0.0078125),
    ("mean_value: 1 mean_value: 2 mean_value: 3 scale: 2 force_color: true", (1, 2, 3), 2)])
@pytest.mark.parametrize("group", (CLASSES, 1), ids=("tiled", "whole"))
def test_mean_and_scale_of_the_input_are_applied(tmp_path, transform, mean, scale, group):
    text = image_input(transform=transform) + TRUNK + up("final", "score", group=group)
    require_plain(write(tmp_path, text, scale=scale), group == 1, mean=mean, scale=scale)


@pytest.mark.parametrize("field, message", [
    ("crop_size: 8", "crop_size: 8"), ("mirror: true", "mirror: true"),
    ("force_gray: true", "force_gray: true"),
    ('mean_file: "mean.binaryproto"', 'mean_file: "mean.binaryproto".*\n.*--mean B G R'),
    ("mean_value: 1", "has 4 values of mean_value; expected 1 or 3")])
def test_other_fields_of_the_input_are_refused_by_name(tmp_path, field, message):
    text = image_input(transform=f"mean_value: 1 mean_value: 2 mean_value: 3 {field}") + FIXED
    with pytest.raises(InputError, match=f'deploy.prototxt: layer "data".*{message}'):
        Predictor(*write(tmp_path, text))


@pytest.mark.parametrize("channels, found", [(1, "1 channel"), (4, "4 channels")])
def test_an_input_of_other_channels_is_refused(tmp_path, channels, found):
    files = write(tmp_path, image_input(channels=channels) + FIXED)
    with pytest.raises(InputError, match=rf'layer "data" has {found}; 3 \(BGR\) are expected'):
        Predictor(*files)


@pytest.mark.parametrize("sides", ("dim: 0 dim: 32", "dim: 32 dim: 0", "dim: 0 dim: -3"))
def test_an_input_without_pixels_is_refused_by_name(tmp_path, sides):
    model, weights = write(tmp_path, image_input() + FIXED)
    with open(model, "w") as file:
        file.write((image_input() + FIXED).replace("dim: 32 dim: 32", sides))
    with pytest.raises(InputError, match='layer "data" has .* rows and .* columns; expected at'):
        Predictor(model, weights)


def test_stochastic_pooling_is_refused_on_the_cpu(tmp_path):
    model, weights = write(tmp_path, image_input() + FIXED)
    with open(model, "w") as file:
        file.write(image_input() + FIXED.replace("pool: MAX", "pool: STOCHASTIC", 1))
    with pytest.raises(InputError, match='layer "b": pool: STOCHASTIC'):
        Predictor(model, weights)


ENCODER = conv("data", "a", 4, more="pad: 1") + relu("a") + layer(
    "Pooling", "a", "b", 'top: "mask" pooling_param { pool: MAX kernel_size: 2 stride: 2 }')


@pytest.mark.parametrize("text, words", [
    # SegNet: its pooling gives the places of the maxima too, and Upsample reads them
    (ENCODER + layer("Upsample", "b mask", "up", "upsample_param { scale: 2 }")
     + conv("up", "score", CLASSES, more="pad: 1"),
     'unknown field "upsample_param" in LayerParameter; it belongs to the layer Upsample of '
     "SegNet's fork of Caffe, and BVLC Caffe has no such layer"),
    (ENCODER + layer("Upsample", "b mask", "score"),
     'layer "score": unknown type "Upsample"; it is a layer of SegNet\'s fork of Caffe'),
    # DeconvNet
    (ENCODER + layer("Unpooling", "b mask", "score", "unpooling_param { kernel_size: 2 }"),
     'unknown field "unpooling_param" .*layer Unpooling of DeconvNet\'s fork'),
    (ENCODER + layer("Unpooling", "b mask", "score"), 'unknown type "Unpooling"; it is a layer of'),
    # DeepLab and PSPNet
    (TRUNK + layer("Interp", "final", "score", "interp_param { zoom_factor: 8 }"),
     'unknown field "interp_param" .*layer Interp of DeepLab\'s and PSPNet\'s fork'),
    (TRUNK + layer("Interp", "final", "score"), 'layer "score": unknown type "Interp"; it is'),
    (TRUNK + layer("BN", "final", "score", "bn_mode: INFERENCE"), "layer BN of SegNet's and PSP"),
    (conv("data", "score", CLASSES, more="hole: 2"),
     'unknown field "hole" in ConvolutionParameter; it is called dilation in BVLC Caffe')])
def test_layers_of_forks_are_refused_by_name_in_one_sentence(tmp_path, text, words):
    model, weights = write(tmp_path, image_input() + FIXED)
    with open(model, "w") as file:
        file.write(image_input() + text)
    with pytest.raises(InputError, match=words) as caught:
        Predictor(model, weights)
    assert "\n" not in str(caught.value)


def test_segnets_encoder_runs_with_the_places_of_its_maxima(tmp_path):
    text = image_input() + ENCODER + up("b", "wide", group=1, kernel=4, stride=2, pad=1).replace(
        '"bilinear"', '"msra"') + conv("wide", "score", CLASSES, more="pad: 1")
    files = write(tmp_path, text)
    with pytest.raises(InputError, match=r"outputs mask \(4 channels\), score \(5 channels\)"):
        Predictor(*files)
    predictor = Predictor(*files, score_blob="score")
    image = picture(40, 56)
    require_labels(predictor.predict(image), plain(files, image, "score"))


def test_deeplabs_scores_before_interp_are_refused_for_their_place_is_unknown(tmp_path):
    text = image_input(33) + (
        conv("data", "a", 4, more="pad: 1") + relu("a")
        + pool("a", "b", "kernel_size: 3 stride: 2 pad: 1")
        + pool("b", "c", "kernel_size: 3 stride: 1 pad: 1")
        + conv("c", "score", CLASSES, more="pad: 4 dilation: 4"))
    with pytest.raises(InputError, match="its place in the image is unknown\n  end the net with a "
                                         "Crop layer"):
        Predictor(*write(tmp_path, text))


def test_an_output_that_does_not_grow_with_the_image_is_refused(tmp_path):
    text = image_input() + TRUNK + layer(
        "Reshape", "final", "score", "reshape_param { shape { dim: 1 dim: 5 dim: 8 dim: 8 } }")
    with pytest.raises(InputError, match="cannot be computed for images of any size"):
        Predictor(*write(tmp_path, text))
    text = image_input() + TRUNK + layer("Pooling", "final", "score",
                                         "pooling_param { global_pooling: true }")
    with pytest.raises(InputError, match="output score is 1 x 1 .*expected a map that grows"):
        Predictor(*write(tmp_path, text))


@pytest.mark.parametrize("old, new", [
    ("dim: 32 dim: 32", "dim: 2000000000 dim: 3"), ("dim: 32 dim: 32", "dim: 3 dim: -5"),
    ("dim: 32 dim: 32", "dim: 4000000000 dim: 4000000000"), ("kernel_size: 3", "kernel_size: 9000"),
    ("dilation: 2", "dilation: 60000000"), ("pad: 1", "pad: 2000000000")])
@pytest.mark.parametrize("upsampled", (True, False))
def test_sizes_of_billions_are_a_sentence(tmp_path, old, new, upsampled):
    model, weights = write(tmp_path, image_input() + FIXED)
    with open(model, "w") as file:
        file.write((image_input() + (FIXED if upsampled else TRUNK)).replace(old, new, 1))
    with pytest.raises(InputError):
        Predictor(model, weights).predict(picture(40, 56))


def test_a_margin_that_does_not_fit_the_memory_is_a_sentence(tmp_path, monkeypatch):
    model, weights = write(tmp_path, image_input() + conv("data", "score", CLASSES))
    with open(model, "w") as file:
        file.write(image_input(10001) + conv("data", "score", CLASSES, 3, "dilation: 5000"))
    for module in (tiled_net, whole_net):
        monkeypatch.setattr(module, "machine_memory", lambda: 200e6)
    with pytest.raises(InputError, match="margin of 5000 pixels needs at least 0.3 GB"):
        Predictor(model, weights).predict(picture(40, 56))


def test_the_comparison_at_load_finds_tiles_that_are_wrong(tmp_path, monkeypatch):
    from tools.lib.scoring.net_geometry import Axis
    files = write(tmp_path, image_input() + FIXED)
    window = Axis.window

    def forgetful(self, *parameters):
        made = window(self, *parameters)
        return Axis(made.stride, made.shrink)       # no overlap, although the net has padding

    monkeypatch.setattr(Axis, "window", forgetful)
    predictor = Predictor(*files, budget=1)
    assert "two tiles give other scores" in predictor.whole_because


def test_test_py_scores_a_learned_upsampling_as_plain_caffe(tmp_path, repo_root):
    text = (image_input(transform="mean_value: 90") + TRUNK + up("final", "score", group=1))
    text = text.replace("num_output: 5", "num_output: 8").replace("output: 5", "output: 8")
    files = write(tmp_path, text)
    score_command.main(["--model", files[0], "--weights", files[1], "--dataset", "toy", "--split",
                        "target_val[:1]", "--save-predictions", str(tmp_path / "maps")])
    from data.reading import read_ids
    from data.registry import open_dataset
    dataset = open_dataset("toy")
    image = dataset.read_image(dataset.frames("target_val[:1]")[0])
    truth = plain(files, image, "score", (90,) * 3)
    require_labels(read_ids(str(tmp_path / "maps" / "target_val" / "0000.png")), truth)


@pytest.mark.parametrize("command, options", [
    ("test.py", ["--dataset", "toy", "--split", "target_val[:1]"]),
    ("predict.py", ["IMAGE", "--label-space", "toy", "--output", "out"]),
    ("figure.py", ["--dataset", "toy", "--split", "target_val", "--frames", "0", "--output",
                   "f.png"])])
def test_the_commands_end_with_2_and_name_the_outputs(tmp_path, repo_root, command, options):
    import cv2
    cv2.imwrite(str(tmp_path / "i.png"), picture(40, 56))
    files = write(tmp_path, image_input() + TWO_HEADS)
    options = [option.replace("IMAGE", str(tmp_path / "i.png")) for option in options]
    done = subprocess.run(
        [sys.executable, os.path.join(repo_root, "tools", command), *options, "--model", files[0],
         "--weights", files[1]], cwd=str(tmp_path), stderr=subprocess.PIPE,
        text=True)
    assert done.returncode == 2 and "--score-blob NAME" in done.stderr
    assert "score (5 channels), second (5 channels)" in done.stderr


@pytest.mark.parametrize("upsampled", (True, False))
def test_scores_coarser_than_the_image_say_where_they_are_taken_to_lie(
        tmp_path, capsys, upsampled):
    # MVN keeps the net from tiles
    text = image_input() + conv("data", "a", CLASSES, 2, "stride: 2")
    text += layer("MVN", "a", "b" if upsampled else "score")
    if upsampled:
        text += up("b", "score", group=1, kernel=4, stride=2, pad=1)
    files = write(tmp_path, text)
    args = argparse.Namespace(model=files[0], tf32=None, device="cpu", mean=None, memory=None,
                              score_blob=None)
    predictor = net_options.make_predictor(args, files[1])
    assert predictor.whole_because
    said = capsys.readouterr().err
    assert said == "" if upsampled else "stands for 2 x 2 pixels" in said and "up to 1 " in said
