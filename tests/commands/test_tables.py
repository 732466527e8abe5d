"""Tables in their four formats, and result files."""
import json

import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import CAMVID, CITYSCAPES, TOY
from tools.lib.results import comparison, read_results
from tools.lib.tables import Table, format_of, render

from made_results import record

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


def test_comparison_has_rows_of_classes_columns_of_models_and_names_absent_classes():
    table = comparison([record("A"), record("B", seed=1)])
    assert table.header == ["IoU %", "A", "B"]
    assert [row[0] for row in table.rows] == list(TOY.classes) + ["mIoU-8", "pixel accuracy"]
    assert np.isnan(table.rows[7][1]) and table.rows[0][1] == 100 * record("A")["iou"][0]
    assert table.notes[0] == ("A: nan for pole: in neither truth nor prediction, left out of the "
                              "means.")


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


def test_results_from_a_file_are_computed_again_from_its_counts(tmp_path):
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
