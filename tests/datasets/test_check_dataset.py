"""What check_dataset finds in tiny data sets of the real formats, and what skip.txt does."""
import json
import os
import shutil

import numpy as np
import pytest

from data.errors import InputError
from data.registry import open_dataset
from tools.bench import bench_reading as bench_command
from tools.lib.categories import statistics_command
from tools.lib.datasets import check_command, lmdb_command

from data_files import (
    random_image,
    write_folder_set,
    write_image,
    write_lines,
    write_palette,
    write_seasons,
    write_synthia,
)

ROAD, SKY = 7, 23  # ids of GTA5


@pytest.fixture
def gta5(tmp_path):
    """Root of a gta5 with 4 frames: half road, half sky; the last label also ignores a quarter."""
    ids = np.full((12, 16), ROAD, np.uint8)
    ids[:6] = SKY
    for number in range(1, 5):
        if number == 4:
            ids[:3] = 0
        write_image(f"{tmp_path}/gta5/images/{number:05d}.png", random_image(number))
        write_palette(f"{tmp_path}/gta5/labels/{number:05d}.png", ids)
    write_lines(f"{tmp_path}/gta5/mine.txt", [f"{number:05d}" for number in range(1, 5)])
    return str(tmp_path)


def write_cityscapes(root, split, name, labelled=True):
    """Writes a frame of the city Ulm, its label all road."""
    place = f"{split}/ulm/{name}"
    write_image(f"{root}/cityscapes/leftImg8bit/{place}_leftImg8bit.png", random_image(1))
    if labelled:
        write_image(f"{root}/cityscapes/gtFine/{place}_gtFine_labelIds.png",
                    np.full((12, 16), ROAD, np.uint8))


def run(root, *arguments, dataset="gta5", split="mine"):
    """(exit code, the report of the split from --json)."""
    path = os.path.join(root, "report.json")
    code = check_command.main(["--dataset", dataset, "--split", split, "--data-root", root,
                               "--json", path, "--workers", "1"] + list(arguments))
    with open(path) as file:
        report, = json.load(file)["splits"]
    os.remove(path)
    return code, report


def kinds(report):
    return [(problem["kind"], problem["frame"]) for problem in report["problems"]]


def test_a_sound_split_gives_0_and_shares_of_the_labelled_pixels(gta5, capsys):
    code, report = run(gta5)
    assert code == 0 and report["problems"] == []
    share = {row["name"]: row for row in report["classes"]}
    assert share["sky"]["share"] == pytest.approx(21 / 45)
    assert share["road"]["share"] == pytest.approx(24 / 45)
    assert share["sky"]["images"] == 4 and share["car"]["images"] == 0
    assert report["sizes"] == [dict(height=12, width=16, images=4)]
    assert "nothing wrong" in capsys.readouterr().out


def test_every_kind_of_damage_is_found_in_one_walk(gta5, capsys):
    labels, images = gta5 + "/gta5/labels/", gta5 + "/gta5/images/"
    write_palette(labels + "00001.png", np.full((12, 16), 35, np.uint8))  # beyond the licence plate
    write_palette(labels + "00002.png", np.full((11, 16), ROAD, np.uint8))
    with open(images + "00003.png", "r+b") as file:
        file.truncate(60)
    os.remove(labels + "00004.png")
    code, report = run(gta5)
    assert code == 1
    assert kinds(report) == [("label values out of range", "00001"), ("sizes differ", "00002"),
                             ("unreadable file", "00003"), ("unreadable file", "00004")]
    message = report["problems"][0]["message"]
    assert "mine.txt:1" in message and "35" in message
    assert "4 problems" in capsys.readouterr().out


def test_a_damaged_image_and_its_unknown_ids_are_both_reported(gta5):
    write_palette(gta5 + "/gta5/labels/00001.png", np.full((12, 16), 35, np.uint8))
    os.remove(gta5 + "/gta5/images/00001.png")
    assert kinds(run(gta5)[1]) == [("unreadable file", "00001"),
                                   ("label values out of range", "00001")]


@pytest.mark.parametrize("dataset, split, published", [
    ("gta5", "all", 24966), ("gta5", "train", 12403), ("gta5", "val", 6382), ("gta5", "test", 6181),
    ("cityscapes", "train", 2975), ("cityscapes", "val", 500), ("cityscapes", "test", 1525),
    ("synthia_rand", "all", 9400), ("synthia_rand", "train", 9400),
    ("camvid", "day_train", 153), ("camvid", "day_val", 43), ("camvid", "day_test", 64),
    ("camvid", "dusk_train", 62), ("camvid", "dusk_val", 21), ("camvid", "dusk_test", 62),
    ("bdds", "train", 7000), ("bdds", "val", 1000), ("bdds", "test", 2000)])
def test_counts_are_compared_with_the_published_ones(gta5, dataset, split, published):
    write_lines(f"{gta5}/gta5/{split}.txt", ["00001", "00002"])
    write_lines(f"{gta5}/camvid/{split}.txt", ["0", "1"])
    for number in range(2):
        write_image(f"{gta5}/camvid/images/{number}.png", random_image(number))
        write_image(f"{gta5}/camvid/labels/{number}.png", np.full((12, 16), 3, np.uint8))
        write_image(f"{gta5}/synthia_rand/RGB/{number:07d}.png", random_image(number))
        write_synthia(f"{gta5}/synthia_rand/GT/LABELS/{number:07d}.png",
                      np.full((12, 16), 3, np.uint16))
        write_cityscapes(gta5, split, f"ulm_00000{number}_000019")
        write_image(f"{gta5}/bdds/seg/images/{split}/{number}.jpg", random_image(1))
        write_image(f"{gta5}/bdds/seg/labels/{split}/{number}_train_id.png",
                    np.full((12, 16), 1, np.uint8))
    code, report = run(gta5, dataset=dataset, split=split)
    problem, = report["problems"]
    assert code == 1 and problem["kind"] == "count differs from the published one"
    assert report["published"] == published
    assert str(published) in problem["message"] and "2 frames" in problem["message"]


def test_skipped_pairs_are_left_out_counted_and_reported(gta5, capsys):
    write_palette(gta5 + "/gta5/labels/00002.png", np.full((11, 16), ROAD, np.uint8))
    write_lines(gta5 + "/gta5/skip.txt", ["00002"])
    code, report = run(gta5)
    assert code == 0 and (report["listed"], report["skipped"], report["opened"]) == (4, 1, 3)
    found = capsys.readouterr()
    assert "1 left out by skip.txt" in found.out
    assert "skip.txt removes 1 of 4 frames from mine" in found.err


def test_opening_a_split_says_what_is_skipped_once_and_slices_afterwards(gta5, capsys):
    write_lines(gta5 + "/gta5/skip.txt", ["00002"])
    data = open_dataset("gta5", gta5)
    assert [frame.name for frame in data.frames("mine[:2]")] == ["00001", "00003"]
    data.frames("mine")
    assert capsys.readouterr().err.count("removes 1 of 4") == 1


def test_a_skip_file_that_takes_all_or_cannot_be_read_is_refused(gta5):
    write_lines(gta5 + "/gta5/skip.txt", [f"{number:05d}" for number in range(1, 5)])
    with pytest.raises(InputError, match="no frames"):
        open_dataset("gta5", gta5).frames("mine")
    with open(gta5 + "/gta5/skip.txt", "wb") as file:
        file.write(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="skip.txt"):
        open_dataset("gta5", gta5).frames("mine")


def unknown_to_skip(root, skipped, dataset, *split):
    """The names of skip.txt that check_dataset calls unknown, in its report and its text."""
    path = os.path.join(root, "report.json")
    write_lines(f"{root}/{dataset.partition(':')[0]}/skip.txt", skipped)
    code = check_command.main(["--dataset", dataset, "--data-root", root, "--workers", "1",
                               "--images-only", "--json", path,
                               *(["--split", *split] if split else [])])
    with open(path) as file:
        report = json.load(file)
    os.remove(path)
    problems = sum(len(part["problems"]) for part in report["splits"])
    assert code == (1 if problems + len(report["skip_file_unknown"]) else 0)
    return report["skip_file_unknown"]


@pytest.mark.parametrize("split", ((), ("train",), ("val",), ("mine", "val"), ("train[1:3]",)))
def test_a_misspelt_name_in_the_skip_file_is_wrong_whichever_splits_are_checked(
        tmp_path, capsys, split):
    write_folder_set(str(tmp_path / "folder"))
    write_lines(str(tmp_path / "folder" / "val_images.txt"), ["images/1.png"])
    write_lines(str(tmp_path / "folder" / "mine_images.txt"), ["labels/2.png", "labels/3.png"])
    assert unknown_to_skip(str(tmp_path), ["images/0", "images/O", "labels/2", "skip"], "folder",
                           *split) == ["images/O", "skip"]
    out = capsys.readouterr().out
    assert "skip.txt:2: images/O\n" in out and "skip.txt:4: skip\n" in out
    assert out.endswith("2 problems\n")


def test_splits_that_are_not_there_know_no_name(gta5):
    # no image of that number: only the list knows it
    write_lines(gta5 + "/gta5/other.txt", ["15188"])
    write_lines(gta5 + "/gta5/broken.txt", ["a", "", "b"])
    assert unknown_to_skip(gta5, ["00002", "15188", "15189"], "gta5", "mine") == ["15189"]


def test_a_name_of_another_season_or_folder_of_images_is_known(tmp_path):
    root = str(tmp_path)
    write_seasons(root, "summer", "fall", height=12, width=16)
    names = [f"SYNTHIA-SEQS-01-{season}/000001" for season in ("SUMMER", "FALL", "WINTER")]
    assert unknown_to_skip(root, names, "synthia_seqs:season=summer", "train") == names[2:]
    for split in ("val", "train_extra"):
        for number in range(2):
            name = f"{split}/ulm/{split}_{number}_leftImg8bit.png"
            write_image(f"{root}/cityscapes/leftImg8bit/{name}", random_image(1))
    write_lines(root + "/cityscapes/leftImg8bit/notes.txt", ["beside the folders"])
    assert unknown_to_skip(root, ["val_0", "train_extra_1", "val_7"], "cityscapes",
                           "val/ulm[:1]") == ["val_7"]


def test_a_frame_listed_twice_is_found(gta5):
    write_lines(gta5 + "/gta5/mine.txt", ["00001", "00002", "00001"])
    assert kinds(run(gta5)[1]) == [("listed twice", "00001")]


def test_images_only_opens_no_label(gta5):
    for number in range(1, 5):
        os.remove(f"{gta5}/gta5/labels/{number:05d}.png")
    code, report = run(gta5, "--images-only")
    assert code == 0 and report["classes"] is None and report["opened"] == 4


def test_a_split_without_any_label_names_the_option_that_checks_it(gta5, capsys):
    os.remove(gta5 + "/gta5/labels/00001.png")
    assert run(gta5)[0] == 1 and "--images-only" not in capsys.readouterr().out
    shutil.rmtree(gta5 + "/gta5/labels")
    assert run(gta5)[0] == 1 and "--images-only" in capsys.readouterr().out


def test_a_missing_split_is_reported_before_the_others_are_read(gta5, capsys):
    with pytest.raises(InputError, match="never.txt"):
        check_command.main(["--dataset", "gta5", "--data-root", gta5, "--split", "mine", "never"])
    assert capsys.readouterr().out == ""


def walked(root, dataset, *arguments):
    """[(split, whether labels were opened, kinds of problems, frames opened)] of a check."""
    path = os.path.join(root, "report.json")
    check_command.main(["--dataset", dataset, "--data-root", root, "--workers", "1",
                        "--json", path] + list(arguments))
    with open(path) as file:
        reports = json.load(file)["splits"]
    os.remove(path)
    return [(report["split"], report["labelled"], {kind for kind, _ in kinds(report)},
             report["opened"]) for report in reports]


COUNT = {"count differs from the published one"}


def test_a_whole_data_set_shows_every_frame_once_whatever_lists_of_parts_there_are(gta5):
    write_lines(gta5 + "/gta5/train.txt", ["00001", "00002"])
    assert walked(gta5, "gta5") == [("all", True, COUNT, 4)]
    os.rename(gta5 + "/gta5", gta5 + "/gta5_half")
    assert walked(gta5, "gta5_half") == [("all", True, COUNT, 4)]
    write_seasons(gta5, "summer", height=12, width=16, frames=1)
    assert walked(gta5, "synthia_seqs") == [("all", True, set(), 1)]
    write_image(gta5 + "/synthia_rand/RGB/0000000.png", random_image(1))
    write_synthia(gta5 + "/synthia_rand/GT/LABELS/0000000.png", np.full((12, 16), 3, np.uint16))
    write_lines(gta5 + "/synthia_rand/train.txt", ["0000000"])
    assert walked(gta5, "synthia_rand") == [("all", True, COUNT, 1)]


def test_splits_that_come_without_labels_are_checked_for_their_images(tmp_path, capsys):
    root = str(tmp_path)
    parts = ("day_train", "day_val", "day_test", "dusk_train", "dusk_val", "dusk_test")
    for number, split in enumerate(parts):
        write_lines(f"{root}/camvid/{split}.txt", [str(number)])
        write_image(f"{root}/camvid/images/{number}.png", random_image(number))
        if split.endswith("_val"):
            write_image(f"{root}/camvid/labels/{number}.png", np.full((12, 16), 3, np.uint8))
    assert walked(root, "camvid") == [(split, split.endswith("_val"), COUNT, 1) for split in parts]
    assert capsys.readouterr().out.count("1 opened, images only: it comes without labels\n") == 4
    for split in ("train", "val", "test"):
        write_cityscapes(root, split, "ulm_000001_000019", labelled=split != "test")
        write_image(f"{root}/bdds/seg/images/{split}/1.jpg", random_image(1))
        if split != "test":
            write_image(f"{root}/bdds/seg/labels/{split}/1_train_id.png",
                        np.full((12, 16), 1, np.uint8))
    for dataset in ("cityscapes", "bdds"):
        assert walked(root, dataset) == [(split, split != "test", COUNT, 1)
                                         for split in ("train", "val", "test")]
    part = "test/ulm[:1]"
    assert walked(root, "cityscapes", "--split", part) == [(part, False, set(), 1)]
    capsys.readouterr()
    assert walked(root, "cityscapes", "--images-only", "--split", "val", "test/ulm") == [
        ("val", False, COUNT, 1), ("test/ulm", False, set(), 1)]
    assert capsys.readouterr().out.count("1 opened, images only\n") == 1
    os.remove(root + "/camvid/images/0.png")
    assert walked(root, "camvid")[0] == ("day_train", False, COUNT | {"unreadable file"}, 1)


def test_a_slice_an_existing_report_and_a_split_that_is_not_there(gta5):
    assert run(gta5, split="mine[1:3]")[1]["opened"] == 2
    with open(gta5 + "/old.json", "w"):
        pass
    for arguments, message in ((["--split", "mine", "--json", gta5 + "/old.json"], "exists"),
                               (["--split", "never"], "never.txt")):
        with pytest.raises(InputError, match=message):
            check_command.main(["--dataset", "gta5", "--data-root", gta5] + arguments)


@pytest.mark.parametrize("command, more", [
    (check_command, []),
    (lmdb_command, ["--split", "s", "--output", "o"]),
    (bench_command, ["--split", "s", "--lmdb", "l"]),
    (statistics_command, ["--split", "s", "--output", "o"])])
@pytest.mark.parametrize("workers", ("0", "-1", "1.5", "all"))
def test_every_command_with_processes_wants_at_least_one(command, more, workers, capsys):
    with pytest.raises(SystemExit) as ended:
        command.parse(["--dataset", "toy", "--workers", workers] + more)
    assert ended.value.code == 2 and "--workers" in capsys.readouterr().err
    assert command.parse(["--dataset", "toy", "--workers", "3"] + more).workers == 3


def test_the_drawn_toy_and_processes(capsys):
    code = check_command.main(["--dataset", "toy", "--split", "target_val[:12]", "--workers", "2"])
    assert code == 0 and "12 opened" in capsys.readouterr().out


@pytest.mark.parametrize("dataset, split, code", [
    ("gta5", [], 1), ("gta5", ["all"], 1), ("camvid", [], 0), ("camvid", ["dusk_val"], 0),
    ("cityscapes", ["train"], 1), ("synthia_seqs:season=spring", [], 0)])
def test_real_files(shared_real, dataset, split, code, capsys):
    arguments = ["--dataset", dataset, "--data-root", shared_real]
    assert check_command.main(arguments + (["--split"] + split if split else [])) == code
    out = capsys.readouterr().out
    assert "unreadable" not in out and "out of range" not in out and "sizes differ" not in out
