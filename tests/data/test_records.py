"""The frames that each data set lists, on tiny files in the original layouts, and refusals."""
import os

import numpy as np
import pytest

from data.dataset import unlabelled
from data.errors import InputError
from data.registry import open_dataset

from data_files import random_image, write_image, write_lines, write_palette, write_synthia

IDS = np.full((12, 16), 7, np.uint8)


def gta5(root, count=4):
    for number in range(1, count + 1):
        write_image(f"{root}/gta5/images/{number:05d}.png", random_image(number))
        write_palette(f"{root}/gta5/labels/{number:05d}.png", IDS)
    write_lines(f"{root}/gta5/train.txt", [f"{number:05d}" for number in range(1, count + 1)])
    return open_dataset("gta5", root)


def test_gta5_lists_and_slices(tmp_path):
    data = gta5(str(tmp_path))
    frames = data.frames("train")
    assert [frame.name for frame in frames] == ["00001", "00002", "00003", "00004"]
    assert [f.name for f in data.frames("train[:3]") + data.frames("train[3:]")
            ] == [f.name for f in frames]
    assert frames[2].line.endswith("train.txt:3")
    image, label = data.read_pair(frames[1])
    assert (image == random_image(2)).all() and (label == 0).all()


def test_gta5_without_lists_takes_all_files_or_the_published_split(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    data = gta5(str(tmp_path))
    assert len(data.frames("all")) == 4
    with pytest.raises(InputError, match="val.txt"):
        data.frames("val")
    savemat(str(tmp_path / "gta5" / "split.mat"),
            {"trainIds": [[1]], "valIds": [[4], [2]], "testIds": [[3]]})
    assert [frame.name for frame in data.frames("val")] == ["00004", "00002"]
    (tmp_path / "gta5" / "split.mat").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="split.mat"):
        data.frames("val")


def test_gta5_train_without_a_list_says_which_two_files_would_do(tmp_path):
    write_image(f"{tmp_path}/gta5/images/00001.png", random_image(1))
    with pytest.raises(InputError, match="gta5: neither train.txt nor "
                                         ".*split.mat.*\n.*docs/datasets.md"):
        open_dataset("gta5", str(tmp_path)).frames("train")


def test_cityscapes_splits_and_cities(tmp_path):
    for city in ("ulm", "bonn"):
        stem = f"{tmp_path}/cityscapes/%s/train/{city}/{city}_000001_000019"
        write_image(stem % "leftImg8bit" + "_leftImg8bit.png", random_image(1))
        write_image(stem % "gtFine" + "_gtFine_labelIds.png", IDS)
    data = open_dataset("cityscapes", str(tmp_path))
    assert [frame.name
            for frame in data.frames("train")] == ["bonn_000001_000019", "ulm_000001_000019"]
    assert [frame.name for frame in data.frames("train/ulm")] == ["ulm_000001_000019"]
    for frame in data.frames("train"):
        data.check(frame)
        assert (data.read_label(frame) == 0).all()
    with pytest.raises(InputError, match="val"):
        data.frames("val")
    with pytest.raises(InputError, match="not a split.*\n.*train, val, test"):
        data.frames("../train")


def test_synthia_rand_and_its_16_bit_labels(tmp_path):
    for number in range(2):
        write_image(f"{tmp_path}/synthia_rand/RGB/{number:07d}.png", random_image(number))
        write_synthia(f"{tmp_path}/synthia_rand/GT/LABELS/{number:07d}.png", IDS.astype(np.uint16))
    data = open_dataset("synthia_rand", str(tmp_path))
    assert [f.name for f in data.frames("train")] == ["0000000", "0000001"]
    assert (data.read_label(data.frames("train")[1]) == 5).all()


def test_synthia_seqs_seasons_views_and_the_split_in_time(tmp_path):
    for sequence, first in (("01-FALL", 0), ("02-FALL", 1), ("01-WINTER", 0)):
        for number in range(first, first + 5):
            place = (f"{tmp_path}/synthia_seqs/SYNTHIA-SEQS-{sequence}/%s/Stereo_Left/Omni_F/"
                     f"{number:06d}.png")
            write_image(place % "RGB", random_image(number))
            write_synthia(place % "GT/LABELS", np.full((12, 16), 12, np.uint16))
    data = open_dataset("synthia_seqs", str(tmp_path), season="fall")
    assert len(data.frames("train")) == 8 and len(data.frames("all")) == 10
    assert [f.name for f in data.frames("test")
            ] == ["SYNTHIA-SEQS-01-FALL/000004", "SYNTHIA-SEQS-02-FALL/000005"]
    assert (data.read_label(
        data.frames("test")[0]) == data.space.classes.index("lane marking")).all()
    assert len(open_dataset("synthia_seqs:season=winter", str(tmp_path)).frames("all")) == 5
    with pytest.raises(InputError, match="SPRING"):
        open_dataset("synthia_seqs:season=spring", str(tmp_path)).frames("all")
    with pytest.raises(InputError, match="Omni_B"):
        open_dataset("synthia_seqs:season=fall,view=Omni_B", str(tmp_path)).frames("all")
    with pytest.raises(InputError, match="season is 'autumn'"):
        open_dataset("synthia_seqs:season=autumn", str(tmp_path)).frames("all")


@pytest.mark.parametrize("image, label", [("seg/images/val/a.jpg", "seg/labels/val/a_train_id.png"),
                                          ("images/10k/val/a.jpg",
                                           "labels/sem_seg/masks/val/a.png")])
def test_both_layouts_of_bdds(tmp_path, image, label):
    write_image(f"{tmp_path}/bdds/{image}", random_image(1))
    write_image(f"{tmp_path}/bdds/{label}", IDS)
    data = open_dataset("bdds", str(tmp_path))
    frame, = data.frames("val")
    data.check(frame)
    assert (data.read_label(frame) == 7).all()


def test_any_folder_of_frames(tmp_path):
    write_image(str(tmp_path / "film" / "b" / "2.jpg"), random_image(1))
    write_image(str(tmp_path / "film" / "a.PNG"), random_image(2))
    write_lines(str(tmp_path / "film" / "notes.txt"), ["no picture"])
    for path in ("film", str(tmp_path / "film")):
        data = open_dataset("frames:path=" + path, str(tmp_path))
        assert [frame.name for frame in data.frames("all")] == ["a", "b/2"]
    assert (data.read_image(data.frames("all")[0]) == random_image(2)).all()
    with pytest.raises(InputError, match="no label"):
        data.read_label(data.frames("all")[0])


def test_two_pictures_of_a_folder_that_differ_only_in_their_ending_are_refused(tmp_path):
    write_image(str(tmp_path / "frames" / "b" / "2.jpg"), random_image(1))
    write_image(str(tmp_path / "frames" / "b" / "2.png"), random_image(1))
    with pytest.raises(InputError, match=r"b/2.jpg and .*b/2.png: two frames with the name b/2\n"):
        open_dataset("frames", str(tmp_path)).frames("all")


def test_pairs_of_different_sizes_are_refused_before_and_while_reading(tmp_path):
    data = gta5(str(tmp_path))
    write_palette(str(tmp_path / "gta5" / "labels" / "00002.png"), IDS[:, :-1])
    frame = data.frames("train")[1]
    for look in (data.check, data.read_pair):
        with pytest.raises(InputError, match=r"train.txt:2: .*00002.png is 12 x 16 .*00002.png is "
                                             r"12 x 15"):
            look(frame)


def test_missing_and_unreadable_files_are_refused_with_their_line(tmp_path):
    data = gta5(str(tmp_path))
    os.remove(str(tmp_path / "gta5" / "images" / "00003.png"))
    (tmp_path / "gta5" / "labels" / "00004.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in (2, 3):
        with pytest.raises(InputError,
                           match=rf"train.txt:{number + 1}: .*0000{number + 1}.png"):
            data.check(data.frames("train")[number])


def test_frames_without_labels_are_checked_and_read_without_looking_for_one(tmp_path):
    data = gta5(str(tmp_path))
    os.remove(str(tmp_path / "gta5" / "labels" / "00001.png"))
    frame = unlabelled(data.frames("train"))[0]
    assert frame.label is None
    data.check(frame, labelled=False)
    assert data.read_image(frame).shape == (12, 16, 3)
    with pytest.raises(InputError, match="no label"):
        data.read_pair(frame)


def test_unknown_names_spaces_and_options_list_the_right_ones(tmp_path):
    for arguments, keys, message in (
            (("gta6",), {}, "unknown data set 'gta6'; there are .*gta5"),
            (("camvid",), {"space": "cityscapes"}, "no map to label space 'cityscapes'; it has "
                                                   "camvid"),
            (("camvid",), {"season": "fall"}, "no option 'season'; it has none"),
            (("synthia_seqs:season",), {}, "NAME:OPTION=VALUE"),
            (("synthia_seqs:season=fall,season=winter",), {}, "each once")):
        with pytest.raises(InputError, match=message):
            open_dataset(*arguments, root=str(tmp_path), **keys)


@pytest.mark.parametrize("name", ["gta5", "camvid", "cityscapes", "synthia_rand", "synthia_seqs",
                                  "bdds"])
def test_a_data_set_that_is_not_there_names_its_folder_and_the_page_on_where_to_get_it(
        tmp_path, name):
    data = open_dataset(name, str(tmp_path))
    with pytest.raises(InputError,
                       match=f"{tmp_path}/{name}: no such folder.*\n.*docs/datasets.md"):
        data.frames(data.record.splits[0])


def test_the_root_comes_from_the_argument_then_the_environment(tmp_path, monkeypatch):
    gta5(str(tmp_path))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert len(open_dataset("gta5").frames("train")) == 4
    with pytest.raises(InputError):
        open_dataset("gta5", root=str(tmp_path / "elsewhere")).frames("train")


def test_a_slice_beyond_the_list_is_refused(tmp_path):
    with pytest.raises(InputError, match="no frames"):
        gta5(str(tmp_path)).frames("train[9:]")


@pytest.mark.parametrize("value", (3, None, True, ["a"], {}, b"a", "a\0b", "\ud800"))
@pytest.mark.parametrize("name, option", [
    ("frames", "path"), ("folder", "path"), ("lmdb", "path"), ("synthia_seqs", "season")])
def test_an_option_that_is_no_text_or_in_no_path_is_refused(tmp_path, name, option, value):
    expected = f"data set {name}: option {option} is .*; expected text .*\n.*{name}:{option}="
    with pytest.raises(InputError, match=expected):
        open_dataset(name, root=str(tmp_path), **{option: value})


@pytest.mark.parametrize("name", ("gta5", "camvid", "cityscapes", "bdds", "toy", "frames"))
def test_a_split_with_a_zero_byte_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"split 'train.x00': expected NAME"):
        open_dataset(name, root=str(tmp_path)).frames("train\0")


@pytest.mark.parametrize("name, split, labelled, count", [
    ("gta5", "all", True, 6), ("gta5_half", "train", True, 60), ("camvid", "day_train", False, 153),
    ("camvid", "day_val", True, 43), ("camvid", "day_test", False, 64),
    ("camvid", "dusk_train", False, 62), ("camvid", "dusk_val", True, 21),
    ("camvid", "dusk_test", False, 62),
    ("cityscapes", "train", True, 3), ("synthia_seqs:season=spring", "all", True, 1)])
def test_real_files(shared_real, name, split, labelled, count):
    data = open_dataset(name, shared_real)
    frames = data.frames(split)
    assert len(frames) == count
    for frame in frames:
        data.check(frame, labelled)
    image = data.read_image(frames[0])
    assert image.std() > 10
    if labelled:
        image, label = data.read_pair(frames[0])
        assert label.shape == image.shape[:2] and len(np.unique(label)) > 4
        assert set(np.unique(label)) <= set(range(len(data.space.classes))) | {255}
