"""Packing into LMDB and reading it: equality, order, resume, processes, and damaged files."""
import itertools
import json
import os
import re
import signal

import numpy as np
import pytest

lmdb = pytest.importorskip("lmdb")
caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2  # noqa: E402

from data import lmdb_format, lmdb_writer  # noqa: E402
from data.errors import InputError  # noqa: E402
from data.parallel import each_result  # noqa: E402
from data.registry import open_dataset  # noqa: E402
from tools.bench import bench_reading as bench_command  # noqa: E402
from tools.lib.categories import statistics_command  # noqa: E402
from tools.lib.datasets import lmdb_command  # noqa: E402

from data_files import (  # noqa: E402
    random_image,
    write_folder_set,
    write_image,
    write_lines,
    write_palette,
    write_synthia,
)


@pytest.fixture
def gta5(tmp_path):
    """Root of a gta5 whose list is not in the order of its names."""
    for number in (3, 1, 2, 5, 4):
        write_image(f"{tmp_path}/gta5/images/{number:05d}.png", random_image(number))
        write_palette(f"{tmp_path}/gta5/labels/{number:05d}.png",
                      np.random.RandomState(number).randint(0, 35, (12, 16)).astype(np.uint8))
    write_lines(f"{tmp_path}/gta5/mine.txt", [f"{number:05d}" for number in (3, 1, 2, 5, 4)])
    return str(tmp_path)


def pack(root, *arguments, dataset="gta5", split="mine", output="packed"):
    folder = os.path.join(root, output)
    lmdb_command.main(["--dataset", dataset, "--split", split, "--data-root", root,
                       "--output", folder, "--workers", "1"] + list(arguments))
    return folder


def opened(folder):
    return open_dataset("lmdb", path=folder)


def assert_same(packed_set, original, split):
    frames, before = packed_set.frames("all"), original.frames(split)
    assert [frame.name for frame in frames] == [frame.name for frame in before]
    for frame, old in zip(frames, before):
        packed_set.check(frame)
        for mine, wanted in zip(packed_set.read_pair(frame), original.read_pair(old)):
            assert mine.dtype == wanted.dtype and (mine == wanted).all()
        assert (packed_set.count_label(frame) == original.count_label(old)).all()


def test_counting_is_measured_against_reading_the_labels_from_the_lmdb(gta5, monkeypatch):
    monkeypatch.setattr(statistics_command, "TURNS", 1)
    data = opened(pack(gta5))
    assert statistics_command.benchmark(data, data.frames("all"), 1).startswith("5 labels")


@pytest.mark.parametrize("space", ("cityscapes", "camvid"))
def test_pairs_in_list_order_with_mapped_labels(gta5, space):
    data = opened(pack(gta5, "--label-space", space))
    assert data.space.name == space and data.mean == open_dataset("gta5", gta5).mean
    assert_same(data, open_dataset("gta5", gta5, space), "mine")


def test_16_bit_labels_jpeg_images_and_a_users_own_classes(tmp_path):
    root = str(tmp_path)
    write_image(root + "/synthia_rand/RGB/0000000.png", random_image(1))
    write_synthia(root + "/synthia_rand/GT/LABELS/0000000.png",
                  np.random.RandomState(2).randint(0, 23, (12, 16)))
    assert_same(opened(pack(root, dataset="synthia_rand", split="train")),
                open_dataset("synthia_rand", root), "train")
    write_image(root + "/bdds/seg/images/val/a.jpg", random_image(3))
    write_image(root + "/bdds/seg/labels/val/a_train_id.png", np.full((12, 16), 18, np.uint8))
    folder = pack(root, dataset="bdds", split="val", output="bdds_packed")
    assert_same(opened(folder), open_dataset("bdds", root), "val")
    with open(root + "/bdds/seg/images/val/a.jpg", "rb") as file:
        # the entry is the file's own bytes
        assert lmdb_format.read_entry(folder + "/images/00000000") == file.read()
    write_folder_set(root + "/folder")
    data = opened(pack(root, dataset="folder", split="train[2:5]", output="own"))
    assert data.space.classes == ("class0", "class1", "class2")
    assert data.space.palette[2].tolist() == [2, 0, 0]
    assert_same(data, open_dataset("folder", root), "train[2:5]")


def test_the_drawn_toy(tmp_path):
    assert_same(opened(pack(str(tmp_path), dataset="toy", split="source_val[:3]")),
                open_dataset("toy"), "source_val[:3]")


def test_a_frame_that_is_listed_twice_is_not_packed(gta5):
    write_lines(gta5 + "/gta5/mine.txt", ["00003", "00001", "00003"])
    with pytest.raises(InputError, match="mine.txt:1: 00003 and .*mine.txt:3: 00003: two frames "
                                         "with the name 00003"):
        pack(gta5)
    assert not os.path.exists(gta5 + "/packed")


def test_two_entries_with_one_name_are_refused(gta5):
    folder = pack(gta5)
    change(folder, names=["00003", "00001", "00002", "00005", "00001"])
    with pytest.raises(InputError, match=r"meta.json: names\[1\] and .*meta.json: names\[4\]: two "
                                         r"frames with the name 00001"):
        opened(folder).frames("all")


@pytest.mark.parametrize("name", ["../00001", "/tmp/00001", "a/../../b"])
def test_a_name_that_leads_out_of_a_folder_of_predictions_is_refused(gta5, name):
    folder = pack(gta5)
    change(folder, names=["00003", name, "00002", "00005", "00004"])
    with pytest.raises(InputError, match=rf"meta.json: names\[1\]: '{name}' is not a name below"):
        opened(folder).frames("all")


def test_entries_are_what_caffe_reads(gta5):
    folder = pack(gta5)
    for part, channels in (("images", 3), ("labels", 1)):
        with lmdb.open(os.path.join(folder, part), readonly=True,
                       lock=False) as environment, environment.begin() as transaction:
            assert [key for key, _ in transaction.cursor()
                    ] == [b"0000000%d" % index for index in range(5)]
            datum = caffe_pb2.Datum.FromString(transaction.get(b"00000002"))
        assert datum.encoded and (datum.channels, datum.height, datum.width) == (channels, 12, 16)


def test_images_only_open_no_label(gta5):
    for number in range(1, 6):
        os.remove(f"{gta5}/gta5/labels/{number:05d}.png")
    folder = pack(gta5, "--images-only")
    data = opened(folder)
    assert not os.path.exists(folder + "/labels") and (data.read_image(data.frames("all")[0])
                                                       == random_image(3)).all()
    data.check(data.frames("all")[0], labelled=False)
    for look in (data.read_label, data.check):
        with pytest.raises(InputError, match="00003 has no label"):
            look(data.frames("all")[0])


def test_an_interrupted_packing_goes_on_and_is_not_read_before(gta5, monkeypatch):
    encode, taken = lmdb_writer.encode, []

    def failing(data, frame, labelled):
        taken.append(frame.name)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return encode(data, frame, labelled)

    monkeypatch.setattr(lmdb_writer, "encode", failing)
    monkeypatch.setattr(lmdb_writer, "BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        pack(gta5)
    with pytest.raises(InputError, match="packing is not finished.*\n.*make_lmdb"):
        opened(gta5 + "/packed").frames("all")
    folder = pack(gta5)
    assert taken[4:] == ["00002", "00005", "00004"]  # two were committed
    assert_same(opened(folder), open_dataset("gta5", gta5), "mine")
    pack(gta5)
    assert len(taken) == 7  # nothing is packed twice


def dying(function, call):
    """The function, but its `call`-th call kills this process."""
    calls = itertools.count(1)

    def patched(*arguments):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return patched


def half_written(environments, batch, places):
    """Writes the images of a batch and dies before the labels."""
    plain_write(environments[:1], batch, places[:1])
    os.kill(os.getpid(), signal.SIGKILL)


plain_write = lmdb_writer._write


@pytest.mark.parametrize("name, replacement", [
    pytest.param("encode", dying(lmdb_writer.encode, 4), id="while encoding"),
    pytest.param("_write", dying(lmdb_writer._write, 2), id="before a transaction"),
    pytest.param("_write", half_written, id="between images and labels"),
    pytest.param("_equal", dying(lmdb_writer._equal, 3), id="while verifying"),
    pytest.param("_write_meta", dying(lmdb_writer._write_meta, 2), id="before the end")])
def test_a_killed_packing_is_not_read_and_goes_on(gta5, monkeypatch, name, replacement):
    monkeypatch.setattr(lmdb_writer, "BATCH", 2)
    pid = os.fork()
    if not pid:
        try:
            setattr(lmdb_writer, name, replacement)
            pack(gta5)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    with pytest.raises(InputError, match="packing is not finished"):
        opened(gta5 + "/packed").frames("all")
    assert_same(opened(pack(gta5)), open_dataset("gta5", gta5), "mine")


def test_the_map_grows(gta5, monkeypatch):
    monkeypatch.setattr(lmdb_writer, "_FIRST_MAP", 1 << 15)
    write_image(gta5 + "/gta5/images/00001.png", random_image(9, 200, 300))
    write_palette(gta5 + "/gta5/labels/00001.png", np.full((200, 300), 7, np.uint8))
    assert_same(opened(pack(gta5)), open_dataset("gta5", gta5), "mine")


def test_another_packing_in_the_folder_and_a_changed_original_are_refused(gta5):
    folder = pack(gta5)
    for arguments, keys in ((["--label-space",
                              "camvid"], {}), (["--images-only"], {}), ([], {"split": "mine[:3]"})):
        with pytest.raises(InputError, match="another packing"):
            pack(gta5, *arguments, **keys)
    write_palette(gta5 + "/gta5/labels/00001.png", np.full((12, 16), 7, np.uint8))
    with pytest.raises(InputError, match="entry 1 differs from 00001"):
        pack(gta5)
    with pytest.raises(InputError, match="not empty"):
        pack(gta5, output="gta5")
    assert opened(folder).frames("all")


def test_bad_pairs_stop_the_packing_with_their_line(gta5):
    write_palette(gta5 + "/gta5/labels/00002.png", np.full((11, 16), 7, np.uint8))
    with pytest.raises(InputError, match="mine.txt:3: .*11 x 16"):
        pack(gta5)


def test_skipped_frames_are_not_packed(gta5):
    write_lines(gta5 + "/gta5/skip.txt", ["00002"])
    assert [frame.name
            for frame in opened(pack(gta5)).frames("all")] == ["00003", "00001", "00005", "00004"]


def test_forked_readers_while_the_parent_reads_too(gta5):
    data, original = opened(pack(gta5)), open_dataset("gta5", gta5)
    frames = data.frames("all") * 8
    wanted = [original.read_image(frame) for frame in original.frames("mine")] * 8
    assert (data.read_image(frames[0]) == wanted[0]).all()
    inherited, = each_result(lambda _: len(lmdb_format._environments), [0], workers=2)
    assert inherited == 0  # LMDB forbids a database on both sides of a fork
    assert (data.read_image(frames[0]) == wanted[0]).all()
    for _ in range(2):
        for index, image in enumerate(each_result(data.read_image, frames, workers=2)):
            assert (image == wanted[index]).all()
            assert (data.read_image(frames[index]) == wanted[index]).all()


@pytest.mark.parametrize("workers", (0, 2))
def test_the_data_layer_serves_the_same_batches_from_both(gta5, tmp_path, workers):
    folder, batches = pack(gta5), []
    for source in ({"dataset": "gta5", "split": "mine"},
                   {"dataset": "lmdb", "split": "all", "options": {"path": folder}}):
        keys = json.dumps({
            "source": source, "target": source, "target_images": 1, "crop": [8, 8], "margin": 2,
            "mean": [1, 2, 3], "workers": workers
        })
        path = tmp_path / "net.prototxt"
        path.write_text('layer { name: "data" type: "Python" top: "data" top: "label" '
                        'python_param { module: "layers.source_target_data" '
                        f'layer: "SourceTargetData" param_str: {json.dumps(keys)} }} }}')
        os.environ["DATA_ROOT"] = gta5
        try:
            net = caffe.Net(str(path), caffe.TRAIN)
            batches.append([[blob.data.copy() for blob in (net.forward() and net.blobs.values())]
                            for _ in range(7)])
            net.layers[0].close()
        finally:
            del os.environ["DATA_ROOT"]
    for mine, wanted in zip(*batches):
        assert all((a == b).all() for a, b in zip(mine, wanted)) and mine[0].std() > 0


def change(folder, **keys):
    path = os.path.join(folder, "meta.json")
    with open(path) as file:
        meta = json.load(file)
    meta.update(keys)
    with open(path, "w") as file:
        json.dump(meta, file)


@pytest.mark.parametrize("keys, message", [
    ({"version": 2}, "version"), ({"extra": 1}, "unknown key"), ({"names": [1]}, "names"),
    ({"classes": []}, "0 classes"), ({"classes": [{"name": "road"}]}, "class 0 lacks"),
    ({"label_space": "camvid"}, "not those of label space camvid"),
    ({"mean": [1, 2]}, "mean"), ({"complete": "yes"}, "complete")])
def test_a_meta_file_that_is_not_of_the_format_is_refused(gta5, keys, message):
    folder = pack(gta5)
    change(folder, **keys)
    with pytest.raises(InputError, match=message) as error:
        opened(folder).frames("all")
    assert "meta.json" in str(error.value)


def put(folder, value, key=b"00000000"):
    lmdb_format.close_all()
    with lmdb.open(folder + "/images") as environment, environment.begin(write=True) as transaction:
        transaction.put(key, value)


def test_damaged_databases_are_refused_by_name(gta5):
    folder = pack(gta5)
    frame = opened(folder).frames("all")[0]
    for value, message in ((b"\xff\xff rubbish", "not a Caffe Datum"),
                           (caffe_pb2.Datum(data=b"123").SerializeToString(), "without an enc"),
                           (caffe_pb2.Datum(data=b"123", encoded=True).SerializeToString(),
                            "a text file; expected a PNG or JPEG picture")):
        put(folder, value)
        with pytest.raises(InputError, match="images/00000000: .*" + message):
            opened(folder).read_image(frame)
    change(folder, names=list("abcdefghi"))
    with pytest.raises(InputError, match="00000008: no such entry"):
        opened(folder).read_image(opened(folder).frames("all")[8])
    lmdb_format.close_all()
    for size in (20, 5000):
        with open(folder + "/images/data.mdb", "r+b") as file:
            file.truncate(8192 + size if size == 5000 else size)
        with pytest.raises(InputError, match="images"):
            opened(folder).read_image(frame)


def test_a_folder_without_a_packing_names_the_command(tmp_path):
    with pytest.raises(InputError, match="meta.json: no such file\n.*tools/make_lmdb.py"):
        open_dataset("lmdb:path=nothing", str(tmp_path))


@pytest.mark.parametrize("page", ("data/README.md", "tools/make_lmdb.py"))
def test_what_a_page_packs_is_what_it_opens(repo_root, page, monkeypatch):
    with open(os.path.join(repo_root, page), encoding="utf-8") as file:
        text = file.read()
    monkeypatch.chdir(repo_root)
    monkeypatch.delenv("DATA_ROOT", raising=False)
    output = os.path.abspath(re.search(r"make_lmdb.py .*--output (\S+)", text).group(1))
    paths = re.findall(r'"path": "([^"]+)"', text) + re.findall(r"lmdb:path=([\w/]+)", text)
    assert len(paths) == 2
    for path in paths:  # `frames` has the same option path, and opens without a packing
        assert open_dataset("frames", path=path).folder == output


def test_the_benchmark_prints_both_and_refuses_another_split(gta5, capsys):
    arguments = ["--dataset", "gta5", "--data-root", gta5, "--lmdb", pack(gta5), "--turns", "1"]
    bench_command.main(arguments + ["--split", "mine", "--output", os.path.join(gta5, "speed.md")])
    assert capsys.readouterr().out.count(", warm ") == 2
    with open(os.path.join(gta5, "speed.md")) as file:
        lines = file.read().splitlines()
    for words in ("bench_reading.py --dataset gta5", "5 frames", "load average"):
        assert words in lines[0]
    for line in lines[4:]:
        folder, packed_rate, ratio, processor = map(float, line.split("|")[2:6])
        assert 0.01 < processor < 100
        # each of the three is rounded
        assert ratio == pytest.approx(packed_rate / folder,
                                      abs=0.006 + ratio * (0.06 / folder + 0.06 / packed_rate))
    assert [line.split("|")[1].strip() for line in lines[4:]] == [
        f"{what}, {heat}" for what in ("image and label decoded", "bytes alone")
        for heat in ("warm", "cold")]
    with pytest.raises(InputError, match="does not hold"):
        bench_command.main(arguments + ["--split", "mine[1:]"])


def test_a_folder_that_lmdb_cannot_open_is_refused(gta5):
    odd = os.fsdecode(b"\xff")
    with pytest.raises(InputError, match="the path is not UTF-8, and LMDB cannot open"):
        pack(gta5, output=odd)
    assert not os.path.exists(os.path.join(gta5, odd))
    os.rename(pack(gta5), os.path.join(gta5, odd))
    packed = opened(os.path.join(gta5, odd))
    with pytest.raises(InputError, match="the path is not UTF-8, and LMDB cannot open"):
        packed.read_pair(packed.frames("all")[0])
