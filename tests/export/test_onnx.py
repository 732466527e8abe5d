"""Exported nets against Caffe's: every layer, the project's nets, FCN-8s, three sizes each."""
import os
import re
import subprocess
import sys

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")
onnx = pytest.importorskip("onnx", reason="onnx is missing: python3 tools/setup_caffe.py")

from data.errors import InputError
from models.adaptation import deploy_net
from models.context import context_deploy_net
from models.shapes import SLIM
from tools.bench.onnx_runtime import onnx_runtime, run_session
from tools.bench.opencv5 import opencv5, run_opencv5
from tools.lib.export.export_command import main

SIZES = ((1, 17, 23), (2, 24, 16), (1, 33, 40))


def random_weights(model, folder):
    """Path of a caffemodel with random weights for a prototxt; fixed upsampling stays."""
    net = caffe.Net(model, caffe.TEST)
    random = np.random.RandomState(3)
    for layer in net.layers:
        if layer.type == "Deconvolution" and layer.blobs[0].shape[1] == 1:
            continue
        for number, blob in enumerate(layer.blobs):
            blob.data[...] = random.randn(*blob.shape) / np.sqrt(max(1, np.prod(blob.shape[1:])))
            if layer.type == "BatchNorm" and number:
                blob.data[...] = np.abs(blob.data) + 0.5
    path = os.path.join(str(folder), "random.caffemodel")
    net.save(path)
    return path


def export(folder, text, *options):
    """(prototxt, caffemodel, ONNX file) of a net with random weights."""
    model = str(folder / "deploy.prototxt")
    with open(model, "w") as file:
        file.write(text)
    weights, output = random_weights(model, folder), str(folder / "net.onnx")
    main(["--model", model, "--weights", weights, "--output", output, *options])
    return model, weights, output


@pytest.fixture(scope="module", autouse=True)
def runtime():
    """ONNX Runtime, or a skip where it cannot be fetched."""
    try:
        onnx_runtime()
    except InputError as problem:
        pytest.skip(str(problem))


def run_onnx(model, inputs):
    """([{output: array} for each of `inputs`], metadata) of an ONNX file."""
    outputs, metadata, _ = run_session(model, inputs)
    return outputs, metadata


def images(sizes, channels=3, name="image"):
    """[{input: array}] of random images, one for every (batch, height, width)."""
    random = np.random.RandomState(5)
    return [{name: (50 * random.randn(batch, channels, height, width)).astype(np.float32)}
            for batch, height, width in sizes]


def caffe_scores(model, weights, inputs, blobs):
    """[{blob: array}] of plain pycaffe for each of `inputs`."""
    net = caffe.Net(model, weights, caffe.TEST)
    found = []
    for values in inputs:
        for name, value in values.items():
            net.blobs[name].reshape(*value.shape)
            net.blobs[name].data[...] = value
        net.reshape()
        net.forward()
        found.append({blob: net.blobs[blob].data.copy() for blob in blobs})
    return found


def require_equal(folder, text, sizes=SIZES, name="image"):
    """Fails unless an exported net gives Caffe's numbers to 1e-4 of the largest, at every size."""
    model, weights, output = export(folder, text)
    inputs = images(sizes, name=name)
    ours, _ = run_onnx(output, inputs)
    theirs = caffe_scores(model, weights, inputs, list(ours[0]))
    for mine, truth in zip(ours, theirs):
        for blob, value in truth.items():
            assert mine[blob].shape == value.shape
            np.testing.assert_allclose(mine[blob], value, rtol=0, atol=1e-4 * np.abs(value).max())
    return ours


def net(*layers):
    """Prototxt of layers behind a 1x1 convolution that turns the input `image` into `data`."""
    return "\n".join((
        'layer { name: "input" type: "Input" top: "image"',
        "        input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }",
        layer("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }", ("image",),
              "data", "stem"), *layers))


def layer(kind, parameters="", bottoms=("data",), top="out", name="it"):
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {parameters} }}'


LAYERS = {
    "convolution": layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }"),
    "strided, padded convolution": layer(
        "Convolution", "convolution_param { num_output: 4 kernel_h: 3 kernel_w: 5 stride_h: 2 "
                       "stride_w: 1 pad_h: 1 pad_w: 2 bias_term: false }"),
    "dilated, grouped convolution": layer(
        "Convolution", "convolution_param { num_output: 6 group: 3 kernel_size: 3 dilation: 2 "
                       "pad: 2 }"),
    "deconvolution": layer("Deconvolution", "convolution_param { num_output: 5 kernel_size: 4 "
                                            "stride: 2 pad: 1 }"),
    "grouped bilinear deconvolution": layer(
        "Deconvolution", 'convolution_param { num_output: 3 group: 3 kernel_size: 16 stride: 8 '
                         'pad: 4 bias_term: false weight_filler { type: "bilinear" } }'),
    "max pooling": layer("Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"),
    "max pooling 3 by 2": layer("Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"),
    "padded max pooling": layer("Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 "
                                           "pad: 1 }"),
    "padded max pooling that ends early": layer(
        "Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 pad: 1 }"),
    "max pooling, rounded down": layer(
        "Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR }"),
    "average pooling": layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }"),
    "dense average pooling": layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 }"),
    "padded average pooling": layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 "
                                               "stride: 2 pad: 1 }"),
    "uneven average pooling": layer("Pooling", "pooling_param { pool: AVE kernel_h: 5 kernel_w: 3 "
                                               "stride_h: 3 stride_w: 2 pad_h: 2 pad_w: 0 }"),
    "global pooling": layer("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "relu": layer("ReLU"),
    "leaky relu in place": layer("ReLU", "relu_param { negative_slope: 0.1 }", top="data"),
    "prelu": layer("PReLU"),
    "shared prelu": layer("PReLU", "prelu_param { channel_shared: true }"),
    "lrn": layer("LRN", "lrn_param { local_size: 3 alpha: 0.01 beta: 0.75 k: 2 }"),
    "lrn over more channels than there are": layer(
        "LRN", "lrn_param { local_size: 5 alpha: 1.6666667 beta: 0.5 k: 0.001 }"),
    "batch norm": layer("BatchNorm"),
    "batch norm and scale in place": "\n".join((
        layer("BatchNorm", "batch_norm_param { eps: 0.001 }"),
        layer("Scale", "scale_param { bias_term: true }", ("out",), "out", "scale"),
        layer("ReLU", "", ("out",), "out", "relu"))),
    "weighted sum": "\n".join((
        layer("ReLU", "", top="half", name="half"),
        layer("Eltwise", "eltwise_param { operation: SUM coeff: 1 coeff: -0.5 }",
              ("data", "half")))),
    "product of three": "\n".join((
        layer("ReLU", "", top="half", name="half"),
        layer("Eltwise", "eltwise_param { operation: PROD }", ("data", "half", "data")))),
    "maximum": "\n".join((
        layer("PReLU", "", top="half", name="half"),
        layer("Eltwise", "eltwise_param { operation: MAX }", ("data", "half")))),
    "concat": "\n".join((
        layer("ReLU", "", top="half", name="half"), layer("Concat", "", ("data", "half")))),
    "concat of rows": "\n".join((
        layer("ReLU", "", top="half", name="half"),
        layer("Concat", "concat_param { axis: -2 }", ("data", "half")))),
    "crop": "\n".join((
        layer("Convolution", "convolution_param { num_output: 2 kernel_size: 7 }", top="small",
              name="small"),
        layer("Crop", "crop_param { axis: 2 offset: 4 offset: 3 }", ("data", "small")),
        layer("Silence", "", ("small",), "").replace(' top: ""', ""))).replace(
            'name: "it" type: "Silence"', 'name: "silence" type: "Silence"'),
    "softmax": layer("Softmax"),
    "sigmoid": layer("Sigmoid"),
    "dropout": "\n".join((layer("Dropout", top="kept"),
                          layer("ReLU", "", ("kept",), "kept", "relu"))),
    "scale by a second bottom": "\n".join((
        layer("Sigmoid", "", top="gate", name="gate"),
        layer("Scale", "scale_param { axis: 0 }", ("data", "gate")))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_caffes_numbers_at_three_sizes(tmp_path, name):
    require_equal(tmp_path, net(LAYERS[name]))


def test_scale_by_one_factor_a_channel_and_image(tmp_path):
    second = ('layer { name: "second" type: "Input" top: "data2" input_param { shape { dim: 1 '
              'dim: 3 } } }')
    text = second + net(layer("Scale", "scale_param { axis: 0 }", ("data", "data2")))
    model, weights, output = export(tmp_path, text)
    values = dict(images(((1, 9, 9),))[0], data2=np.array([[1, -2, 0.5]], np.float32))
    ours, _ = run_onnx(output, [values])
    truth = caffe_scores(model, weights, [values], ["out"])
    np.testing.assert_allclose(ours[0]["out"], truth[0]["out"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind, parameters, message", [
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }", "STOCHASTIC"),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }", "WITHIN_CHANNEL"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }", "use_global_stats"),
    ("MVN", "", "of type MVN, which cannot be exported"),
    ("InnerProduct", "inner_product_param { num_output: 2 }", "of type InnerProduct")])
def test_what_cannot_be_exported_is_refused_by_name_and_nothing_is_written(
        tmp_path, kind, parameters, message):
    with pytest.raises(InputError, match=f'deploy.prototxt: layer "?it"?.*{message}'):
        export(tmp_path, net(layer(kind, parameters)))
    assert not list(tmp_path.glob("*.onnx"))


NARROW = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6)


@pytest.mark.parametrize("margin", (0, 186))
def test_the_front_end_with_its_margin(tmp_path, margin):
    text = str(deploy_net(NARROW._replace(margin=margin), 3, (10.0, 20.0, 30.0), (16, 24)))
    sizes = [(batch, 8 * height + 2 * margin, 8 * width + 2 * margin)
             for batch, height, width in ((1, 2, 3), (2, 4, 2), (1, 5, 6))]
    ours = require_equal(tmp_path, text, sizes, "data")
    assert ours[0]["score"].shape == (1, 3, 16, 24)


def test_the_context_net(tmp_path):
    text = str(context_deploy_net(NARROW, 3, (10.0, 20.0, 30.0), (16, 24)))
    require_equal(tmp_path, text, ((1, 16, 24), (2, 32, 16), (1, 40, 48)), "data")


FCN8 = "\n".join((
    layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 100 }", ("data",),
          "conv1", "conv1"),
    layer("ReLU", "", ("conv1",), "conv1", "relu1"),
    *(layer("Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
            (f"pool{number - 1}" if number > 1 else "conv1",), f"pool{number}", f"pool{number}")
      for number in range(1, 6)),
    layer("Convolution", "convolution_param { num_output: 6 kernel_size: 7 }", ("pool5",), "fc6",
          "fc6"),
    layer("Convolution", "convolution_param { num_output: 5 kernel_size: 1 }", ("fc6",),
          "score_fr", "score_fr"),
    layer("Deconvolution", "convolution_param { num_output: 5 bias_term: false kernel_size: 4 "
                           "stride: 2 }", ("score_fr",), "upscore2", "upscore2"),
    layer("Convolution", "convolution_param { num_output: 5 kernel_size: 1 }", ("pool4",),
          "score_pool4", "score_pool4"),
    layer("Crop", "crop_param { axis: 2 offset: 5 }", ("score_pool4", "upscore2"), "score_pool4c",
          "score_pool4c"),
    layer("Eltwise", "eltwise_param { operation: SUM }", ("upscore2", "score_pool4c"),
          "fuse_pool4", "fuse_pool4"),
    layer("Deconvolution", "convolution_param { num_output: 5 bias_term: false kernel_size: 4 "
                           "stride: 2 }", ("fuse_pool4",), "upscore_pool4", "upscore_pool4"),
    layer("Convolution", "convolution_param { num_output: 5 kernel_size: 1 }", ("pool3",),
          "score_pool3", "score_pool3"),
    layer("Crop", "crop_param { axis: 2 offset: 9 }", ("score_pool3", "upscore_pool4"),
          "score_pool3c", "score_pool3c"),
    layer("Eltwise", "eltwise_param { operation: SUM }", ("upscore_pool4", "score_pool3c"),
          "fuse_pool3", "fuse_pool3"),
    layer("Deconvolution", "convolution_param { num_output: 5 bias_term: false kernel_size: 16 "
                           "stride: 8 }", ("fuse_pool3",), "upscore8", "upscore8"),
    layer("Crop", "crop_param { axis: 2 offset: 31 }", ("upscore8", "data"), "score", "score")))


def test_fcn_8s_with_its_crops_and_learned_upsampling(tmp_path):
    text = net(FCN8).replace("dim: 12 dim: 12", "dim: 96 dim: 96")
    ours = require_equal(tmp_path, text, ((1, 96, 128), (2, 128, 96), (1, 101, 117)))
    assert ours[2]["score"].shape == (1, 5, 101, 117)


def test_mean_and_arg_max_go_into_the_graph_and_names_into_the_file(tmp_path):
    text = str(deploy_net(NARROW, 8, (10.0, 20.0, 30.0), (16, 24)))
    model, weights, output = export(tmp_path, text, "--subtract-mean", "--argmax", "--label-space",
                                    "toy")
    plain = images(((1, 16, 24), (1, 32, 40)), name="data")
    ours, metadata = run_onnx(output, plain)
    mean = np.array((10, 20, 30), np.float32).reshape(3, 1, 1)
    truth = caffe_scores(model, weights, [{"data": v["data"] - mean} for v in plain], ["score"])
    for mine, theirs in zip(ours, truth):
        assert mine["labels"].dtype == np.uint8
        assert (mine["labels"] == theirs["score"].argmax(axis=1)).all()
    assert metadata["mean"] == "10,20,30" and metadata["subtracted_in_graph"] == "yes"
    assert metadata["classes"].split(",")[0] == "sky" and metadata["channel_order"] == "BGR"


def test_scale_is_applied_behind_the_mean(tmp_path):
    text = net(layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }")).replace(
        "input_param", "transform_param { mean_value: 7 scale: 0.5 } input_param")
    model, weights, output = export(tmp_path, text, "--subtract-mean")
    plain = images(((1, 9, 9),))
    ours, metadata = run_onnx(output, plain)
    truth = caffe_scores(model, weights, [{"image": (plain[0]["image"] - 7) * 0.5}], ["out"])
    np.testing.assert_allclose(ours[0]["out"], truth[0]["out"], rtol=1e-4, atol=1e-4)
    assert metadata["scale"] == "0.5" and metadata["mean"] == "7"


def test_two_outputs_are_two_outputs_and_have_no_arg_max(tmp_path):
    heads = net(layer("ReLU", "", top="a", name="a"), layer("PReLU", "", top="b", name="b"))
    ours = require_equal(tmp_path, heads)
    assert set(ours[0]) == {"a", "b"}
    with pytest.raises(InputError, match="outputs a, b; --argmax needs a single one"):
        export(tmp_path, heads, "--argmax")


def test_a_path_that_onnx_cannot_open_is_refused(tmp_path):
    model = export(tmp_path, net(layer("ReLU")))
    with pytest.raises(InputError, match="the path is not UTF-8, and onnx cannot open"):
        main(["--model", model[0], "--weights", model[1],
              "--output", os.path.join(str(tmp_path), os.fsdecode(b"\xff.onnx"))])


def test_another_number_of_classes_is_refused(tmp_path):
    with pytest.raises(InputError, match="3 channels, but label space toy has 8 classes"):
        export(tmp_path, net(layer("ReLU")), "--label-space", "toy")


def test_opencv_4_reads_the_deploy_net_and_the_caffemodel_as_they_are(tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 reads no Caffe files: the ONNX file is the way there")
    text = str(deploy_net(NARROW, 3, (10.0, 20.0, 30.0), (16, 24)))
    model, weights, output = export(tmp_path, text)
    inputs = images(((1, 16, 24),), name="data")
    truth = caffe_scores(model, weights, inputs, ["score"])[0]["score"]
    for read in (cv2.dnn.readNetFromCaffe(model, weights), cv2.dnn.readNetFromONNX(output)):
        read.setInput(inputs[0]["data"])
        found = read.forward("score")
        np.testing.assert_allclose(found, truth, rtol=0, atol=1e-4 * np.abs(truth).max())
        assert (found.argmax(axis=1) == truth.argmax(axis=1)).all()


@pytest.mark.parametrize("text, data, scores, sizes", [
    (str(deploy_net(NARROW, 3, (10.0, 20.0, 30.0), (16, 24))), "data", "score",
     ((1, 16, 24), (2, 32, 16), (1, 40, 48))),
    (str(context_deploy_net(NARROW, 3, (10.0, 20.0, 30.0), (16, 24))), "data", "ctx_upsample",
     ((1, 16, 24), (2, 32, 16), (1, 40, 48))),
    (net(FCN8).replace("dim: 12 dim: 12", "dim: 96 dim: 96"), "image", "score",
     ((1, 96, 128), (2, 128, 96), (1, 101, 117)))], ids=("front end", "context", "FCN-8s"))
def test_opencv_5_reads_the_onnx_file(tmp_path, text, data, scores, sizes):
    try:
        opencv5()
    except InputError as problem:
        pytest.skip(str(problem))
    model, weights, output = export(tmp_path, text)
    inputs = images(sizes, name=data)
    found, version, reads_caffe = run_opencv5(output, inputs, scores)
    assert version.startswith("5.") and not reads_caffe
    for mine, truth in zip(found, caffe_scores(model, weights, inputs, [scores])):
        truth = truth[scores]
        assert mine.shape == truth.shape
        np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-4 * np.abs(truth).max())
        assert (mine.argmax(axis=1) == truth.argmax(axis=1)).all()


def test_the_command_says_what_it_wrote(tmp_path, repo_root):
    text = str(deploy_net(NARROW, 3, (10.0, 20.0, 30.0), (16, 24)))
    model, weights, _ = export(tmp_path, text)
    done = subprocess.run(
        [sys.executable, os.path.join(repo_root, "tools/export_onnx.py"), "--model", model,
         "--weights", weights, "--output", str(tmp_path / "again.onnx")], stdout=subprocess.PIPE,
        text=True)
    assert done.returncode == 0
    assert re.search(r"wrote .*again.onnx \(0\.0 MB\): data \(batch x 3 x height x width\) -> "
                     r"score \(batch x 3 x score_height x score_width\)", done.stdout)
