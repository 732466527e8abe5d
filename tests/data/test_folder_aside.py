"""Folders that appear whole or not at all."""
import os

import pytest

from data.files import folder_aside


def filled(folder, text):
    os.makedirs(folder)
    with open(os.path.join(folder, "a.txt"), "w") as file:
        file.write(text)


def test_a_folder_appears_when_the_block_succeeds_and_replaces_the_one_before(tmp_path):
    folder = tmp_path / "env"
    for text in ("one", "two"):
        with folder_aside(str(folder)) as aside:
            filled(aside, text)
        assert (folder / "a.txt").read_text() == text
        assert os.listdir(str(tmp_path)) == ["env"]


def test_a_block_that_fails_leaves_the_folder_as_it_was(tmp_path):
    folder = tmp_path / "env"
    filled(str(folder), "one")
    with pytest.raises(KeyboardInterrupt):
        with folder_aside(str(folder)) as aside:
            filled(aside, "two")
            raise KeyboardInterrupt
    assert (folder / "a.txt").read_text() == "one" and os.listdir(str(tmp_path)) == ["env"]


def test_what_a_killed_process_left_is_removed_and_a_running_one_keeps_its_folder(tmp_path):
    dead, alive = tmp_path / "env.999999999.part", tmp_path / f"env.{os.getppid()}.part"
    dead.mkdir()
    alive.mkdir()
    with folder_aside(str(tmp_path / "env")) as aside:
        filled(aside, "one")
    assert sorted(os.listdir(str(tmp_path))) == ["env", alive.name]
