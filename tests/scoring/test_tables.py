"""Tables in their four formats, result files, and the paper's numbers."""
import json
import os
import re

import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import CAMVID, CITYSCAPES, SPACES, SYNTHIA_SEQS, TOY
from tools.lib.confusion import Confusion
from tools.lib.experiment import paper as paper_table
from tools.lib.experiment.paper import average_record, paper_tables, shift_table
from tools.lib.results import comparison, read_results, result_record
from tools.lib.tables import Table, format_of, render

SMALL = Table(["IoU %", "A_1", "B|2"],
              [["road", 50.0, float("nan")], ["t & s", 0.25, None], ["mean", 25.125, 7.0]],
              "A title", [2], ["One note."])


def test_text_lines_up_and_names_what_has_no_score():
    assert render(SMALL, "text") == (
        "A title\n"
        "IoU %   A_1  B|2\n"
        "----------------\n"
        "road   50.0  nan\n"
        "t & s   0.2\n"
        "----------------\n"
        "mean   25.1  7.0\n"
        "One note.\n")


def test_markdown_escapes_bars():
    assert render(SMALL, "markdown") == (
        "A title\n\n"
        "| IoU % | A_1 | B\\|2 |\n"
        "|---|---:|---:|\n"
        "| road | 50.0 | nan |\n"
        "| t & s | 0.2 |  |\n"
        "| mean | 25.1 | 7.0 |\n\n"
        "One note.\n")


def test_csv_keeps_all_digits_for_programs():
    assert render(SMALL, "csv") == "A title,A_1,B|2\nroad,50.0,nan\nt & s,0.25,\nmean,25.125,7.0\n"


def test_latex_escapes_what_latex_reads():
    assert render(SMALL, "latex") == (
        "% A title\n"
        "\\begin{tabular}{lrr}\n\\hline\nIoU \\% & A\\_1 & B|2 \\\\\n\\hline\n"
        "road & 50.0 & nan \\\\\nt \\& s & 0.2 &  \\\\\n\\hline\nmean & 25.1 & 7.0 "
        "\\\\\n\\hline\n\\end{tabular}\n"
        "% One note.\n")


def test_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="1 cells under 2 titles"):
        Table(["a", "b"], [["only"]])


def test_format_goes_by_the_ending_unless_given():
    assert format_of("x.tex") == "latex" and format_of("x.dat", "csv") == "csv"
    with pytest.raises(InputError, match="x.dat"):
        format_of("x.dat")


def record(name="A", space=TOY, seed=0, **origin):
    confusion = Confusion(len(space.classes))
    labels = np.random.RandomState(seed).randint(0,
                                                 len(space.classes) - 1,
                                                 (2, 40, 40)).astype(np.uint8)
    confusion.add(*labels)
    return result_record(name, confusion, "toy", "target_val", space, **origin)


def test_comparison_has_a_row_a_class_a_column_a_model_and_says_what_is_absent():
    table = comparison([record("A"), record("B", seed=1)])
    assert table.header == ["IoU %", "A", "B"]
    assert [row[0] for row in table.rows] == list(TOY.classes) + ["mIoU-8", "pixel accuracy"]
    assert np.isnan(table.rows[7][1]) and table.rows[0][1] == 100 * record("A")["iou"][0]
    assert table.notes[
        0] == "A: nan for pole: in neither truth nor prediction, left out of the means."


def test_the_shares_of_the_truth_stand_beside_models_that_saw_the_same_truth():
    one = record("A")
    table = comparison([one, record("B")])
    assert table.header[-1] == "share of the truth"
    assert sum(row[-1] for row in table.rows[:8]) == pytest.approx(100) and table.rows[-1][-1] == ""
    assert table.rows[2][-1] == pytest.approx(100 * one["support"][2] / 1600)


def test_cityscapes_tables_show_the_three_means_side_by_side():
    rows = [row[0] for row in comparison([record(space=CITYSCAPES)]).rows]
    assert rows[19:] == ["mIoU-19", "mIoU-16", "mIoU-13", "pixel accuracy"]


def test_results_over_different_classes_do_not_share_a_table():
    with pytest.raises(InputError, match="different classes"):
        comparison([record(), record(space=CAMVID)])


def test_results_survive_the_file_and_are_taken_anew_from_the_counts(tmp_path):
    path = tmp_path / "scores.json"
    written = record(weights="w.caffemodel")
    path.write_text(json.dumps({"results": [dict(written, iou=[1.0] * 8, means={})]}))
    found = read_results(str(path))[0]
    assert found["iou"] == written["iou"] and found["means"] == written["means"]
    assert found["weights"] == "w.caffemodel"


@pytest.mark.parametrize("content", [
    "", "[1]", '{"results": [{}]}', '{"results": [1]}', "[" * 100000, "[" + "9" * 100,
    json.dumps({"results": [dict(record(), confusion=[[1]])]}),
    json.dumps({"results": [dict(record(), confusion="x")]}),
    json.dumps({"results": [dict(record(), confusion=[[10 ** 30] * 9] * 8)]}),
    json.dumps({"results": [dict(record(), version=99)]})])
def test_files_that_are_no_results_are_refused_by_name(tmp_path, content):
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(InputError, match="scores.json"):
        read_results(str(path))


def test_missing_results_name_the_command_that_makes_them():
    with pytest.raises(InputError, match="tools/test.py"):
        read_results("gone.json")


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
    """[(source, target, method, class names, numbers)] of the three tables in the paper's text, in
    its order."""
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
    assert table.header == ["IoU %"] + [
        method + whose for method in ("Before adapt", "GA", "GA + CA")
        for whose in (", paper", ", ours")
    ]
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
            path = folder / ("%s_%s.json" % place)
            path.write_text(json.dumps({"results": [records[place]]}))
            options += ["--result", "%s:%s=%s" % (place + (path,))]
    return options, records


@pytest.mark.parametrize("key, means", [("paper1", (19, 16, 13)), ("paper2", (13,)), ("paper3", (19, 16, 13))])
def test_every_table_of_the_paper_shows_results_of_the_test_command(key, means, tmp_path, capsys):
    options, records = results_of(key, tmp_path)
    paper_table.main([key] + options)
    text = capsys.readouterr().out
    paper_table.main([key] + options + ["--output", str(tmp_path / "table.csv")])
    rows = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()]
    assert [
        int(line.split("-")[1].split()[0]) for line in text.splitlines()
        if line.startswith("mIoU-") and "printed" not in line
    ] == list(means) * len(paper_tables()[key]["shifts"])
    starts = [number for number, row in enumerate(rows) if row[0].startswith("Table")]
    for start, shift in zip(starts, paper_tables()[key]["shifts"]):
        for column, row in enumerate(shift["rows"]):
            ours = [
                float(cells[2 + 2 * column])
                for cells in rows[start + 1:start + 1 + len(row["iou"])]
            ]
            paper = [
                float(cells[1 + 2 * column])
                for cells in rows[start + 1:start + 1 + len(row["iou"])]
            ]
            found = [found["iou"] for (name, stage), found in records.items()
                     if stage == row["stage"] and shift["experiment"] in (name, None)]
            assert paper == row["iou"]
            np.testing.assert_allclose(ours, 100 * np.array(found, float).mean(0))
    assert "No result" not in text and capsys.readouterr().err == ""


@pytest.mark.parametrize("ending, mark", [(".txt", "Table 2 of the paper: Fall to Winter"), (".md", "| sky | 92.0 |"),
                                          (".tex", "sky & 92.0 & ")])
def test_a_table_is_written_with_its_command_in_the_format_of_its_ending(
        ending, mark, tmp_path, capsys):
    options, _ = results_of("paper2", tmp_path)
    paper_table.main(["paper2"] + options +
                       ["--note", "They mean nothing.", "--output",
                        str(tmp_path / ("t" + ending))])
    text = (tmp_path / ("t" + ending)).read_text()
    assert mark in text and text == capsys.readouterr().out
    assert "Written by python3 tools/paper_table.py paper2 --result season_summer_fall:source=" in text
    assert "ours: mean of 6 shifts, 6 images." in text and "They mean nothing." in text.splitlines(
    )[0]


def test_results_that_are_not_there_leave_gaps_and_name_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paper_table, "ROOT", str(tmp_path))
    paper_table.main(["paper3"])
    found = capsys.readouterr()
    assert "GA, ours: no result." in found.out
    assert found.err.endswith("Make one: python3 tools/run_experiment.py cityscapes\n")
    paper_table.main(["paper3", "--seed", "7"])
    assert capsys.readouterr().err.endswith("python3 tools/run_experiment.py cityscapes --seeds 7\n")
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
    assert average[2] == two["iou"][2] and average[0] == pytest.approx(
        (one["iou"][0] + two["iou"][0]) / 2)
    assert average[12] is None


def test_result_over_other_classes_is_no_row_of_the_papers_table():
    paper = paper_tables()["paper2"]
    with pytest.raises(InputError, match="classes of camvid"):
        shift_table(paper, paper["shifts"][0], {"source": record(space=CAMVID)})
