"""Turned photos, links and hidden files mean the same to every command that reads a data set."""
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from data.errors import InputError
from data.registry import open_dataset
from tools.lib.categories import statistics_command
from tools.lib.datasets import check_command, lmdb_command

from data_files import random_image, write_folder_set, write_image


def turn(path, orientation):
    """Stores the picture turned by 180 (3) or 90 degrees (8), with EXIF data that turn it back."""
    pixels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    stored = np.rot90(pixels, {3: 2, 8: -1}[orientation])
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored[:, :, ::-1] if stored.ndim == 3 else stored).save(path, exif=exif)


@pytest.fixture
def sets(tmp_path):
    """A root with the `folder` data set "mine", two of whose photos are stored turned."""
    pairs = write_folder_set(str(tmp_path / "mine"))
    for number, orientation in ((1, 3), (2, 8)):
        turn(str(tmp_path / "mine" / "images" / f"{number}.png"), orientation)
    return str(tmp_path), pairs


def arguments(root, split="train"):
    return ["--dataset", "folder:path=mine", "--data-root", root, "--split", split,
            "--workers", "1"]


def test_a_turned_photo_is_read_packed_and_checked_upright(sets):
    root, pairs = sets
    assert check_command.main(arguments(root)) == 0
    lmdb_command.main(arguments(root) + ["--output", os.path.join(root, "packed")])
    for data, split in ((open_dataset("folder:path=mine", root), "train"),
                        (open_dataset("lmdb", path=os.path.join(root, "packed")), "all")):
        frames = data.frames(split)
        assert [frame.name for frame in frames] == list(pairs)
        for frame in frames:
            data.check(frame)
            for read, wanted in zip(data.read_pair(frame), pairs[frame.name]):
                assert (read == wanted).all()


def test_a_turned_label_is_named_by_every_command(sets, capsys):
    root, _ = sets
    turn(os.path.join(root, "mine", "labels", "4.png"), 3)
    assert check_command.main(arguments(root)) == 1
    assert "4.png: its EXIF data turn the picture (orientation 3)" in capsys.readouterr().out
    for command, flag in ((lmdb_command, "packed"), (statistics_command, "statistics.json")):
        output = os.path.join(root, flag)
        with pytest.raises(InputError, match="train_labels.txt:5|train_images.txt:5") as caught:
            command.main(arguments(root) + ["--output", output])
        assert "4.png: its EXIF data turn the picture" in str(caught.value)


def test_links_hidden_files_and_formats_of_a_gta5_mean_the_same_everywhere(tmp_path, capsys):
    root, frames = str(tmp_path), ["00001", "00002", "00003"]
    for name in frames:
        write_image(f"{root}/disk/images/{name}.png", random_image(int(name)))
        write_image(f"{root}/disk/labels/{name}.png", np.full((12, 16), 7, np.uint8))
    (tmp_path / "gta5").mkdir()
    for folder in ("images", "labels"):
        (tmp_path / "gta5" / folder).symlink_to(tmp_path / "disk" / folder)
    (tmp_path / "disk" / "images" / "._00001.png").write_bytes(b"of macOS")
    (tmp_path / "disk" / "images" / "00004.webp").write_bytes(b"RIFF")
    gta5 = ["--dataset", "gta5", "--data-root", root, "--split", "all", "--workers", "1"]
    check_command.main(gta5)
    captured = capsys.readouterr()
    assert "3 opened" in captured.out and "1 problem" in captured.out  # fewer than published
    assert "1 WebP picture (only PNG and JPEG are read); 1 hidden file (._00001" in captured.err
    lmdb_command.main(gta5 + ["--output", f"{root}/packed"])
    statistics_command.main(gta5 + ["--output", f"{root}/statistics.json"])
    packed = open_dataset("lmdb", path=f"{root}/packed")
    assert [frame.name for frame in packed.frames("all")] == frames
    assert '"images": 3' in open(f"{root}/statistics.json").read()
