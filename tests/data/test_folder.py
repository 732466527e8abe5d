"""A user's own list files, and the toy written in that form."""
import os
import subprocess
import sys

import numpy as np
import pytest

from data.errors import InputError
from data.registry import open_dataset
from data.toy_export import export_toy

from data_files import write_folder_set, write_image, write_lines


def test_pairs_classes_and_palette(tmp_path):
    pairs = write_folder_set(str(tmp_path / "mine"))
    for path in ("mine", str(tmp_path / "mine")):
        data = open_dataset("folder:path=" + path, str(tmp_path))
        assert data.space.classes == ("class0", "class1",
                                      "class2") and data.space.palette.tolist()[2] == [2, 0, 0]
        frames = data.frames("train")
        assert [frame.name for frame in frames] == list(pairs)
        for frame in frames:
            data.check(frame)
            image, label = data.read_pair(frame)
            assert (image == pairs[frame.name][0]).all() and (label == pairs[frame.name][1]).all()


def test_several_ids_to_a_class_names_with_spaces_and_a_mean(tmp_path):
    write_folder_set(str(tmp_path / "folder"), classes=6)
    write_lines(str(tmp_path / "folder" / "classes.txt"),
                ["4,5 street lamp 1 2 3", "0 road 4 5 6", "1,2,3,255 ignored"])
    write_lines(str(tmp_path / "folder" / "mean.txt"), ["1 2.5 3"])
    data = open_dataset("folder", str(tmp_path))
    assert data.space.classes == ("street lamp", "road") and data.mean == (1, 2.5, 3)
    assert set(np.unique(data.read_label(data.frames("train")[0]))) == {0, 1, 255}


def test_a_target_needs_no_labels(tmp_path):
    write_folder_set(str(tmp_path / "folder"))
    os.remove(str(tmp_path / "folder" / "train_labels.txt"))
    data = open_dataset("folder", str(tmp_path))
    frame = data.frames("train")[0]
    assert frame.label is None and data.read_image(frame).shape == (12, 16, 3)


@pytest.mark.parametrize("lines, message", [
    (["0 road 1 2"], ":1: '0 road 1 2'; expected"), (["x road 1 2 3"], ":1"),
    (["0 road 1 2 300"], ":1"), (["0"], ":1"),
    (["0 1 2 3"], ":1"), (["0 a 1 2 3", "0 b 1 2 3"], ":2: id 0 has a class"),
    (["256 a 1 2 3"], "from 0 to 255"),
    (["0 ignored"], "0 classes"), (["0 a 1 2 3", "1 a 1 2 3"], "2 classes with 1 names"),
    ([], "empty")])
def test_bad_class_tables_name_their_line(tmp_path, lines, message):
    write_folder_set(str(tmp_path / "folder"))
    write_lines(str(tmp_path / "folder" / "classes.txt"), lines)
    with pytest.raises(InputError, match=message) as error:
        open_dataset("folder", str(tmp_path))
    assert "classes.txt" in str(error.value)


def test_bad_means_and_unequal_lists_are_refused(tmp_path):
    write_folder_set(str(tmp_path / "folder"))
    write_lines(str(tmp_path / "folder" / "train_labels.txt"), ["labels/0.png"])
    with pytest.raises(InputError, match="lists 1 labels for the 6 images"):
        open_dataset("folder", str(tmp_path)).frames("train")
    for text in ("1 2", "a b c", "1 2 nan", "1 2 256"):
        write_lines(str(tmp_path / "folder" / "mean.txt"), [text])
        with pytest.raises(InputError, match="mean.txt:1"):
            open_dataset("folder", str(tmp_path))
    write_lines(str(tmp_path / "folder" / "mean.txt"), [])
    with pytest.raises(InputError, match="mean.txt: empty; expected three numbers from 0 to 255: "
                                         "blue green red"):
        open_dataset("folder", str(tmp_path))


def test_images_of_one_file_name_in_two_folders_are_two_frames(tmp_path):
    write_folder_set(str(tmp_path / "folder"))
    write_lines(str(tmp_path / "folder" / "val_images.txt"),
                ["images/val/0.png", "images/test/0.png", "images/v1.0/0"])
    assert [frame.name for frame in open_dataset("folder", str(tmp_path)).frames("val")] == [
        "images/val/0", "images/test/0", "images/v1.0/0"]


def test_a_frames_name_is_seen_from_the_data_sets_folder_and_leads_to_nowhere_else(tmp_path):
    write_folder_set(str(tmp_path / "folder"))
    inside, beside = str(tmp_path / "folder" / "images" / "0.png"), str(
        tmp_path / "other" / "0.png")
    write_lines(str(tmp_path / "folder" / "val_images.txt"), [inside, "../shared/0.png", beside])
    write_lines(str(tmp_path / "folder" / "lists" / "val_images.txt"), ["../images/0.png"])
    data = open_dataset("folder", str(tmp_path))
    assert [frame.name for frame in data.frames("val")] == ["images/0", "shared/0", "other/0"]
    assert [frame.name for frame in data.frames("lists/val")] == ["images/0"]


@pytest.mark.parametrize("again", ("images/0.png", "./images/../images/0.png", "images/0.jpg",
                                   "../images/0.png"))
@pytest.mark.parametrize("labelled", (True, False))
def test_two_lines_with_one_name_are_refused_with_both_lines(tmp_path, again, labelled):
    write_folder_set(str(tmp_path / "folder"))
    write_lines(str(tmp_path / "folder" / "val_images.txt"),
                ["images/0.png", "images/1.png", again])
    if labelled:
        write_lines(str(tmp_path / "folder" / "val_labels.txt"),
                    ["labels/0.png", "labels/1.png", "labels/0.png"])
    with pytest.raises(InputError, match=r"val_images.txt:1 and .*val_images.txt:3: two frames "
                                         r"with the name images/0\n"):
        open_dataset("folder", str(tmp_path)).frames("val")


def test_a_value_outside_the_table_names_file_line_and_value(tmp_path):
    write_folder_set(str(tmp_path / "folder"))
    write_image(str(tmp_path / "folder" / "labels" / "3.png"), np.full((12, 16), 9, np.uint8))
    data = open_dataset("folder", str(tmp_path))
    with pytest.raises(InputError, match=r"train_images.txt:4: .*labels/3.png: label value 9 "
                                         r"outside"):
        data.read_pair(data.frames("train")[3])


def test_the_toy_on_disk_is_the_toy(tmp_path):
    path = str(tmp_path / "streets")
    assert export_toy(path, ["source_train[:3]", "target_val[5:7]"]) == 5
    assert sorted(os.listdir(str(tmp_path))) == ["streets"]
    toy, disk = open_dataset("toy"), open_dataset("folder:path=" + path)
    assert disk.space.classes == toy.space.classes and (disk.space.palette
                                                        == toy.space.palette).all()
    for split, part in (("source_train", "[:3]"), ("target_val", "[5:7]")):
        for drawn, read in zip(toy.frames(split + part), disk.frames(split)):
            disk.check(read)
            assert all((a == b).all() for a, b in zip(toy.read_pair(drawn), disk.read_pair(read)))
    with pytest.raises(InputError, match="exists already; nothing is overwritten"):
        export_toy(path, ["source_val"])
    with pytest.raises(InputError, match="written once"):
        export_toy(path + "2", ["source_val[:1]", "source_val[1:2]"])


def test_the_command_writes_and_refuses_with_code_2(tmp_path, repo_root):
    command = [
        sys.executable,
        os.path.join(repo_root, "tools", "draw_toy.py"), "--splits", "source_val[:2]", "--output"
    ]
    first = subprocess.run(command + [str(tmp_path / "a")], capture_output=True, text=True)
    assert first.returncode == 0 and "wrote 2 frames" in first.stdout
    second = subprocess.run(command + [str(tmp_path / "a")], capture_output=True, text=True)
    assert second.returncode == 2 and second.stderr.startswith(
        "error: ") and "Traceback" not in second.stderr


def test_the_toy_is_exported_to_a_path_that_is_not_utf8(tmp_path):
    folder = os.path.join(str(tmp_path), os.fsdecode(b"\xff"))
    assert export_toy(folder, ["target_val[:1]"]) == 1
    assert len(os.listdir(os.path.join(folder, "images", "target_val"))) == 1
