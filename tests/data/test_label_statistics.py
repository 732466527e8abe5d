"""Statistics of source labels: by hand, through files and label maps, and untrusted files."""
import json
import os
import subprocess
import tracemalloc

import cv2
import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import label_space
from data.label_statistics import class_fractions, read_statistics, summarise, to_json
from data.registry import open_dataset
from data.transforms import even_windows
from tools.lib.categories import statistics_command
from tools.lib.categories.statistics_command import count_shares

from data_files import write_image, write_seasons

CLASSES = 8  # of the toy's label space
ROAD, SKY, WALL, PLATE = 7, 23, 12, 34  # stored ids of GTA5


def of_rows(rows):
    fractions = np.zeros((len(rows), CLASSES))
    fractions[:, :len(rows[0])] = rows
    return summarise([column[column > 0] for column in fractions.T], len(rows), "toy",
                     "source_train", label_space("toy"))


def test_absent_images_do_not_count_and_quantiles_interpolate():
    # Class 0 is present in 4 of 5 images: 0.1 0.2 0.4 0.8. Rank (4 - 1) / 10 = 0.3: 0.1 + 0.3 *
    # 0.1; rank 2.7: 0.4 + 0.7 * 0.4.
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
    assert statistics.counts[3] == 0 and np.isnan(
        [statistics.alpha[3], statistics.delta[3], statistics.gamma[3]]).all()


def test_small_classes_keep_their_size():
    """What a histogram of ten bins would turn into 0 and 0.1."""
    statistics = of_rows([[value] for value in np.linspace(0.0008, 0.0107, 11)])
    assert statistics.alpha[0] == pytest.approx(0.00179) and statistics.gamma[0] == pytest.approx(
        0.00971)


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
        cv2.imwrite(str(folder / "labels" / (f"{number}.png")), label.astype(np.uint8))
        cv2.imwrite(str(folder / "images" / (f"{number}.png")), np.zeros((4, 5, 3), np.uint8))
    (folder / "train.txt").write_text("0\n1\n2\n")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_labels_on_disk_by_hand(gta5, workers):
    dataset = open_dataset("gta5", str(gta5))
    occurring, images = count_shares(dataset, dataset.frames("train"), workers)
    assert images == 3
    # the plate is ignored: 15 labelled pixels in the second label and none in the third
    expected = {"road": [15 / 20, 13 / 15], "sky": [5 / 20], "wall": [2 / 15]}
    for name, shares in zip(dataset.space.classes, occurring):
        assert shares.tolist() == expected.get(name, [])


def test_counts_are_those_of_the_mapped_label(gta5):
    for space in ("cityscapes", "camvid"):
        dataset = open_dataset("gta5", str(gta5), space)
        for frame in dataset.frames("train"):
            mapped = np.bincount(dataset.read_label(frame).ravel(),
                                 minlength=256)[:len(dataset.space.classes)]
            assert dataset.count_label(frame).tolist() == mapped.tolist()


def test_unknown_label_value_names_file_line_and_value(gta5):
    cv2.imwrite(str(gta5 / "gta5" / "labels" / "1.png"), np.full((4, 5), 99, np.uint8))
    dataset = open_dataset("gta5", str(gta5))
    with pytest.raises(InputError, match="train.txt:2.*1.png.* 99 "):
        count_shares(dataset, dataset.frames("train"), 2)


def test_drawn_labels_are_counted_too():
    dataset = open_dataset("toy")
    frame = dataset.frames("source_val")[0]
    label = dataset.read_label(frame)
    assert dataset.count_label(frame).tolist() == [(label == index).sum()
                                                   for index in range(CLASSES)]


def test_file_gives_back_what_was_written(tmp_path):
    statistics = of_rows([[0.2, 1 / 3], [0.123456789, 0.0]])
    path = tmp_path / "x.json"
    path.write_text(to_json(statistics))
    read = read_statistics(str(path))
    assert read.classes == statistics.classes and read.counts.tolist() == statistics.counts.tolist()
    assert (read.dataset, read.split, read.label_space, read.images) == ("toy", "source_train",
                                                                         "toy", 2)
    for name in ("alpha", "delta", "gamma"):
        assert np.allclose(getattr(read, name), getattr(statistics, name), rtol=1e-5,
                           equal_nan=True)


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
    (lambda content: content.update(label_space="mine") or content["classes"][1].update(name="sky"),
     "one name"),
])
def test_every_broken_file_is_refused_with_its_fault(tmp_path, break_it, word):
    content = valid()
    break_it(content)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="broken.json.*" + word):
        read_statistics(str(path))


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"nan", b"\xff\xfe", b'{"images": NaN}', b'{"images": 1, "images": 2}',
    b"[" * 100000, b" " * (2 << 20)],
    ids=["empty", "half", "list", "nan", "not_utf8", "nan_inside", "key_twice", "deeply_nested",
         "too_large"])
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
    again = summarise(*count_shares(dataset, dataset.frames("source_train"), window=window),
                      "toy", "source_train", dataset.space, window)
    with open(os.path.join(repo_root, "data", "statistics", name)) as file:
        assert file.read() == to_json(again)


@pytest.mark.parametrize("space, split, name, window", [
    ("cityscapes", "train[:54]", "gta5_half.json", None),
    ("cityscapes", "train[:54]", "gta5_half_windows.json", (288, 416)),
    ("camvid", "train[:54]", "gta5_half_camvid.json", None),
    ("camvid", "train", "gta5_half_camvid_windows.json", (282, 384))])
def test_committed_gta5_half_statistics_are_those_of_its_labels(
        repo_root, shared_real, space, split, name, window):
    dataset = open_dataset("gta5_half", shared_real, space)
    again = summarise(*count_shares(dataset, dataset.frames(split), window=window),
                      "gta5_half", split, dataset.space, window)
    with open(os.path.join(repo_root, "data", "statistics", name)) as file:
        assert file.read() == to_json(again)


def test_the_bounds_of_whole_labels_are_wrong_for_crops(shared_real):
    """In crops, classes exceed whole labels' gamma four times as often as in whole labels.

    More than two fifths of the classes in windows of 128 x 128 do, and a tenth or so of those in
    the labels themselves.
    """
    dataset = open_dataset("gta5_half", shared_real)
    frames = dataset.frames("train[:54]")
    whole, labels = count_shares(dataset, frames)
    gamma = summarise(whole, labels, "gta5_half", "train[:54]", dataset.space).gamma
    windows, _ = count_shares(dataset, frames, window=(128, 128))
    exceeding = [
        sum((shares > bound).sum()
            for shares, bound in zip(occurring, gamma)) / sum(map(len, occurring))
        for occurring in (whole, windows)
    ]
    assert exceeding[0] < 0.2 and exceeding[1] > 0.4


def test_windows_of_a_label_are_counted_each_for_itself(gta5):
    """Label 0 is 4 x 5 with a first row of sky; windows of 4 x 2 lie at columns 0, 2 and 3."""
    dataset = open_dataset("gta5", str(gta5))
    occurring, images = count_shares(dataset, dataset.frames("train"), 1, (4, 2))
    road, wall, sky = (occurring[dataset.space.classes.index(name)].tolist()
                       for name in ("road", "wall", "sky"))
    assert images == 6, "the third label has no labelled pixel"
    # label 1: two pixels of wall at the left end of the first row; the last row is ignored
    assert sky == [2 / 8] * 3 and wall == [2 / 6] and road == [6 / 8] * 3 + [4 / 6, 1, 1]
    assert sum(map(len, occurring)) == 10


@pytest.mark.parametrize("space", ["cityscapes", "camvid"])
@pytest.mark.parametrize("window", [(3, 4), (7, 5), (1, 1), (11, 40), (30, 3), (30, 40)])
def test_windows_counted_together_are_windows_counted_one_by_one(tmp_path, space, window):
    """Labels of noise and of areas, of sizes that windows do not divide."""
    draw = np.random.RandomState(3)
    for number, label in enumerate([
            draw.randint(0, 35, (11, 17)),
            np.repeat(np.repeat(draw.randint(0, 35, (3, 4)), 6, axis=0), 5, axis=1),
            np.full((1, 9), ROAD),
            np.full((9, 1), SKY)
    ]):
        write_image(f"{tmp_path}/gta5/labels/{number}.png", label.astype(np.uint8))
        write_image(f"{tmp_path}/gta5/images/{number}.png",
                    np.zeros(label.shape + (3, ), np.uint8))
    # 16 bits a pixel, mapped before they are counted
    write_seasons(str(tmp_path), "fall", frames=1)
    for dataset in (open_dataset("gta5", str(tmp_path),
                                 space), open_dataset("synthia_seqs", str(tmp_path),
                                                      season="fall")):
        for frame in dataset.frames("all"):
            label = dataset.read_label(frame)
            plain = [
                np.bincount(label[top:top + window[0], left:left + window[1]].ravel(),
                            minlength=256) for top, left in even_windows(label.shape, window)
            ]
            wanted = np.array(plain)[:, :len(dataset.space.classes)]
            assert dataset.count_windows(frame, window).tolist() == wanted.tolist()


def test_an_unknown_label_value_outside_all_windows_is_refused_too(gta5):
    label = np.full((6, 6), ROAD, np.uint8)
    label[0, 0] = 99
    write_image(str(gta5 / "gta5" / "labels" / "1.png"), label)
    dataset = open_dataset("gta5", str(gta5))
    assert even_windows((6, 6), (3, 3))[0] == (1, 1)
    with pytest.raises(InputError, match="train.txt:2.*1.png.* 99 "):
        count_shares(dataset, dataset.frames("train"), 1, (3, 3))


def test_memory_holds_the_shares_that_occur_once():
    """Rows that include absent classes would take 19 * 8 * 2 bytes a window, as list and array."""
    class Counted:
        """A data set whose windows hold two of the classes."""

        space = label_space("cityscapes")

        def count_windows(self, frame, window):
            counts = np.zeros((100, 19), np.int64)
            counts[:, [frame % 19, 7 * frame % 19]] = 5, 3
            return counts

    tracemalloc.start()
    try:
        occurring, images = count_shares(Counted(), range(1000), 1, (2, 2))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert images == 100000 and sum(map(len, occurring)) == 194700
    assert peak < 1.25 * 8 * sum(map(len, occurring)) + 200000


def test_a_window_as_large_as_the_label_is_the_label(gta5):
    dataset = open_dataset("gta5", str(gta5))
    frames = dataset.frames("train")[:2]
    whole, images = count_shares(dataset, frames, 1)
    for window in ((4, 5), (9, 9)):
        windows, number = count_shares(dataset, frames, 1, window)
        assert number == images and [one.tolist()
                                     for one in windows] == [one.tolist() for one in whole]


def test_the_window_is_kept_in_the_file_and_checked(tmp_path):
    occurring = np.full((CLASSES, 3), 1 / CLASSES)
    path = tmp_path / "x.json"
    path.write_text(
        to_json(summarise(occurring, 3, "toy", "source_train", label_space("toy"), (80, 144))))
    assert read_statistics(str(path)).window == (80, 144)
    for wrong in ([80], [0, 80], "80", [80.5, 144]):
        content = json.loads(path.read_text())
        content["window"] = wrong
        (tmp_path / "y.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="window"):
            read_statistics(str(tmp_path / "y.json"))


def test_command_writes_file_and_picture_and_overwrites_neither(gta5, repo_root):
    output, picture = gta5 / "out.json", gta5 / "out.png"
    arguments = [
        "--dataset", "gta5", "--data-root",
        str(gta5), "--split", "train", "--workers", "2"
    ]
    statistics_command.main(arguments + ["--output", str(output), "--show", str(picture)])
    assert read_statistics(
        str(output)).counts.tolist() == [2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1] + [0] * 8
    assert cv2.imread(str(picture)).std() > 0
    before = output.read_bytes()
    command = [
        os.path.join(repo_root, "tools", "caffe_python"),
        os.path.join(repo_root, "tools", "label_stats.py")
    ]
    done = subprocess.run(command + arguments + ["--output", str(output)], stderr=subprocess.PIPE,
                          text=True)
    assert done.returncode == 2 and "out.json exists" in done.stderr and output.read_bytes(
    ) == before


def test_a_picture_that_is_no_png_is_refused_before_anything_is_counted(gta5, capsys):
    with pytest.raises(SystemExit) as caught:
        statistics_command.main([
            "--dataset", "gta5", "--data-root",
            str(gta5), "--split", "train", "--show",
            str(gta5 / "out.xyz")
        ])
    assert caught.value.code == 2
    assert "--show: expected a name that ends in .png, found" in capsys.readouterr().err
    assert not (gta5 / "out.xyz").exists()


def test_benchmark_line_holds_rate_and_ratio(gta5, monkeypatch):
    monkeypatch.setattr(statistics_command, "TURNS", 1)
    dataset = open_dataset("gta5", str(gta5))
    line = statistics_command.benchmark(dataset, dataset.frames("train"), 1)
    assert line.startswith("3 labels") and "images/s" in line
    toy = open_dataset("toy")
    with pytest.raises(InputError, match="drawn"):
        statistics_command.benchmark(toy, toy.frames("source_val"), 1)
