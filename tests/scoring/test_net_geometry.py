"""Margins, strides and memory read from nets; tiles; upsampling against Caffe's layer."""
import numpy as np
import pytest

from data.errors import InputError

caffe = pytest.importorskip("caffe")

from google.protobuf import text_format  # noqa: E402

from tools.lib.scoring.deploy_net import read_deploy  # noqa: E402
from tools.lib.scoring.label_maps import label_map, upsample  # noqa: E402
from tools.lib.scoring.net_geometry import read_geometry  # noqa: E402
from tools.lib.scoring.tiled_net import choose_tile, spans, tile_bytes  # noqa: E402


def layer(name, kind, bottom, parameters):
    return (f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" '
            f'{parameters} }} ')


def conv(name, bottom, outputs, **keys):
    body = " ".join(f"{key}: {value}" for key, value in keys.items())
    return layer(name, "Convolution", bottom,
                 f"convolution_param {{ num_output: {outputs} {body} }}")


def pool(name, bottom):
    return layer(name, "Pooling", bottom, "pooling_param { kernel_size: 2 stride: 2 }")


def image_input(channels, height, width):
    shape = f"dim: 1 dim: {channels} dim: {height} dim: {width}"
    return ('layer { name: "data" type: "Input" top: "data" '
            f'input_param {{ shape {{ {shape} }} }} }} ')


HEAD = image_input(3, 32, 32)


def geometry(body):
    net = text_format.Parse(HEAD + body, caffe.proto.caffe_pb2.NetParameter())
    return read_geometry(read_deploy(net, "the net"))


@pytest.mark.parametrize("folder, stride, margin, classes", [
    ("gta", 8, 186, 19), ("gta_camvid", 8, 0, 11), ("toy", 8, 0, 8)])
def test_margin_and_stride_of_the_committed_deploy_nets(folder, stride, margin, classes):
    net = caffe.proto.caffe_pb2.NetParameter()
    with open(f"models/{folder}/deploy.prototxt") as stream:
        text_format.Parse(stream.read(), net)
    found = read_geometry(read_deploy(net, "the net"))
    assert (found.stride, found.margin, found.classes, found.scores) == (stride, margin, classes,
                                                                         "final")
    assert (found.overlap == 0) == (margin == 186)


def test_units_follow_the_formula_of_the_released_front_end():
    net = caffe.proto.caffe_pb2.NetParameter()
    with open("models/gta/deploy.prototxt") as stream:
        text_format.Parse(stream.read(), net)
    found = read_geometry(read_deploy(net, "the net"))
    assert (628 - 2 * found.margin) // found.stride == 32


def test_overlap_of_a_padded_net_counts_the_wrong_units():
    body = (conv("a", "data", 2, kernel_size=3, pad=1) + pool("p", "a")
            + conv("s", "p", 2, kernel_size=3, pad=2, dilation=2))
    # one pixel is wrong in a, half a unit behind the pooling, two more in s
    assert geometry(body).overlap == 3 and geometry(body).margin == 0


def test_kernels_given_by_height_and_width_are_read():
    body = conv("a", "data", 2, kernel_h=3, kernel_w=3, pad_h=0, pad_w=0)
    assert geometry(body).margin == 1


def test_kernel_with_unequal_sides_is_refused():
    with pytest.raises(InputError, match="rows and columns"):
        geometry(conv("a", "data", 2, kernel_h=3, kernel_w=5))


def test_unknown_layer_is_refused_by_name():
    with pytest.raises(InputError, match="layer odd of type SPP"):
        geometry('layer { name: "odd" type: "SPP" bottom: "data" top: "odd" }')


def test_train_net_is_refused_because_it_has_no_single_image_input():
    net = text_format.Parse(conv("a", "data", 2, kernel_size=1),
                            caffe.proto.caffe_pb2.NetParameter())
    with pytest.raises(InputError, match="exactly one"):
        read_deploy(net, "the net")


def test_softmax_at_the_end_is_left_out_of_the_scores():
    body = conv("s", "data", 2, kernel_size=1) + layer("prob", "Softmax", "s", "")
    assert geometry(body).scores == "s"


@pytest.mark.parametrize("units, tile, overlap", [
    (1, 1, 0), (17, 5, 0), (17, 5, 3), (8, 100, 4), (100, 7, 60)])
def test_spans_cover_every_unit_once_and_stay_inside(units, tile, overlap):
    found = spans(units, tile, overlap)
    assert [u for s in found for u in range(s.keep_start, s.keep_stop)] == list(range(units))
    for span in found:
        assert 0 <= span.run_start <= span.keep_start < span.keep_stop <= span.run_stop <= units
        assert span.keep_stop - span.keep_start <= tile
        assert span.run_start in (0, span.keep_start - overlap)
        assert span.run_stop in (units, span.keep_stop + overlap)


def test_memory_of_a_forward_pass_matches_the_blobs_caffe_makes(tmp_path):
    body = (conv("a", "data", 4, kernel_size=3, pad=1) + pool("p", "a")
            + conv("s", "p", 2, kernel_size=1))
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + body)
    net = caffe.Net(str(path), caffe.TEST)
    blobs = sum(blob.data.size for blob in net.blobs.values())
    column = 3 * 9 * 32 * 32
    largest = net.blobs["p"].data.size  # the index of each maximum
    assert geometry(body).forward_bytes(32, 32) == 4 * (blobs + column + largest)


def test_tile_shrinks_until_the_forward_pass_fits():
    found = geometry(conv("a", "data", 16, kernel_size=3) + pool("p", "a"))
    units = (512, 1024)
    tile = choose_tile(found, units, 20 << 20)
    assert tile_bytes(found, units, tile) <= 20 << 20 < tile_bytes(found, units, units)
    assert choose_tile(found, units, 1 << 40) == units
    assert min(choose_tile(found, units, 1)) == 8


def deconvolved(scores, stride, tmp_path):
    """What the net's own fixed Deconvolution makes of scores (C, h, w)."""
    classes, height, width = scores.shape
    path = tmp_path / "up.prototxt"
    kernel = f"kernel_size: {2 * stride} stride: {stride} pad: {stride // 2}"
    path.write_text(image_input(classes, height, width) + layer(
        "up", "Deconvolution", "data",
        f"convolution_param {{ num_output: {classes} group: {classes} {kernel} bias_term: false "
        'weight_filler { type: "bilinear" } }'))
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs["data"].data[0] = scores
    return net.forward()["up"][0].copy()


def test_upsampling_equals_the_nets_deconvolution_inside_and_its_classes_everywhere(tmp_path):
    scores = np.random.RandomState(0).randn(5, 9, 12).astype(np.float32)
    full = deconvolved(scores, 8, tmp_path)
    ours = np.stack([upsample(plane, 8, (72, 96), (72, 96)) for plane in scores])
    np.testing.assert_allclose(ours[:, 4:-4, 4:-4], full[:, 4:-4, 4:-4], atol=1e-5)
    # pixels whose two best scores differ by less than the rounding may go either way
    second, best = np.sort(ours, 0)[-2:]
    clear = best - second > 1e-4
    assert clear.mean() > 0.99
    assert (label_map(scores, 8, (72, 96)) == full.argmax(0))[clear].all()


def test_label_map_cuts_off_what_lies_beyond_the_image_before_resizing():
    scores = np.zeros((2, 2, 2), np.float32)
    scores[0], scores[1, 1] = 1.0, 3.0  # class 1 wins below the middle of the 16 rows
    whole = label_map(scores, 8, (16, 16))
    cut = label_map(scores, 8, (12, 16), (24, 32))
    assert cut.shape == (24, 32)
    # at twice the size the border between the classes lies at twice the row
    assert abs((cut[:, 0] == 0).sum() - 2 * (whole[:, 0] == 0).sum()) <= 1


def test_first_class_wins_a_tie():
    assert (label_map(np.ones((3, 2, 2), np.float32), 8, (16, 16)) == 0).all()
