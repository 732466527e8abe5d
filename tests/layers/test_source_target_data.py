"""SourceTargetData in a real net, and the worker processes behind it."""
import json
import os
import signal
import subprocess
import sys
import time

import caffe
import numpy as np
import pytest

from data import ordering, transforms
from data.augmentation import Augmentation
from data.batches import make_domain
from data.errors import InputError
from data.registry import open_dataset

from data_files import children, write_folder_set, write_image

PARAMS = {
    "source": {"dataset": "folder:path=source",
               "split": "train"}, "target": {"dataset": "folder:path=target", "split": "train"},
    "source_images": 2, "target_images": 1, "crop": [8, 10], "margin": 3, "mean": [10, 20.5, 30],
    "seed": 5, "workers": 0
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_folder_set(str(tmp_path / "source"), count=5)
    write_folder_set(str(tmp_path / "target"), count=4, height=20, width=30)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def nets_end():
    yield
    while NETS:
        NETS.pop().layers[0].close()


NETS = []


def make_net(folder, tops=("data", "label"), drop=(), **changes):
    params = {key: value for key, value in dict(PARAMS, **changes).items() if key not in drop}
    path = folder / "net.prototxt"
    path.write_text('layer { name: "data" type: "Python" %s python_param { module: '
                    '"layers.source_target_data" '
                    'layer: "SourceTargetData" param_str: %s } }' %
                    (" ".join('top: "%s"' % top for top in tops), json.dumps(json.dumps(params))))
    NETS.append(caffe.Net(str(path), caffe.TRAIN))
    return NETS[-1]


def batches(net, count):
    made = []
    for _ in range(count):
        net.forward()
        made.append({top: net.blobs[top].data.copy() for top in net.blobs})
    return made


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        assert a.keys() == b.keys() and all((a[top] == b[top]).all() for top in a)


def test_a_batch_is_what_its_description_says(root):
    net = make_net(root)
    made = batches(net, 4)
    source, target = (open_dataset("folder:path=" + name) for name in ("source", "target"))
    for number, batch in enumerate(made):
        assert batch["data"].shape == (3, 3, 14, 16) and batch["label"].shape == (2, 1, 8, 10)
        for item in range(2):
            position = 2 * number + item
            frame = source.frames("train")[ordering.frame_index(5, "source", position, 5)]
            image, label = source.read_pair(frame)
            window = transforms.random_window(image.shape, (8, 10),
                                              ordering.generator(5, "source", position))
            wanted = transforms.cut_image(image, window,
                                          (8, 10), 3).astype(np.float32) - (10, 20.5, 30)
            assert (batch["data"][item] == wanted.transpose(2, 0, 1)).all()
            assert (batch["label"][item, 0] == transforms.cut_label(label, window, (8, 10))).all()
        frame = target.frames("train")[ordering.frame_index(5, "target", number, 4)]
        image = target.read_image(frame)
        window = transforms.random_window(image.shape, (8, 10),
                                          ordering.generator(5, "target", number))
        assert (batch["data"][2].transpose(
            1, 2, 0) == transforms.cut_image(image, window,
                                             (8, 10), 3) - np.float32([10, 20.5, 30])).all()


def test_batches_are_the_same_for_any_number_of_workers_and_after_any_jump(root):
    wanted = batches(make_net(root), 9)
    assert not (wanted[0]["data"] == wanted[1]["data"]).all()
    for workers in (0, 1, 2, 3):
        net = make_net(root, workers=workers)
        assert_same(batches(net, 9), wanted)
        for position in (4, 0, 8, 8, 3):
            net.layers[0].set_position(position)
            assert_same(batches(net, 1), wanted[position:position + 1])
        assert_same(batches(net, 2), wanted[4:6])


def test_another_seed_gives_other_batches(root):
    assert not (batches(make_net(root), 1)[0]["data"] == batches(make_net(root, seed=6),
                                                                 1)[0]["data"]).all()


def test_without_mirror_and_with_the_whole_image_nothing_is_random_but_the_order(root):
    net = make_net(root, mirror=False, crop=[12, 16], margin=0, mean=[0, 0, 0],
                   drop=("target", "target_images"))
    images = [
        open_dataset("folder:path=source").read_image(f)
        for f in open_dataset("folder:path=source").frames("train")
    ]
    seen = [index for batch in batches(net, 5) for made in batch["data"]
            for index, image in enumerate(images) if (made.transpose(1, 2, 0) == image).all()]
    assert sorted(seen) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] and sorted(seen[:5]) == [0, 1, 2, 3, 4]


def test_augmentation_is_a_function_of_seed_and_position(root):
    changes = dict(source_scale=[0.5, 2], source_jitter={"brightness": 0.5, "channels": 0.1},
                   target_scale=[0.75, 1.5], target_jitter={"contrast": 0.5, "saturation": 0.5})
    wanted = batches(make_net(root, **changes), 6)
    assert not (wanted[0]["data"] == batches(make_net(root), 1)[0]["data"]).all()
    for workers in (0, 2):
        net = make_net(root, workers=workers, **changes)
        net.layers[0].set_position(3)
        assert_same(batches(net, 3), wanted[3:])


def test_a_sample_is_scaled_with_its_label_and_recoloured_as_drawn(root):
    jitter = {"brightness": 0.3, "contrast": 0.2, "saturation": 0.4, "channels": 0.1}
    net = make_net(root, source_scale=[0.5, 2], source_jitter=jitter, source_resize=0.9)
    data = open_dataset("folder:path=source")
    for number, batch in enumerate(batches(net, 3)):
        for item, position in enumerate((2 * number, 2 * number + 1)):
            varied = Augmentation((0.5, 2), **jitter).draw(
                ordering.generator(5, "source", position, ordering.AUGMENTATION))
            frame = data.frames("train")[ordering.frame_index(5, "source", position, 5)]
            image, label = data.read_pair(frame)
            image = transforms.resize(image, 0.9 * varied.scale)
            label = transforms.resize_label(label, 0.9 * varied.scale)
            window = transforms.random_window(image.shape, (8, 10),
                                              ordering.generator(5, "source", position))
            wanted = varied.recoloured(transforms.cut_image(image, window, (8, 10), 3))
            assert (batch["data"][item] == transforms.to_blob(wanted, (10, 20.5, 30))).all()
            assert (batch["label"][item, 0] == transforms.cut_label(label, window, (8, 10))).all()


def test_augmentation_of_one_domain_leaves_the_other_as_it_is(root):
    plain, varied = (batches(make_net(root, **changes), 3)
                     for changes in ({}, dict(target_jitter={"brightness": 1},
                                              target_scale=[1, 3])))
    for a, b in zip(plain, varied):
        assert (a["data"][:2] == b["data"][:2]).all() and (a["label"] == b["label"]).all()
        assert (a["data"][2] != b["data"][2]).any()


def test_augmentation_by_its_defaults_changes_nothing(root):
    assert_same(batches(make_net(root), 3),
                batches(make_net(root, source_scale=[1, 1], target_jitter={"contrast": 0}), 3))


@pytest.mark.parametrize("changes, words", [
    (dict(source_scale=[2, 1]), '"source_scale" is [2, 1]'),
    (dict(source_scale=[1, 9], source_resize=2), "reaches 2 to 18; expected factors from 0.01 to"),
    (dict(source_scale=[0, 1]), "each item a number from 0.01 to 16"),
    (dict(target_jitter={"hue": 0.1}), 'unknown key "hue"'),
    (dict(target_jitter={"contrast": 1.5}), '"contrast" must be a number from 0 to 1'),
    (dict(target_jitter=0.1), '"target_jitter" must be an object'),
])
def test_augmentation_out_of_range_is_refused(root, changes, words):
    with pytest.raises(InputError) as caught:
        make_net(root, **changes)
    assert words in caught.value.what


def test_resizes_apply_to_their_own_domain(root):
    net = make_net(root, source_resize=0.5, target_resize=2, crop=[6, 8], margin=0)
    batch = batches(net, 1)[0]
    assert batch["data"].shape == (3, 3, 6, 8) and set(np.unique(batch["label"])) <= {0, 1, 2, 255}


def test_images_smaller_than_the_crop_are_ignored_beyond_their_edge(root):
    label = batches(make_net(root, crop=[20, 30]), 1)[0]["label"]
    assert (label == 255).sum() >= 2 * (20 * 30 - 12 * 16)


def test_a_target_alone_has_no_label_top(root):
    net = make_net(root, tops=("data", ), source_images=0, target_images=2, drop=("source", ),
                   workers=1)
    assert batches(net, 1)[0]["data"].shape == (2, 3, 14, 16)


@pytest.mark.parametrize("changes, drop, message", [
    ({"sede": 1}, (), "unknown key .*sede"), ({}, ("crop",), "lacks the key .*crop"),
    ({"crop": [0, 8]}, (), "crop"),
    ({"seed": -1}, (), "seed"), ({"mean": [1, 2]}, (), "mean"),
    ({"target_images": 0}, (), "target.* is given"),
    ({}, ("target",), "target.* is missing"),
    ({"source": {"dataset": "folder"}}, (), "source.* lacks the key .*split"),
    ({"source": {"dataset": "nowhere", "split": "a"}}, (), "unknown data set"),
    ({"source": {"dataset": "folder:path=source", "split": "train[7:]"}}, (), "no frames")])
def test_wrong_params_are_refused_in_words(root, changes, drop, message):
    with pytest.raises(InputError, match=message):
        make_net(root, drop=drop, **changes)


def test_wrong_tops_are_refused(root):
    with pytest.raises(InputError, match="tops"):
        make_net(root, tops=("data",))


def test_bad_pairs_are_found_before_training_with_their_line(root):
    write_image(str(root / "source" / "labels" / "2.png"), np.zeros((12, 15), np.uint8))
    with pytest.raises(InputError, match=r"train_images.txt:3: .*12 x 15"):
        make_net(root)
    os.remove(str(root / "source" / "labels" / "2.png"))
    with pytest.raises(InputError, match=r"train_images.txt:3: .*no such file"):
        make_net(root)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_turns_out_bad_while_reading_is_named_when_its_turn_comes(root, workers):
    net = make_net(root, workers=workers, target_images=0, drop=("target",))
    write_image(str(root / "source" / "labels" / "4.png"), np.full((12, 16), 77, np.uint8))
    order = [ordering.frame_index(5, "source", position, 5) for position in range(5)]
    turn = order.index(4) // 2
    batches(net, turn)
    for _ in range(2):
        with pytest.raises(InputError, match=r"train_images.txt:5: .*labels/4.png: label value 77"):
            net.forward()


def test_no_label_of_a_target_is_opened(root):
    """Records every file that Python opens; the target's labels lie beside its images."""
    code = """if True:
        import os, sys
        opened = []
        sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else
            None)
        import caffe
        net = caffe.Net(sys.argv[1], caffe.TRAIN)
        for _ in range(10):
            net.forward()
        used = {os.path.relpath(path, os.environ["DATA_ROOT"]) for path in opened if
            path.startswith(os.environ["DATA_ROOT"])}
        print("\\n".join(sorted(used)))
        """
    make_net(root)
    done = subprocess.run(
        [sys.executable, "-c", code, str(root / "net.prototxt")], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, check=True)
    used = done.stdout.split()
    assert {f"source/labels/{n}.png"
            for n in range(5)} | {f"target/images/{n}.png"
                                  for n in range(4)} <= set(used)
    assert not [path for path in used if path.startswith("target/labels/")]


def test_the_frames_of_a_target_do_not_even_know_their_labels(root):
    data = open_dataset("folder:path=target")
    assert all(frame.label for frame in data.frames("train"))
    assert all(frame.label is None
               for frame in make_domain("target", data, "train", 1, labelled=False).frames)


def test_a_target_whose_labels_are_gone_is_no_different(root):
    wanted = batches(make_net(root, workers=1), 4)
    for number in range(4):
        os.remove(str(root / "target" / "labels" / (f"{number}.png")))
    assert_same(batches(make_net(root, workers=1), 4), wanted)


def test_workers_end_when_closed_and_leave_ctrl_c_to_the_parent(root):
    before = children()
    net = make_net(root, workers=2)
    started = children() - before
    assert len(started) == 2
    for child in started:
        os.kill(child, signal.SIGINT)
        os.kill(child, signal.SIGTERM)
    assert_same(batches(net, 3), batches(make_net(root), 3))
    assert children() - before == started
    net.layers[0].close()
    assert children() == before


BUSY = ("import data.batches, time; "
        "data.batches.BatchMaker.fill = lambda self, k, *a, **b: k < 1 or time.sleep(60)")


@pytest.mark.parametrize("start, ending", [
    ("", "os.kill(os.getpid(), 9)"), ("", "os._exit(3)"), ("", "sys.exit(0)"),
    ("", "raise KeyboardInterrupt"),
    (BUSY, "os.kill(os.getpid(), 9)"), (BUSY, "sys.exit(0)")])
def test_workers_end_with_their_parent_however_it_ends(root, start, ending):
    make_net(root, workers=2)
    code = """if True:
        import caffe, os, subprocess, sys
        """ + start + """
        net = caffe.Net(sys.argv[1], caffe.TRAIN)
        net.forward()
        print(*open("/proc/self/task/%d/children" % os.getpid()).read().split(), flush=True)
        """ + ending
    done = subprocess.run(
        [sys.executable, "-c", code, str(root / "net.prototxt")], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, timeout=60)
    workers = [int(word) for word in done.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(alive(worker) for worker in workers)


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
