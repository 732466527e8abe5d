"""Tables in their four formats, result files, and the paper's numbers."""
import json
import os
import re

import numpy as np
import pytest

from data.errors import InputError
from data.label_spaces import CAMVID, CITYSCAPES, SYNTHIA_SEQS, TOY
from tools.scoring.confusion import Confusion
from tools.scoring.paper import average_record, paper_tables, shift_table
from tools.scoring.results import comparison, read_results, result_record
from tools.scoring.tables import Table, format_of, render

SMALL = Table(["IoU %", "A_1", "B|2"], [["road", 50.0, float("nan")], ["t & s", 0.25, None], ["mean", 25.125, 7.0]],
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
        "road & 50.0 & nan \\\\\nt \\& s & 0.2 &  \\\\\n\\hline\nmean & 25.1 & 7.0 \\\\\n\\hline\n\\end{tabular}\n"
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
    labels = np.random.RandomState(seed).randint(0, len(space.classes) - 1, (2, 40, 40)).astype(np.uint8)
    confusion.add(*labels)
    return result_record(name, confusion, "toy", "target_val", space, **origin)


def test_comparison_has_a_row_a_class_a_column_a_model_and_says_what_is_absent():
    table = comparison([record("A"), record("B", seed=1)])
    assert table.header == ["IoU %", "A", "B"]
    assert [row[0] for row in table.rows] == list(TOY.classes) + ["mIoU-8", "pixel accuracy"]
    assert np.isnan(table.rows[7][1]) and table.rows[0][1] == 100 * record("A")["iou"][0]
    assert table.notes[0] == "A: nan for pole: in neither truth nor prediction, left out of the means."


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
        assert np.mean(row["iou"]) == pytest.approx(row["mean"], abs=0.23), (key, shift["source"], row["method"])
        counted += 1
    assert counted == 6 + 14 + 3


def test_means_of_the_paper_are_those_of_its_text():
    tables = paper_tables()
    means = [[row["mean"] for row in shift["rows"]] for key in ("paper1", "paper3") for shift in tables[key]["shifts"]]
    assert means == [[21.1, 25.5, 27.1], [14.7, 16.6, 17.0], [64.0, 67.6, 67.8]]
    assert [row["mean"] for row in tables["paper2"]["shifts"][-1]["rows"]] == [61.5, 64.2]


def test_average_rows_of_table_2_average_its_six_shifts():
    shifts = paper_tables()["paper2"]["shifts"]
    for number in (0, 1):
        values = np.array([shift["rows"][number]["iou"] for shift in shifts[:6]])
        np.testing.assert_allclose(values.mean(0), shifts[6]["rows"][number]["iou"], atol=0.0501)


def test_rows_are_those_of_the_papers_own_text(repo_root):
    path = os.path.join(repo_root, "..", "shared", "paper.txt")
    if not os.path.isfile(path):
        pytest.skip("the paper's text is not beside the repository")
    with open(path, encoding="utf-8") as stream:
        printed = [re.findall(r"(?<![\w.])\d+\.\d(?![\d.])", line) for line in stream if line.count("\t") > 12]
    for _, _, shift, row in rows_of_the_paper():
        assert ["%.1f" % v for v in row["iou"] + [row["mean"]]] in printed, (shift, row)


def test_our_numbers_stand_beside_the_papers():
    paper = paper_tables()["paper1"]
    ours = record(space=CITYSCAPES)
    table = shift_table(paper, paper["shifts"][0], {"ga": ours})
    assert table.header == ["IoU %", "Before adapt, paper", "ours", "GA, paper", "ours", "GA + CA, paper", "ours"]
    road = table.rows[0]
    assert road[1:] == [31.9, None, 67.4, 100 * ours["iou"][0], 70.4, None]
    by_title = {row[0]: row for row in table.rows}
    assert by_title["mIoU-19, as printed"][1:] == [21.1, None, 25.5, None, 27.1, None]
    assert by_title["mIoU-16"][4] == pytest.approx(100 * ours["means"]["mIoU-16"])
    assert table.notes == ["Before adapt: no result of ours.", "GA + CA: no result of ours."]


def test_our_average_leaves_out_what_is_nan_in_a_shift():
    one, two = record(space=SYNTHIA_SEQS), record(space=SYNTHIA_SEQS, seed=3)
    one["iou"][2] = None
    average = average_record([one, two])["iou"]
    assert average[2] == two["iou"][2] and average[0] == pytest.approx((one["iou"][0] + two["iou"][0]) / 2)
    assert average[12] is None


def test_result_over_other_classes_is_no_row_of_the_papers_table():
    paper = paper_tables()["paper2"]
    with pytest.raises(InputError, match="classes of camvid"):
        shift_table(paper, paper["shifts"][0], {"source": record(space=CAMVID)})
