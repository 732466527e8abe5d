"""Caffemodels and solverstates: what loads is what the report says; broken files are refused."""
import os

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2

from data.errors import InputError
from tools.lib.checking.caffemodel import (
    compare,
    not_finite,
    read_caffemodel,
    read_solverstate,
    report_lines,
    require_finite,
    require_match,
)
from tools.lib.checking.dry_run import dry_run_net, shapes_of
from tools.lib.checking.net import load_net

from tiny_nets import NET, write_net, write_solver

# The front-end of the released dilation models: channels out, channels in, kernel.
RELEASED = {
    "conv1_1": (64, 3, 3), "conv1_2": (64, 64, 3), "conv2_1": (128, 64, 3),
    "conv2_2": (128, 128, 3), "conv3_1": (256, 128, 3), "conv3_2": (256, 256, 3),
    "conv3_3": (256, 256, 3), "conv4_1": (512, 256, 3), "conv4_2": (512, 512, 3),
    "conv4_3": (512, 512, 3), "conv5_1": (512, 512, 3), "conv5_2": (512, 512, 3),
    "conv5_3": (512, 512, 3), "fc6": (4096, 512, 7), "fc7": (4096, 4096, 1), "final": (19, 4096, 1)
}
CONTEXT = {"ctx_conv1_1": (19, 19, 3), "ctx_final": (19, 19, 1)}


def stored_model(path, layers, v1=False, legacy=False):
    """Writes a caffemodel and returns its path.

    layers: {name: (out, in, kernel)}; values are counted up from 0.
    """
    net = caffe_pb2.NetParameter()
    for name, (outputs, inputs, kernel) in layers.items():
        if v1:
            layer = net.layers.add(name=name, type=caffe_pb2.V1LayerParameter.CONVOLUTION)
        else:
            layer = net.layer.add(name=name, type="Convolution")
        for shape in ((outputs, inputs, kernel, kernel), (outputs,)):
            blob = layer.blobs.add(data=np.arange(np.prod(shape), dtype=np.float32))
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - len(shape)) + shape
            else:
                blob.shape.dim.extend(shape)
    path.write_bytes(net.SerializeToString())
    return str(path)


TINY = {"conv": (4, 3, 3), "final": (3, 4, 1)}


def tiny_shapes(tmp_path, text=NET):
    return shapes_of(caffe.Net(write_net(tmp_path, text), caffe.TRAIN))


def test_the_released_front_end_fits_the_full_width_deploy_net(tmp_path, repo_root):
    path = os.path.join(repo_root, "models", "gta", "deploy.prototxt")
    shapes = dry_run_net(load_net(path), caffe.TEST, path)
    for name, (outputs, inputs, kernel) in RELEASED.items():
        assert shapes.parameters[name] == [(outputs, inputs, kernel, kernel), (outputs,)]
    # without the large layers (fc6 alone has 400 MB), and with layers of the context module
    large = ("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7")
    some = {name: shape for name, shape in RELEASED.items() if name not in large}
    model = read_caffemodel(
        stored_model(tmp_path / "m.caffemodel", dict(some, **CONTEXT), v1=True, legacy=True))
    report = compare(shapes, model)
    assert (report.loaded, report.initial, report.skipped, report.mismatches) == (
        list(some), list(large), list(CONTEXT), [])
    assert report.fixed == ["score"]
    require_match(report)
    with pytest.raises(InputError, match="no weights for conv4_1, .*, fc7; expected all"):
        require_match(report, complete=True)


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_what_the_report_calls_loaded_caffe_loads(tmp_path, v1, legacy):
    path = stored_model(tmp_path / "m.caffemodel", dict(TINY, **CONTEXT), v1, legacy)
    report = compare(tiny_shapes(tmp_path), read_caffemodel(path))
    assert report.loaded == ["conv", "final"] and report.skipped == list(CONTEXT)
    require_match(report, complete=True)
    net = caffe.Net(write_net(tmp_path), caffe.TRAIN)
    net.copy_from(path)
    for blobs in net.params.values():
        assert all((blob.data.ravel() == np.arange(blob.count)).all() for blob in blobs)


@pytest.mark.parametrize("layers, words", [
    ({"conv": (5, 3, 3), "final": (3, 4, 1)},
     ['layer "conv", weights: 4 x 3 x 3 x 3 in the net, 5 x 3 x 3 x 3 in the file',
      'layer "conv", bias: 4 in the net, 5']),
    ({"conv": (4, 3, 5)}, ["4 x 3 x 5 x 5 in the file"]),
    ({"loss": (1, 1, 1), "conv": (4, 3, 3)},
     ['layer "loss": 0 blobs in the net (none), 2 in the file'])])
def test_every_mismatch_is_listed_and_caffe_refuses_it_too(tmp_path, layers, words):
    path = stored_model(tmp_path / "m.caffemodel", layers)
    with pytest.raises(InputError) as caught:
        require_match(compare(tiny_shapes(tmp_path), read_caffemodel(path)))
    assert all(word in str(caught.value) for word in words)
    net = write_net(tmp_path)
    with pytest.raises(InputError, match="Caffe refuses it"):
        dry_run_net(load_net(net), caffe.TRAIN, net, weights=path)


@pytest.mark.parametrize("own, stored, legacy", [
    ((6,), (1, 1, 1, 6), True), ((6,), (1, 1, 1, 6), False), ((6,), (6, 1, 1, 1), True),
    ((6,), (6,), False), ((2, 3), (1, 1, 2, 3), True), ((2, 3), (3, 2), False),
    ((1, 1, 1, 1, 6), (1, 1, 1, 6), True)])
def test_old_and_new_shapes_are_equal_exactly_when_caffe_says_so(tmp_path, own, stored, legacy):
    dims = " ".join(f"dim: {side}" for side in own)
    text = ('layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { '
            f"{dims} }} }} }}")
    net = caffe_pb2.NetParameter()
    blob = net.layer.add(name="p", type="Parameter").blobs.add(data=range(6))
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = stored
    else:
        blob.shape.dim.extend(stored)
    weights = tmp_path / "m.caffemodel"
    weights.write_bytes(net.SerializeToString())
    path = write_net(tmp_path, text)
    try:
        dry_run_net(load_net(path), caffe.TRAIN, path, weights=str(weights))
        caffe_takes_it = True
    except InputError:
        caffe_takes_it = False
    report = compare(tiny_shapes(tmp_path, text), read_caffemodel(str(weights)))
    assert (report.mismatches == []) == caffe_takes_it


@pytest.mark.parametrize("filler, lr_mult, fixed", [
    ("bilinear", 0, ["up"]), ("bilinear", 1, []), ("gaussian", 0, [])])
def test_only_a_layer_made_right_by_its_filler_is_fixed(tmp_path, filler, lr_mult, fixed):
    path = write_net(tmp_path, NET + f"""
        layer {{ name: "up" type: "Deconvolution" bottom: "final" top: "up"
                 param {{ lr_mult: {lr_mult} }}
                 convolution_param {{ num_output: 3 group: 3 kernel_size: 4 bias_term: false
                                      weight_filler {{ type: "{filler}" }} }} }}""")
    shapes = dry_run_net(load_net(path), caffe.TRAIN, path)
    report = compare(shapes, read_caffemodel(stored_model(tmp_path / "m.caffemodel", TINY)))
    assert (report.fixed, report.initial) == (fixed, [] if fixed else ["up"])


def test_nothing_in_common_is_an_error_that_lists_both_sides(tmp_path):
    path = stored_model(tmp_path / "m.caffemodel", CONTEXT)
    with pytest.raises(InputError, match="no layer of this net; its layers: ctx_conv1_1, "
                                         "ctx_final; the net's: conv, final"):
        require_match(compare(tiny_shapes(tmp_path), read_caffemodel(path)))


def test_the_report_in_words(tmp_path):
    path = stored_model(tmp_path / "m.caffemodel", {"conv": (4, 3, 3), "old": (1, 1, 1)})
    lines = report_lines(compare(tiny_shapes(tmp_path), read_caffemodel(path)))
    assert lines[1:] == [
        "  loaded: conv", "  left at initial values: final", "  in the file but not in the net: old"
    ]


WITHOUT_BLOBS = caffe_pb2.NetParameter(
    layer=[caffe_pb2.LayerParameter(name="conv")]).SerializeToString()


def broken(content, **fields):
    model = caffe_pb2.NetParameter()
    blob = model.layer.add(name="conv").blobs.add(data=[1, 2, 3], **fields)
    blob.shape.dim.extend(content)
    return model.SerializeToString()


@pytest.mark.parametrize("content, words", [
    (b"", "is empty"), (b"\x89HDF\r\n\x1a\n" + b"0" * 99, "HDF5"),
    (b"PK\x03\x04" + b"0" * 99, "zip archive"),
    (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (b"<!DOCTYPE html>", "web page"), (b"\x80\x02}q\x00.", "pickle"),
    (b"\xff" * 50, "truncated or altered"), (b'name: "net"', "caffemodel"),
    (broken([3])[:-2], "truncated or altered"),
    (broken([4]), "3 values of data for the shape [4], which has 4"),
    (broken([-3]), "the shape [-3]"), (broken([-1, -3]), "the shape [-1, -3]"),
    (broken([2 ** 62, 2 ** 62]), "3 values"),
    # Caffe looks at the double values first and ends the process
    (broken([3], double_data=[1]), "1 values of data for the shape [3], which has 3"),
    (broken([3], diff=[1, 2, 3], double_diff=[1, 2]), "2 values of diff for the shape [3]"),
    (broken([3]) + caffe_pb2.NetParameter(
        layers=[caffe_pb2.V1LayerParameter(name="old")]).SerializeToString(), 'both "layer" and'),
    (broken([3]) + b"\x0c" + broken([3]), "truncated or altered"),  # the end of a group
    (caffe_pb2.NetParameter(name="x").SerializeToString(), "has no layer"),
    (WITHOUT_BLOBS, "a net without blobs"),
    (broken([3]).replace(b"conv", b"con\xff"), "name b'con\\xff' is not text"),
    (broken([3]) * 2, 'layer "conv" is there twice'),
    (broken([3]) + WITHOUT_BLOBS, 'layer "conv" is there twice'),
    (WITHOUT_BLOBS + broken([3]), 'layer "conv" is there twice')])
def test_broken_caffemodels(tmp_path, content, words):
    path = tmp_path / "m.caffemodel"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_caffemodel(str(path))
    assert words in str(caught.value) and "m.caffemodel" in str(caught.value)


@pytest.mark.parametrize("content, words", [
    (b"\n\n <!doctype html><html>", "is a web page"), (b"<HTML>404", "is a web page"),
    (b'name: "net"\nlayer { name: "conv" }', "is a prototxt, the text of a net or solver"),
    (b"# a solver\nbase_lr: 1\n", "is a prototxt"), (b"some words\n", "is a text file"),
    (b"\0" * 3000, "is nothing but zero bytes"),
    (b"\x1f\x8b\x08" + b"0" * 9, "is a gzip-compressed file"),
    (b"\x1f\x8b\x08" + b"0" * 9, "gunzip")])
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path, content, words):
    for name, read in (("m.caffemodel", read_caffemodel), ("m.solverstate", read_solverstate)):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read(str(path))
        assert words in str(caught.value) and str(caught.value).startswith(str(path))


def test_the_oldest_format_is_named_with_the_tool_that_converts_it(tmp_path):
    path = tmp_path / "m.caffemodel"
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2])
    old = caffe_pb2.V0LayerParameter(name="conv", type="conv", blobs=[blob])
    net = caffe_pb2.NetParameter(layers=[caffe_pb2.V1LayerParameter(layer=old)])
    path.write_bytes(net.SerializeToString())
    with pytest.raises(InputError, match=f"V0 .*\n.*upgrade_net_proto_binary {path} NEW"):
        read_caffemodel(str(path))


def raw_blob(values):
    """A BlobProto (1, 1, 1, N) whose values are in NVIDIA's field raw_data (number 12, bytes)."""
    raw = np.arange(values, dtype=np.float16).tobytes()
    length = bytes([len(raw) & 127 | 128, len(raw) >> 7])
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend((1, 1, 1, values))
    blob.MergeFromString(b"\x62" + length + raw)
    return blob


def test_a_forks_raw_data_is_named_and_no_data_at_all_is_not_called_so(tmp_path):
    path = tmp_path / "m.caffemodel"
    for blob, words in ((raw_blob(100), "raw_data of NVIDIA's Caffe"),
                        (caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[1, 100])),
                         "0 values of data for the shape [1, 100], which has 100")):
        net = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="conv", blobs=[blob])])
        path.write_bytes(net.SerializeToString())
        with pytest.raises(InputError, match='m.caffemodel: layer "conv": blob 0: ') as caught:
            read_caffemodel(str(path))
        assert words in str(caught.value)


def test_a_sparse_file_of_2_gigabytes_is_named_once_with_what_is_on_the_disk(tmp_path):
    path = tmp_path / "m.caffemodel"
    with open(str(path), "wb") as file:
        file.truncate(2_300_000_000)
    with pytest.raises(InputError) as caught:
        read_caffemodel(str(path))
    message = str(caught.value)
    assert message == (f"{path} has 2.3 GB, of which 0.0 GB are on the disk (an unfinished "
                       "download?); a .caffemodel has at most 2.1 GB, the limit of protobuf")


@pytest.mark.parametrize("beside", (True, False))
def test_a_solverstate_given_as_weights_names_the_caffemodel_beside_it(tmp_path, monkeypatch,
                                                                       beside):
    monkeypatch.chdir(tmp_path)
    solver = caffe.get_solver(write_solver(tmp_path))
    solver.step(2)
    solver.snapshot()
    (tmp_path / "moved").mkdir()
    for ending in (".caffemodel", ".solverstate"):
        os.rename(f"tiny_iter_2{ending}", f"moved/tiny_iter_2{ending}")
    if not beside:
        os.remove("moved/tiny_iter_2.caffemodel")
    with pytest.raises(InputError) as caught:
        read_caffemodel("moved/tiny_iter_2.solverstate")
    assert str(caught.value).startswith(
        "moved/tiny_iter_2.solverstate is a solverstate (iteration 2): it holds the solver's")
    assert ("give its weights: moved/tiny_iter_2.caffemodel" if beside
            else "named tiny_iter_2.caffemodel") in caught.value.fix
    if beside:
        model = read_caffemodel("moved/tiny_iter_2.caffemodel")
        assert [blob.shape for blob in model.layers["conv"]] == [(4, 3, 3, 3), (4,)]
        with pytest.raises(InputError, match="is a caffemodel"):
            read_solverstate("moved/tiny_iter_2.caffemodel")


def test_a_missing_caffemodel(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_caffemodel(str(tmp_path / "m.caffemodel"))


def test_a_folder_is_called_one_once(tmp_path):
    with pytest.raises(InputError) as caught:
        read_caffemodel(str(tmp_path))
    assert str(caught.value) == f"caffemodel {tmp_path} is a folder; expected a file"


def test_a_name_that_caffe_cannot_open_is_refused(tmp_path):
    path = stored_model(tmp_path / "m.caffemodel", TINY)
    odd = os.path.join(str(tmp_path), os.fsdecode(b"\xff.caffemodel"))
    os.rename(path, odd)
    with pytest.raises(InputError, match="the path is not UTF-8, and Caffe cannot"):
        read_caffemodel(odd)


def test_any_truncation_of_a_model_is_noticed_or_still_whole(tmp_path):
    """A cut between two layers leaves a valid, shorter file: it must then miss those layers."""
    whole = open(stored_model(tmp_path / "m.caffemodel", TINY), "rb").read()
    cut = tmp_path / "cut.caffemodel"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        try:
            assert list(read_caffemodel(str(cut)).layers) == ["conv"]
        except InputError:
            pass


def test_weights_that_are_not_finite_are_named(tmp_path):
    net = caffe.Net(write_net(tmp_path), caffe.TRAIN)
    require_finite(net, "m")
    net.params["final"][1].data[0] = np.nan
    assert not_finite(net) == ["final"]
    with pytest.raises(InputError, match="m: weights that are not finite .* in layer final"):
        require_finite(net, "m")


def test_a_solverstate_gives_its_iteration_and_history(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = caffe.get_solver(write_solver(tmp_path))
    solver.step(2)
    solver.snapshot()
    state = read_solverstate("tiny_iter_2.solverstate")
    assert state.iteration == 2 and os.path.basename(state.learned_net) == "tiny_iter_2.caffemodel"
    assert [blob.shape for blob in state.history] == [
        tuple(blob.shape) for blobs in solver.net.params.values() for blob in blobs]


@pytest.mark.parametrize("content, words", [
    (b"", "is empty"), (b"\xff" * 9, "truncated or altered"),
    (caffe_pb2.SolverState(learned_net="x").SerializeToString(), "iteration is missing"),
    (caffe_pb2.SolverState(iter=1, learned_net="abcd").SerializeToString().replace(
        b"abcd", b"ab\xff\xff"), "is not text"),
    (caffe_pb2.SolverState(iter=-1).SerializeToString(), "iteration is -1"),
    (caffe_pb2.SolverState(
        iter=1, history=[caffe_pb2.BlobProto(data=[1], num=2)]).SerializeToString(), "history 0")])
def test_broken_solverstates(tmp_path, content, words):
    path = tmp_path / "m.solverstate"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_solverstate(str(path))
    assert words in str(caught.value)
