"""The tables of the paper: its numbers, and ours beside them."""
import json
import os
import re

import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import CAMVID, CITYSCAPES, SPACES, SYNTHIA_SEQS
from tools.lib.experiment import paper as paper_table
from tools.lib.experiment.paper import average_record, paper_tables, shift_table

from made_results import record


def rows_of_the_paper():
    for key, table in paper_tables().items():
        for shift in table["shifts"]:
            for row in shift["rows"]:
                yield key, table, shift, row


def test_every_row_of_the_paper_has_its_classes_and_a_mean_that_fits_them():
    counted = 0
    for key, table, shift, row in rows_of_the_paper():
        assert len(row["iou"]) == {"cityscapes": 19, "synthia_seqs": 13}[table["label_space"]]
        # the printed means are off by up to 0.22 from the printed rows (fall to summer)
        assert np.mean(row["iou"]) == pytest.approx(row["mean"],
                                                    abs=0.23), (key, shift["source"], row["method"])
        counted += 1
    assert counted == 6 + 14 + 3


def test_means_of_the_paper_are_those_of_its_text():
    tables = paper_tables()
    means = [[row["mean"] for row in shift["rows"]] for key in ("paper1", "paper3")
             for shift in tables[key]["shifts"]]
    assert means == [[21.1, 25.5, 27.1], [14.7, 16.6, 17.0], [64.0, 67.6, 67.8]]
    assert [row["mean"] for row in tables["paper2"]["shifts"][-1]["rows"]] == [61.5, 64.2]


def test_average_rows_of_table_2_average_its_six_shifts():
    shifts = paper_tables()["paper2"]["shifts"]
    for number in (0, 1):
        values = np.array([shift["rows"][number]["iou"] for shift in shifts[:6]])
        np.testing.assert_allclose(values.mean(0), shifts[6]["rows"][number]["iou"], atol=0.0501)


ABBREVIATED = {
    "tlight": "traffic light", "t light": "traffic light", "t sign": "traffic sign",
    "veg": "vegetation", "mbike": "motorcycle", "bike": "bicycle", "lanemarking": "lane marking"
}
METHODS = {
    "dialation frontend [33]": "before adapt", "our method (ga only)": "ga",
    "our method (ga + ca)": "ga + ca"
}


def printed_rows(path):
    """[(source, target, method, class names, numbers)] of the tables in the paper's text."""
    rows, shift, classes = [], None, None
    with open(path, encoding="utf-8") as stream:
        table_lines = [line.rstrip().split("\t") for line in stream if line.count("\t") > 2]
    for cells in table_lines:
        heading = next((cell for cell in cells if "\u2192" in cell), None)
        if heading:
            shift = [word.strip() for word in heading.split("\u2192")]
        elif "road" in cells:
            classes = [ABBREVIATED.get(cell, cell) for cell in cells if cell]
        elif re.fullmatch(r"\d+\.\d", cells[-1]):
            words = [cell for cell in cells if not re.fullmatch(r"\d+\.\d", cell)]
            source, target = words[1:] or shift
            rows.append((source, target, METHODS.get(words[0].lower(), words[0].lower()),
                         tuple(classes), tuple(cells[len(words):])))
    return rows


def test_every_number_stands_in_the_papers_own_text_under_its_class_method_and_shift(repo_root):
    path = os.path.join(repo_root, "..", "shared", "paper.txt")
    if not os.path.isfile(path):
        pytest.skip("the paper's text is not beside the repository")
    ours = [(shift["source"], shift["target"], row["method"].lower(),
             SPACES[table["label_space"]].classes,
             tuple(f"{value:.1f}" for value in row["iou"] + [row["mean"]]))
            for _, table, shift, row in rows_of_the_paper()]
    assert ours == printed_rows(path)


def test_our_numbers_stand_beside_the_papers():
    paper = paper_tables()["paper1"]
    ours = record(space=CITYSCAPES)
    table = shift_table(paper, paper["shifts"][0], {"ga": ours})
    assert table.header == ["IoU %", "Before adapt, paper", "Before adapt, ours", "GA, paper",
                            "GA, ours", "GA + CA, paper", "GA + CA, ours"]
    road = table.rows[0]
    assert road[1:] == [31.9, None, 67.4, 100 * ours["iou"][0], 70.4, None]
    by_title = {row[0]: row for row in table.rows}
    assert by_title["mIoU-19, as printed"][1:] == [21.1, None, 25.5, None, 27.1, None]
    assert by_title["mIoU-16"][4] == pytest.approx(100 * ours["means"]["mIoU-16"])
    assert table.notes == [
        "Before adapt, ours: no result.", "GA, ours: toy target_val, 1 image.",
        "GA, ours: nan for bicycle: in neither truth nor prediction, left out of the means.",
        "GA + CA, ours: no result."
    ]


def results_of(key, folder):
    """--result options with a file for every row of a table, and {(experiment, stage): record}."""
    options, records = [], {}
    space = SPACES[paper_tables()[key]["label_space"]]
    for shift in paper_tables()[key]["shifts"][:6]:
        for row in shift["rows"]:
            place = shift["experiment"], row["stage"]
            records[place] = record(space=space, seed=len(records))
            path = folder / f"{shift['experiment']}_{row['stage']}.json"
            path.write_text(json.dumps({"results": [records[place]]}))
            options += ["--result", f"{shift['experiment']}:{row['stage']}={path}"]
    return options, records


@pytest.mark.parametrize("key, means", [
    ("paper1", (19, 16, 13)), ("paper2", (13,)), ("paper3", (19, 16, 13))])
def test_every_table_of_the_paper_shows_results_of_the_test_command(key, means, tmp_path, capsys):
    options, records = results_of(key, tmp_path)
    paper_table.main([key] + options)
    text = capsys.readouterr().out
    paper_table.main([key] + options + ["--output", str(tmp_path / "table.csv")])
    rows = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()]
    shown = [int(line.split("-")[1].split()[0]) for line in text.splitlines()
             if line.startswith("mIoU-") and "printed" not in line]
    assert shown == list(means) * len(paper_tables()[key]["shifts"])
    starts = [number for number, row in enumerate(rows) if row[0].startswith("Table")]
    for start, shift in zip(starts, paper_tables()[key]["shifts"]):
        for column, row in enumerate(shift["rows"]):
            cells = rows[start + 1:start + 1 + len(row["iou"])]
            paper = [float(line[1 + 2 * column]) for line in cells]
            ours = [float(line[2 + 2 * column]) for line in cells]
            found = [found["iou"] for (name, stage), found in records.items()
                     if stage == row["stage"] and shift["experiment"] in (name, None)]
            assert paper == row["iou"]
            np.testing.assert_allclose(ours, 100 * np.array(found, float).mean(0))
    assert "No result" not in text and capsys.readouterr().err == ""


@pytest.mark.parametrize("ending, mark", [
    (".txt", "Table 2 of the paper: Fall to Winter"), (".md", "| sky | 92.0 |"),
    (".tex", "sky & 92.0 & ")])
def test_a_table_is_written_with_its_command_in_the_format_of_its_ending(
        ending, mark, tmp_path, capsys):
    options, _ = results_of("paper2", tmp_path)
    path = tmp_path / f"t{ending}"
    paper_table.main(["paper2"] + options + ["--note", "They mean nothing.", "--output", str(path)])
    text = path.read_text()
    assert mark in text and text == capsys.readouterr().out
    assert ("Written by python3 tools/paper_table.py paper2 --result season_summer_fall:source="
            in text)
    assert "ours: mean of 6 shifts, 6 images." in text
    assert "They mean nothing." in text.splitlines()[0]


def test_results_that_are_not_there_leave_gaps_and_name_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paper_table, "ROOT", str(tmp_path))
    paper_table.main(["paper3"])
    found = capsys.readouterr()
    assert "GA, ours: no result." in found.out
    assert found.err.endswith("Make one: python3 tools/run_experiment.py cityscapes\n")
    paper_table.main(["paper3", "--seed", "7"])
    assert capsys.readouterr().err.endswith(
        "python3 tools/run_experiment.py cityscapes --seeds 7\n")
    folder = tmp_path / "runs" / "cityscapes_ga_seed2"
    folder.mkdir(parents=True)
    (folder / "test_cityscapes_val.json").write_text(
        json.dumps({"results": [record(space=CITYSCAPES)]}))
    paper_table.main(["paper3", "--seed", "2"])
    found = capsys.readouterr()
    assert "GA, ours: toy target_val, 1 image." in found.out and found.err == ""


@pytest.mark.parametrize("text", ["gta:ga", "gta:ca=x.json", "cityscapes:ga=x.json", "=x.json"])
def test_a_result_for_no_row_of_the_table_is_refused_with_the_rows_there_are(text):
    with pytest.raises(InputError, match="gta:source"):
        paper_table.main(["paper1", "--result", text])


def test_our_average_leaves_out_what_is_nan_in_a_shift():
    one, two = record(space=SYNTHIA_SEQS), record(space=SYNTHIA_SEQS, seed=3)
    one["iou"][2] = None
    average = average_record([one, two])["iou"]
    assert average[2] == two["iou"][2] and average[12] is None
    assert average[0] == pytest.approx((one["iou"][0] + two["iou"][0]) / 2)


def test_result_over_other_classes_is_no_row_of_the_papers_table():
    paper = paper_tables()["paper2"]
    with pytest.raises(InputError, match="classes of camvid"):
        shift_table(paper, paper["shifts"][0], {"source": record(space=CAMVID)})
