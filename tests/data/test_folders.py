"""A folder's files are listed by one rule, and whatever is left out is named with its number."""
import os

import cv2
import numpy as np
import pytest

from data.errors import InputError
from data.folders import files_of, list_folder
from data.registry import open_dataset

from data_files import write_image


@pytest.fixture
def folder(tmp_path):
    """in/a.png, in/deep/b.jpg, and aside/ with 0.png to 3.png."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    for name in ("in/a.png", "in/deep/b.jpg", *(f"aside/{number}.png" for number in range(4))):
        write_image(str(tmp_path / name), pixels)
    return tmp_path / "in"


def names(folder):
    return [name for name, _ in list_folder(str(folder), (".png", ".jpg"), below=True).files]


def test_linked_folders_and_files_are_listed_as_if_they_were_there(folder, tmp_path, capsys):
    (folder / "linked").symlink_to(tmp_path / "aside")
    (folder / "z.png").symlink_to(tmp_path / "aside" / "0.png")
    expected = ["a.png", "deep/b.jpg", *(f"linked/{number}.png" for number in range(4)), "z.png"]
    assert names(folder) == expected
    frames = open_dataset(f"frames:path={folder}").frames("all")
    assert [frame.name for frame in frames] == [os.path.splitext(name)[0] for name in expected]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("link, target", [
    ("loop", "."), ("deep/loop", ".."), ("deep/loop", "../deep"), ("loop", "../in")])
def test_a_link_to_a_folder_around_it_ends_and_is_named(folder, link, target, capsys):
    (folder / link).symlink_to(target)
    assert files_of(str(folder), below=True) == ["a.png", "deep/b.jpg"]
    assert f"{folder / link} (a link to a folder around it)" in capsys.readouterr().err


def test_two_folders_that_link_to_each_other_end(folder):
    (folder / "other").mkdir()
    (folder / "other" / "deep").symlink_to("../deep")
    (folder / "deep" / "other").symlink_to("../other")
    assert names(folder) == ["a.png", "deep/b.jpg", "other/deep/b.jpg"]


def test_hidden_files_are_left_out_and_counted(folder, capsys):
    for name in (".ipynb_checkpoints/a-checkpoint.png", "deep/._b.jpg", "__MACOSX/._a.png",
                 "__MACOSX/deep/c.png", ".hidden.PNG", ".DS_Store", "@eaDir/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    assert files_of(str(folder), below=True) == ["a.png", "deep/b.jpg"]
    error = capsys.readouterr().err
    assert error.startswith(f"left out of {folder}: 6 hidden files (") and "and 3 more" in error
    assert [frame.name for frame in open_dataset(f"frames:path={folder}").frames("all")] == [
        "a", "deep/b"]


def test_a_hidden_folder_that_is_named_itself_is_read(tmp_path):
    write_image(str(tmp_path / ".cache" / "a.png"), np.zeros((4, 6, 3), np.uint8))
    assert files_of(str(tmp_path / ".cache")) == ["a.png"]


def test_other_formats_are_named_with_their_numbers(folder, capsys):
    for name in ("1.webp", "deep/2.WEBP", "3.bmp", "4.tif", "5.tiff", "6.gif", "notes.txt"):
        (folder / name).write_bytes(b"x")
    assert files_of(str(folder), below=True) == ["a.png", "deep/b.jpg"]
    assert capsys.readouterr().err == (f"left out of {folder}: 1 BMP, 1 GIF, 2 TIFF, 2 WebP "
                                       "pictures (only PNG and JPEG are read)\n")
    (folder / "a.png").unlink()
    with pytest.raises(InputError, match="no .png or .jpg or .jpeg file in it; left out: 1 BMP, 1 "
                                         "GIF, 2 TIFF, 1 WebP pictures"):
        files_of(str(folder))


def test_pipes_and_broken_links_do_not_stop_or_block_the_listing(folder, capsys):
    os.mkfifo(str(folder / "pipe.png"))
    (folder / "gone").symlink_to("nowhere")
    (folder / "self.png").symlink_to("self.png")
    (folder / "missing.png").symlink_to("nowhere.png")
    assert files_of(str(folder), below=True) == ["a.png", "deep/b.jpg", "missing.png"]
    error = capsys.readouterr().err
    for words in ("pipe.png (not a regular file)", "gone (a broken link)", "self.png (cannot"):
        assert words in error
    with pytest.raises(InputError, match="missing.png: no such file"):
        data = open_dataset(f"frames:path={folder}")
        data.read_image(data.frames("all")[-1])


def test_a_split_of_all_files_is_listed_by_the_same_rule(tmp_path):
    for name in ("images/0.png", "images/._0.png"):
        write_image(str(tmp_path / "gta5" / name), np.zeros((4, 6, 3), np.uint8))
    frames = open_dataset("gta5", str(tmp_path)).frames("all")
    assert [frame.name for frame in frames] == ["0"]


def test_a_photo_in_a_linked_folder_is_upright(folder, tmp_path):
    from PIL import Image
    exif = Image.Exif()
    exif[274] = 6
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(str(tmp_path / "aside" / "0.png"), exif=exif)
    (folder / "linked").symlink_to(tmp_path / "aside")
    data = open_dataset(f"frames:path={folder}")
    frame = next(frame for frame in data.frames("all") if frame.name == "linked/0")
    assert (data.read_image(frame) == np.rot90(pixels, -1)[:, :, ::-1]).all()
    assert (data.read_image(frame) == cv2.imread(frame.image)).all()
