"""Pictures and labels of Caffe's own data layers are checked before Caffe reads beyond its arrays.
"""
import cv2
import lmdb
import numpy as np
import pytest

caffe = pytest.importorskip("caffe")

from data.child_process import run_in_child
from data.errors import InputError
from tools.lib.checking import stock_data
from tools.lib.checking.dry_run import dry_run_net
from tools.lib.checking.net import load_net
from tools.lib.checking.stock_data import LabelWatch, check_image_lists
from tools.lib.training.run import main

from data_files import random_image, write_image, write_lines
from tiny_nets import SOLVER

HEAD = """layer { name: "score" type: "Convolution" bottom: "data" top: "score"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" %s }
"""
IGNORE = "loss_param { ignore_label: 255 }"


def write_lmdb(path, arrays):
    """An LMDB of Datums, one (C, H, W) uint8 array each."""
    with lmdb.open(str(path), map_size=1 << 24) as environment, \
            environment.begin(write=True) as entries:
        for number, array in enumerate(arrays):
            entries.put(b"%08d" % number, caffe.io.array_to_datum(array).SerializeToString())


def require_readers():
    """Skips the rest of a test in a Caffe without OpenCV and LMDB, as tools/build/ makes it."""
    if "ImageData" not in caffe.layer_type_list():
        pytest.skip("this Caffe reads no pictures and no LMDB")


def lmdb_net(folder, labels, loss_param=""):
    """A net over LMDBs of images and of the label maps (H, W)."""
    require_readers()
    shape = (3,) + labels[0].shape
    write_lmdb(folder / "images", [np.zeros(shape, np.uint8) for _ in labels])
    write_lmdb(folder / "labels", [label[np.newaxis].astype(np.uint8) for label in labels])
    data = "".join(f"""layer {{ name: "{blob}" type: "Data" top: "{blob}"
        data_param {{ source: "{folder}/{place}" batch_size: 1 backend: LMDB }} }}
""" for blob, place in (("data", "images"), ("label", "labels")))
    path = folder / "net.prototxt"
    path.write_text(data + HEAD % loss_param)
    return str(path)


def label_maps(*last, height=48, width=64):
    """Label maps of 0, 1 and 2, each with one of the values `last` in its last pixel."""
    maps = [np.arange(height * width).reshape(height, width) % 3 for _ in last]
    for label, value in zip(maps, last):
        label[-1, -1] = value
    return maps


def dry_run(path):
    return dry_run_net(load_net(path), caffe.TRAIN, path)


@pytest.mark.parametrize("height, width", [(48, 64), (360, 480)])
@pytest.mark.parametrize("place", (0, 4))
def test_a_label_without_a_score_is_refused_before_the_first_step(tmp_path, height, width, place):
    last = [2] * 5
    last[place] = 255
    maps = label_maps(*last, height=height, width=width)
    with pytest.raises(InputError) as caught:
        dry_run(lmdb_net(tmp_path, maps))
    assert caught.value.what.endswith(
        'net.prototxt: layer "loss": its labels "label" (read by layer "label") have the value '
        '255; expected 0 to 2, the classes of its scores "score"')
    assert "ignore_label: 255" in caught.value.fix


@pytest.mark.parametrize("last, loss_param", [
    ([2, 2], ""), ([255, 2], IGNORE), ([0, 0], IGNORE)])
def test_labels_with_a_score_and_ignored_ones_pass(tmp_path, last, loss_param):
    shapes = dry_run(lmdb_net(tmp_path, label_maps(*last), loss_param))
    assert shapes.blobs["score"] == (1, 3, 48, 64)


def test_another_value_than_the_ignored_one_is_named(tmp_path):
    with pytest.raises(InputError, match="have the value 7; expected 0 to 2, .*, or 255, which"):
        dry_run(lmdb_net(tmp_path, label_maps(255, 7), IGNORE))


def test_training_stops_at_a_label_that_the_dry_run_did_not_reach(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.lib.checking.stock_data.LabelWatch.first_batches",
                        lambda self: None)
    net = lmdb_net(tmp_path, label_maps(2, 2, 2, 9))
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("NET", net))
    with pytest.raises(InputError, match='layer "loss": its labels "label" .* have the value 9'):
        main(["--solver", str(tmp_path / "solver.prototxt"), "--output", str(tmp_path / "out"),
              "--seed", "1"])


@pytest.mark.parametrize("fields", ("", 'test_state { stage: "x" }'))
def test_every_batch_of_a_test_net_is_watched(tmp_path, monkeypatch, fields):
    monkeypatch.setattr("tools.lib.checking.stock_data.LabelWatch.first_batches",
                        lambda self: None)
    train, test = tmp_path / "train", tmp_path / "test"
    train.mkdir(), test.mkdir()
    net = lmdb_net(train, label_maps(2, 2))
    tested = lmdb_net(test, label_maps(2, 2, 2, 9))
    solver = SOLVER.replace('net: "NET"', f'train_net: "{net}"\ntest_net: "{tested}"')
    (tmp_path / "solver.prototxt").write_text(f"{solver}test_iter: 4 test_interval: 5 {fields}")
    with pytest.raises(InputError, match='layer "loss": its labels "label" .* have the value 9'):
        main(["--solver", str(tmp_path / "solver.prototxt"), "--output", str(tmp_path / "out"),
              "--seed", "1"])


def test_one_net_for_both_phases_is_watched_in_each(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.lib.checking.stock_data.LabelWatch.first_batches",
                        lambda self: None)
    net = lmdb_net(tmp_path, label_maps(2, 2))
    (tmp_path / "more").mkdir()
    lmdb_net(tmp_path / "more", label_maps(2, 9))
    images, labels = open(net).read()[:-len(HEAD % "")].split('layer { name: "label"')
    both = "".join('layer { name: "label" include { phase: %s }' % phase
                   + labels.replace(f"{tmp_path}/labels", str(place))
                   for phase, place in (("TRAIN", tmp_path / "labels"),
                                        ("TEST", tmp_path / "more" / "labels")))
    (tmp_path / "net.prototxt").write_text(images + both + HEAD % "")
    (tmp_path / "solver.prototxt").write_text(
        SOLVER.replace("NET", net) + "test_iter: 2 test_interval: 5")
    with pytest.raises(InputError, match="have the value 9"):
        main(["--solver", str(tmp_path / "solver.prototxt"), "--output", str(tmp_path / "out"),
              "--seed", "1"])


def image_list_net(folder, lines, loss_param=""):
    write_lines(str(folder / "list.txt"), lines)
    path = folder / "net.prototxt"
    path.write_text(f"""layer {{ name: "data" type: "ImageData" top: "data" top: "label"
        image_data_param {{ source: "{folder}/list.txt" batch_size: 1 root_folder: "{folder}/" }} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool"
        pooling_param {{ pool: AVE global_pooling: true }} }}
""" + (HEAD % loss_param).replace('bottom: "data"', 'bottom: "pool"'))
    return str(path)


def test_a_missing_picture_blames_the_data_layer_its_source_and_line(tmp_path):
    write_image(str(tmp_path / "a b.png"), random_image(0))
    path = image_list_net(tmp_path, ["a b.png 0", "a b.png 2", "gone.png 1"])
    with pytest.raises(InputError) as caught:
        dry_run(path)
    assert caught.value.what == (f'{path}: layer "data": source {tmp_path}/list.txt:3: '
                                 f"{tmp_path}/gone.png: no such file")
    require_readers()
    write_image(str(tmp_path / "c.png"), random_image(0))
    path = image_list_net(tmp_path, ["a b.png 0", "a b.png 2", "c.png"])  # without a label: 0
    assert dry_run(path).blobs["score"] == (1, 3, 1, 1)
    path = image_list_net(tmp_path, ["a b.png 0", "a b.png 3"])
    with pytest.raises(InputError, match=r'\(read by layer "data"\) have the value 3'):
        dry_run(path)


def spoil(path, kind):
    """Makes the PNG file at `path` (pathlib) a file of that kind."""
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:len(content) // 2], "empty": b"",
                      "text": b"not a picture\n",
                      "altered": content[:60] + b"\xff\xff" + content[62:]}[kind])


def caffe_survives(path):
    """Whether six forward passes of the net at `path` leave the process alive."""
    def forward():
        net = caffe.Net(path, caffe.TRAIN)
        for _ in range(6):
            net.forward()
        return True
    return run_in_child(forward, 60).value is True


@pytest.mark.parametrize("kind, words", [
    ("truncated", "truncated PNG file"), ("empty", "empty file"),
    ("text", "a text file; expected a PNG or JPEG picture"), ("altered", "damaged PNG file")])
def test_a_damaged_picture_blames_the_data_layer_its_source_and_line(tmp_path, kind, words):
    require_readers()
    for name in "abcd":
        write_image(str(tmp_path / f"{name}.png"), random_image(0))
    spoil(tmp_path / "c.png", kind)
    net = image_list_net(tmp_path, [f"{name}.png 0" for name in "abcd"])
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("NET", net))
    with pytest.raises(InputError) as caught:
        main(["--solver", str(tmp_path / "solver.prototxt"), "--output", str(tmp_path / "out"),
              "--seed", "1"])
    assert caught.value.what.startswith(
        f'{tmp_path}/solver.prototxt: layer "data": source {tmp_path}/list.txt:3: '
        f"{tmp_path}/c.png: {words}")
    assert not (tmp_path / "out").exists()


def test_whatever_opencv_reads_is_read_and_the_rest_named(tmp_path):
    require_readers()
    names = []
    for kind in ("png", "jpg", "bmp", "tiff", "webp"):
        names.append(f"a.{kind}")
        assert cv2.imwrite(str(tmp_path / names[-1]), random_image(0))
    cv2.imwrite(str(tmp_path / "deep.png"), random_image(0).astype(np.uint16) * 257)
    path = image_list_net(tmp_path, [f"{name} 0" for name in [*names, "deep.png"]])
    assert dry_run(path) and caffe_survives(path)


@pytest.mark.parametrize("ending, kind", [
    ("bmp", "a BMP picture"), ("tiff", "a TIFF picture"), ("webp", "a WebP picture")])
def test_a_truncated_picture_of_another_format_is_not_blamed_on_its_format(tmp_path, ending, kind):
    require_readers()
    picture = tmp_path / f"a.{ending}"
    assert cv2.imwrite(str(picture), random_image(0))
    picture.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(InputError, match=f"{kind} that OpenCV cannot decode: truncated"):
        dry_run(image_list_net(tmp_path, [f"{picture.name} 0"]))


@pytest.mark.parametrize("fields, transform, words", [
    ("batch_size: 1", "", None),
    ("batch_size: 2", "", "the pictures of a batch need one size"),
    ("batch_size: 2 shuffle: true", "", "the pictures of a batch need one size"),
    ("batch_size: 2 new_height: 9 new_width: 9", "", None),
    ("batch_size: 2", "crop_size: 8", None),
    ("batch_size: 2", "crop_size: 12", "8 x 30 pixels; crop_size is 12"),
    ("batch_size: 1 new_height: 9 new_width: 9", "crop_size: 10", "9 x 9 pixels; crop_size is 10")])
def test_sizes_are_refused_exactly_where_caffe_aborts(tmp_path, fields, transform, words):
    require_readers()
    write_image(str(tmp_path / "a.png"), random_image(0, 20, 30))
    write_image(str(tmp_path / "b.png"), random_image(0, 8, 30))
    path = image_list_net(tmp_path, ["a.png 0", "b.png 0"])
    text = open(path).read().replace("batch_size: 1", fields)
    text = text.replace('type: "ImageData"',
                        f'type: "ImageData" transform_param {{ {transform} }}')
    (tmp_path / "net.prototxt").write_text(text)
    assert caffe_survives(path) == (words is None)
    if words is None:
        dry_run(path)
    else:
        with pytest.raises(InputError, match=words):
            dry_run(path)


def test_a_long_list_is_opened_in_part_and_says_so(tmp_path, capfd, monkeypatch):
    write_image(str(tmp_path / "a.png"), random_image(0))
    net = load_net(image_list_net(tmp_path, ["a.png 0"] * 50))
    check_image_lists(net.layer, "n")
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(stock_data, "PICTURE_SECONDS", 0.0)
    check_image_lists(net.layer, "n")
    assert "of 50 pictures were opened before training, in 0 s" in capfd.readouterr().err


def test_a_missing_list_is_named_with_its_layer(tmp_path):
    net = load_net(image_list_net(tmp_path, ["a.png 0"]))
    (tmp_path / "list.txt").unlink()
    with pytest.raises(InputError, match='n: layer "data": source ".*list.txt" cannot be read'):
        check_image_lists(net.layer, "n")


def test_a_net_whose_labels_no_stock_layer_reads_is_not_watched(tmp_path):
    from tiny_nets import write_net
    path = write_net(tmp_path)
    assert not LabelWatch(caffe.Net(path, caffe.TRAIN), load_net(path).layer, path)
