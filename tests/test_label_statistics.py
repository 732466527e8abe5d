"""Statistics of source labels: by hand, through files and their label maps, and the untrusted file."""
import json
import os
import subprocess

import cv2
import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import label_space
from data.registry import open_dataset
from data.statistics import class_fractions, read_statistics, summarise, to_json
from tools.categories import statistics_command
from tools.categories.statistics_command import count_fractions

CLASSES = 8  # of the toy's label space
ROAD, SKY, WALL, PLATE = 7, 23, 12, 34  # stored ids of GTA5


def of_rows(rows):
    fractions = np.zeros((len(rows), CLASSES))
    fractions[:, :len(rows[0])] = rows
    return summarise(fractions, "toy", "source_train", label_space("toy"))


def test_absent_images_do_not_count_and_quantiles_interpolate():
    # Class 0 is present in 4 of 5 images: 0.1 0.2 0.4 0.8. Rank (4 - 1) / 10 = 0.3: 0.1 + 0.3 * 0.1; rank 2.7: 0.4 + 0.7 * 0.4.
    statistics = of_rows([[0.2], [0.0], [0.8], [0.1], [0.4]])
    assert statistics.images == 5 and statistics.counts.tolist() == [4] + [0] * 7
    assert statistics.alpha[0] == pytest.approx(0.13)
    assert statistics.delta[0] == pytest.approx(0.375)
    assert statistics.gamma[0] == pytest.approx(0.68)


def test_class_in_one_image_only():
    statistics = of_rows([[0.0, 0.3], [1.0, 0.0]])
    assert statistics.alpha[1] == statistics.delta[1] == statistics.gamma[1] == 0.3


def test_class_that_never_occurs_has_no_statistics():
    statistics = of_rows([[0.5], [0.5]])
    assert statistics.counts[3] == 0 and np.isnan([statistics.alpha[3], statistics.delta[3], statistics.gamma[3]]).all()


def test_small_classes_keep_their_size():
    """What a histogram of ten bins would turn into 0 and 0.1."""
    statistics = of_rows([[value] for value in np.linspace(0.0008, 0.0107, 11)])
    assert statistics.alpha[0] == pytest.approx(0.00179) and statistics.gamma[0] == pytest.approx(0.00971)


def test_fractions_are_of_the_labelled_pixels():
    assert class_fractions(np.array([3, 0, 1])).tolist() == [0.75, 0, 0.25]
    assert class_fractions(np.zeros(3, int)).tolist() == [0, 0, 0]


@pytest.fixture
def gta5(tmp_path):
    """Three 4 x 5 GTA5 labels: road and sky; road, wall and licence plate; nothing but plate."""
    folder = tmp_path / "gta5"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    labels = [np.full((4, 5), ROAD), np.full((4, 5), ROAD), np.full((4, 5), PLATE)]
    labels[0][:1] = SKY
    labels[1][0, :2] = WALL
    labels[1][3] = PLATE
    for number, label in enumerate(labels):
        cv2.imwrite(str(folder / "labels" / ("%d.png" % number)), label.astype(np.uint8))
        cv2.imwrite(str(folder / "images" / ("%d.png" % number)), np.zeros((4, 5, 3), np.uint8))
    (folder / "train.txt").write_text("0\n1\n2\n")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_labels_on_disk_by_hand(gta5, workers):
    dataset = open_dataset("gta5", str(gta5))
    fractions = count_fractions(dataset, dataset.frames("train"), workers)
    road, wall, sky = (dataset.space.classes.index(name) for name in ("road", "wall", "sky"))
    expected = np.zeros((3, 19))
    expected[0, [road, sky]] = 15 / 20, 5 / 20
    expected[1, [road, wall]] = 13 / 15, 2 / 15  # the plate is ignored: 15 labelled pixels
    assert np.allclose(fractions, expected)


def test_counts_are_those_of_the_mapped_label(gta5):
    for space in ("cityscapes", "camvid"):
        dataset = open_dataset("gta5", str(gta5), space)
        for frame in dataset.frames("train"):
            mapped = np.bincount(dataset.read_label(frame).ravel(), minlength=256)[:len(dataset.space.classes)]
            assert dataset.count_label(frame).tolist() == mapped.tolist()


def test_unknown_label_value_names_file_line_and_value(gta5):
    cv2.imwrite(str(gta5 / "gta5" / "labels" / "1.png"), np.full((4, 5), 99, np.uint8))
    dataset = open_dataset("gta5", str(gta5))
    with pytest.raises(InputError, match="train.txt:2.*1.png.* 99 "):
        count_fractions(dataset, dataset.frames("train"), 2)


def test_drawn_labels_are_counted_too():
    dataset = open_dataset("toy")
    frame = dataset.frames("source_val")[0]
    label = dataset.read_label(frame)
    assert dataset.count_label(frame).tolist() == [(label == index).sum() for index in range(CLASSES)]


def test_file_gives_back_what_was_written(tmp_path):
    statistics = of_rows([[0.2, 1 / 3], [0.123456789, 0.0]])
    path = tmp_path / "x.json"
    path.write_text(to_json(statistics))
    read = read_statistics(str(path))
    assert read.classes == statistics.classes and read.counts.tolist() == statistics.counts.tolist()
    assert (read.dataset, read.split, read.label_space, read.images) == ("toy", "source_train", "toy", 2)
    for name in ("alpha", "delta", "gamma"):
        assert np.allclose(getattr(read, name), getattr(statistics, name), rtol=1e-5, equal_nan=True)


def valid():
    return json.loads(to_json(of_rows([[0.2, 0.3], [0.4, 0.0]])))


@pytest.mark.parametrize("break_it, word", [
    (lambda content: content.pop("images"), "images"),
    (lambda content: content.update(extra=1), "extra"),
    (lambda content: content.update(images=0), "images"),
    (lambda content: content["classes"].pop(), "label space toy"),
    (lambda content: content["classes"].reverse(), "label space toy"),
    (lambda content: content["classes"].__setitem__(0, 7), "classes"),
    (lambda content: content["classes"][0].update(name="sky", alpha=-0.1), "class 0.*alpha"),
    (lambda content: content["classes"][0].update(gamma=1.5), "class 0.*gamma"),
    (lambda content: content["classes"][0].update(alpha=0.9), "class 0.*alpha <= gamma"),
    (lambda content: content["classes"][0].update(alpha=0.0), "class 0.*0 < alpha"),
    (lambda content: content["classes"][0].update(delta=0), "class 0.*delta"),
    (lambda content: content["classes"][0].update(delta=None), "class 0.*delta None"),
    (lambda content: content["classes"][0].update(images=3), "class 0.*images"),
    (lambda content: content["classes"][0].update(images=0), "class 0.*no image contains it"),
    (lambda content: content["classes"][0].update(delta="0.3"), "class 0.*delta"),
    (lambda content: content["classes"][0].update(extra=1), "class 0.*extra"),
    (lambda content: content.update(label_space="mine") or content["classes"][1].update(name="sky"), "one name"),
])
def test_every_broken_file_is_refused_with_its_fault(tmp_path, break_it, word):
    content = valid()
    break_it(content)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="broken.json.*" + word):
        read_statistics(str(path))


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"nan", b"\xff\xfe", b'{"images": NaN}', b'{"images": 1, "images": 2}', b"[" * 100000, b" " * (2 << 20)],
    ids=["empty", "half", "list", "nan", "not_utf8", "nan_inside", "key_twice", "deeply_nested", "too_large"])
def test_text_that_is_no_statistics_is_refused(tmp_path, data):
    path = tmp_path / "broken.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match="broken.json"):
        read_statistics(str(path))


def test_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="tools/label_stats.py"):
        read_statistics(str(tmp_path / "none.json"))


def test_a_users_own_classes_need_no_known_label_space(tmp_path):
    content = valid()
    content.update(label_space="mine", classes=content["classes"][:3])
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert len(read_statistics(str(tmp_path / "x.json")).classes) == 3


@pytest.mark.skipif(not (4, 8) <= tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 11),
                    reason="OpenCV before 4.8 and from 4.11 on draws the toy's edges otherwise")
@pytest.mark.parametrize("name, window", [("toy.json", None), ("toy_windows.json", (80, 144))])
def test_committed_toy_statistics_are_those_of_the_toy(repo_root, name, window):
    dataset = open_dataset("toy")
    again = summarise(count_fractions(dataset, dataset.frames("source_train"), window=window),
                      "toy", "source_train", dataset.space, window)
    with open(os.path.join(repo_root, "data", "statistics", name)) as file:
        assert file.read() == to_json(again)


@pytest.mark.parametrize("space, name, window", [
    ("cityscapes", "gta5_half.json", None), ("cityscapes", "gta5_half_windows.json", (288, 416)),
    ("camvid", "gta5_half_camvid.json", None), ("camvid", "gta5_half_camvid_windows.json", (288, 416))])
def test_committed_gta5_half_statistics_are_those_of_its_labels(repo_root, shared_real, space, name, window):
    dataset = open_dataset("gta5_half", shared_real, space)
    again = summarise(count_fractions(dataset, dataset.frames("train[:54]"), window=window),
                      "gta5_half", "train[:54]", dataset.space, window)
    with open(os.path.join(repo_root, "data", "statistics", name)) as file:
        assert file.read() == to_json(again)


def test_the_bounds_of_whole_labels_are_wrong_for_crops(shared_real):
    """Of the classes in windows of 128 x 128 more than two fifths exceed whole labels' gamma, in labels themselves a tenth or so."""
    dataset = open_dataset("gta5_half", shared_real)
    frames = dataset.frames("train[:54]")
    whole = count_fractions(dataset, frames)
    gamma = summarise(whole, "gta5_half", "train[:54]", dataset.space).gamma
    windows = count_fractions(dataset, frames, window=(128, 128))
    exceeding = [(fractions > gamma).sum() / (fractions > 0).sum() for fractions in (whole, windows)]
    assert exceeding[0] < 0.2 and exceeding[1] > 0.4


def test_windows_of_a_label_are_counted_each_for_itself(gta5):
    """Label 0 is 4 x 5 with a first row of sky; windows of 4 x 2 lie at columns 0, 2 and 3."""
    dataset = open_dataset("gta5", str(gta5))
    fractions = count_fractions(dataset, dataset.frames("train"), 1, (4, 2))
    road, wall, sky = (dataset.space.classes.index(name) for name in ("road", "wall", "sky"))
    assert fractions.shape == (6, 19), "the third label has no labelled pixel"
    assert np.allclose(fractions[:3, [road, sky]], (6 / 8, 2 / 8))
    # label 1: two pixels of wall at the left end of the first row; the last row is ignored
    assert np.allclose(fractions[3:, wall], (2 / 6, 0, 0)) and np.allclose(fractions[3:, road], (4 / 6, 1, 1))


def test_a_window_as_large_as_the_label_is_the_label(gta5):
    dataset = open_dataset("gta5", str(gta5))
    frames = dataset.frames("train")[:2]
    for window in ((4, 5), (9, 9)):
        assert np.array_equal(count_fractions(dataset, frames, 1, window), count_fractions(dataset, frames, 1))


def test_the_window_is_kept_in_the_file_and_checked(tmp_path):
    fractions = np.full((3, CLASSES), 1 / CLASSES)
    path = tmp_path / "x.json"
    path.write_text(to_json(summarise(fractions, "toy", "source_train", label_space("toy"), (80, 144))))
    assert read_statistics(str(path)).window == (80, 144)
    for wrong in ([80], [0, 80], "80", [80.5, 144]):
        content = json.loads(path.read_text())
        content["window"] = wrong
        (tmp_path / "y.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="window"):
            read_statistics(str(tmp_path / "y.json"))


def test_command_writes_file_and_picture_and_overwrites_neither(gta5, repo_root):
    output, picture = gta5 / "out.json", gta5 / "out.png"
    arguments = ["--dataset", "gta5", "--data-root", str(gta5), "--split", "train", "--workers", "2"]
    statistics_command.main(arguments + ["--output", str(output), "--show", str(picture)])
    assert read_statistics(str(output)).counts.tolist() == [2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1] + [0] * 8
    assert cv2.imread(str(picture)).std() > 0
    before = output.read_bytes()
    command = [os.path.join(repo_root, "tools", "caffe_python"), os.path.join(repo_root, "tools", "label_stats.py")]
    done = subprocess.run(command + arguments + ["--output", str(output)], stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 2 and "out.json exists" in done.stderr and output.read_bytes() == before


def test_benchmark_line_holds_rate_and_ratio(gta5, monkeypatch):
    monkeypatch.setattr(statistics_command, "TURNS", 1)
    dataset = open_dataset("gta5", str(gta5))
    line = statistics_command.benchmark(dataset, dataset.frames("train"), 1)
    assert line.startswith("3 labels") and "images/s" in line
    toy = open_dataset("toy")
    with pytest.raises(InputError, match="drawn"):
        statistics_command.benchmark(toy, toy.frames("source_val"), 1)
