"""The report's content, read from the file without a browser."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("caffe")
pytest.importorskip("jinja2", reason="jinja2 is missing: python3 tools/setup_caffe.py")

from data.errors import InputError
from data.files import ROOT, sha256
from data.label_spaces import CAMVID, CITYSCAPES, TOY
from tools.lib.experiment.paper import paper_tables
from tools.lib.experiment.report import spread
from tools.lib.report import page as page_module
from tools.lib.report.curves import charts, thinned
from tools.lib.report.frames import draw_pictures
from tools.lib.report.report_command import main, parse
from tools.lib.report.run_files import read_runs
from tools.lib.results import read_results

from made_runs import add_filmstrip, add_snapshot, make_run, write, write_result

EMPTY = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """The elements of a page: (tag, {attribute}), their texts, and elements that are not closed.

    .tables: the rows of each table, as lists of cell texts.
    """

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.wrong, self.tables = [], [], [], [], []
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, text):
        self.texts.append((self.open[-1] if self.open else "", text))
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += text.strip()

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]

    def text(self):
        return " ".join(text for tag, text in self.texts if tag not in ("script", "style"))


def report(folder, *runs, options=()):
    path = str(folder / "report.html")
    main([*runs, "--output", path, *options])
    return Page(path)


@pytest.fixture
def pictures(tmp_path):
    """The page of a run with two nets, on two of four frames."""
    before = make_run(tmp_path / "toy_source", "source")
    weights = add_snapshot(tmp_path / "toy_source", 200, seed=1)
    after = make_run(tmp_path / "toy_ga_ca", "ga_ca", weights=[weights])
    add_snapshot(tmp_path / "toy_ga_ca", 200, seed=2)
    return report(tmp_path, before, after, options=("--frames", "2", "--among", "4"))


def test_every_element_is_closed_and_every_id_is_there_once(pictures):
    assert pictures.open == pictures.wrong == []
    ids = [attributes["id"] for _, attributes in pictures.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for attributes in pictures.all("a")}
    assert targets <= set(ids) and len(targets) > 4


def test_the_page_needs_no_network(pictures):
    for _, attributes in pictures.elements:
        for name in ("src", "href", "srcset", "action", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("data:", "#")), value
    assert not re.search(r"url\(|@import", pictures.source)
    assert len(pictures.source.encode()) < 10e6


def test_every_picture_has_a_text_and_lies_in_the_page(pictures):
    images = pictures.all("img")
    assert len(images) == 2 * 4     # image, before, after, truth
    assert all(image["alt"] and image["src"].startswith("data:image/") for image in images)


def test_the_frames_that_changed_most_are_shown_and_the_first_changed_most(tmp_path):
    weights = add_snapshot(make_run(tmp_path / "toy_source", "source"), 200, seed=1)
    run = make_run(tmp_path / "toy_ga", "ga", weights=[weights])
    after = sha256(add_snapshot(run, 200, seed=2))
    before = sha256(weights)
    options = parse([run, "--output", "x.html", "--frames", "2", "--among", "4"])
    # rows of the 80 that "after" labels differently, frame by frame
    known = {}
    for number, rows in zip((0, 25, 50, 75), (8, 40, 0, 16)):
        name = f"target_val/{number:04d}"
        known[before, name], known[after, name] = np.zeros((2, 80, 144), np.uint8)
        known[after, name][:rows] = 1
    found = draw_pictures(read_runs([run]), options, known)
    assert [(frame.name, frame.changed) for frame in found.frames] == [
        ("target_val/0025", 50.0), ("target_val/0075", 20.0)]
    assert len(known) == 8 and found.among == 4


def test_before_is_the_net_that_the_run_started_from_while_its_file_is_the_same(tmp_path):
    before = make_run(tmp_path / "toy_source", "source")
    weights = add_snapshot(before, 200, seed=1)
    after = make_run(tmp_path / "toy_ga", "ga", weights=[weights])
    add_snapshot(after, 200, seed=2)

    def nets(*runs):
        page = report(tmp_path, *runs, options=("--frames", "1", "--among", "1"))
        return [image["alt"].rpartition(" by ")[2] for image in page.all("img")[1:-1]]

    assert nets(after) == ["source only", "GA"]
    # the other run is given too, from where it has moved to
    moved = str(tmp_path / "moved")
    shutil.copytree(before, moved)
    assert nets(moved, after) == ["source only", "GA"]
    # trained anew, these are other weights
    add_snapshot(before, 200, seed=3)
    assert nets(after) == ["GA"]


def test_frames_that_cannot_be_predicted_are_explained(tmp_path, capsys):
    run = make_run(tmp_path / "toy_ga", "ga")
    path = add_snapshot(run, 200)
    with open(path, "wb") as file:
        file.write(b"no caffemodel")
    page = report(tmp_path, run)
    assert "the frames could not be predicted: " in page.text()
    assert "no frames: the frames could not be predicted" in capsys.readouterr().err


def test_the_command_of_a_run_is_shown_as_a_shell_takes_it(tmp_path):
    run = make_run(tmp_path / "a", command=["python3", "tools/train.py", "--output", "my run"])
    assert "tools/train.py --output 'my run'" in report(tmp_path, run).text()


def test_names_are_escaped(tmp_path):
    evil = '<script>alert(1)</script>"\'&'
    run = make_run(tmp_path / "a<b>\"c", solver=f"solvers/{evil}.prototxt", tested=False,
                   command=["python3", evil], versions={evil: evil}, git={"commit": evil},
                   data={evil: {"dataset": evil}})
    found = write_result(run)
    write_result(run, classes=[evil] + found["classes"][1:], dataset=evil)
    write(run, "log.jsonl", open(os.path.join(run, "log.jsonl")).read().replace(
        "my_loss", "<script>alert(2)</script>"))
    page = report(tmp_path, run)
    assert len(page.all("script")) == 1 and page.open == page.wrong == []
    assert evil in page.text() and "<script>alert(2)</script>" in page.text()
    assert "<script>alert" not in page.source


def test_a_folder_that_is_no_run_is_refused_and_the_page_stays(tmp_path):
    (tmp_path / "report.html").write_text("before")
    (tmp_path / "empty").mkdir()
    for folder, message in ((tmp_path / "empty", "holds no record.json"),
                            (tmp_path / "none", "no such folder")):
        with pytest.raises(InputError, match=message):
            report(tmp_path, str(folder))
    run = make_run(tmp_path / "toy_ga")
    os.remove(os.path.join(run, "log.jsonl"))
    with pytest.raises(InputError, match="holds no line of training yet"):
        report(tmp_path, run)
    assert (tmp_path / "report.html").read_text() == "before"


def iou_of(run, name="test_toy_target_val.json"):
    return [None if value is None else 100 * value
            for value in read_results(os.path.join(run, name))[0]["iou"]]


def test_iou_is_that_of_the_result_files_mean_and_spread_over_the_seeds(tmp_path):
    runs = [make_run(tmp_path / f"toy_ga_seed{seed}", "ga", seed) for seed in (1, 2, 3)]
    runs.append(make_run(tmp_path / "toy_source", "source"))
    header, *rows = report(tmp_path, *runs, options=["--no-frames"]).tables[0]
    # the stages' order, whatever the order of the runs
    assert header == ["IoU %", "source only", "GA"]
    *classes, mean = rows
    for index, row in enumerate(classes):
        ga = [iou_of(run)[index] for run in runs[:3]]
        source = iou_of(runs[3])[index]
        # the last class is in neither truth nor prediction
        assert row[1:] == (["nan", "nan"] if source is None else [spread([source]), spread(ga)])
    assert mean[0] == "mIoU" and "±" in mean[2] and "±" not in mean[1]
    assert len(rows) == 9


def test_the_papers_numbers_stand_beside_ours(tmp_path):
    run = make_run(tmp_path / "gta_ga", solver="solvers/gta_ga.prototxt", tested=False)
    write_result(run, space=CITYSCAPES, dataset="cityscapes", split="val", name="test.json")
    page = report(tmp_path, run)
    printed = next(row for row in paper_tables()["paper1"]["shifts"][0]["rows"]
                   if row["stage"] == "ga")
    header, *rows = page.tables[0]
    assert header == ["IoU %", "GA", "GA, paper"]
    assert [row[2] for row in rows[:19]] == [f"{value:.1f}" for value in printed["iou"]]
    assert [row[0] for row in rows[19:]] == ["mIoU", "mIoU-16", "mIoU-13"]
    assert rows[19][2] == f"{printed['mean']:.1f}"


def test_confusion_is_in_percent_of_the_truth_over_all_seeds(tmp_path):
    runs = [make_run(tmp_path / f"toy_ga{seed}", "ga", seed) for seed in (1, 2)]
    page = report(tmp_path, *runs)
    counts = sum(np.array(read_results(os.path.join(run, "test_toy_target_val.json"))[0][
        "confusion"]) for run in runs)
    header, *rows = next(table for table in page.tables if table[0][0].startswith("truth"))
    assert header[1:] == [row[0] for row in rows]
    assert rows[2][1:] == [f"{100 * value / counts[2].sum():.1f}" for value in counts[2, :-1]]


def test_the_filmstrip_shows_every_snapshot_and_the_first_and_last_of_many(tmp_path):
    few, many = (make_run(tmp_path / f"toy_{stage}", stage) for stage in ("ga", "ga_ca"))
    add_filmstrip(few, [0, 300], names=["<b>", "b"])
    os.remove(os.path.join(few, "filmstrip", "000300_1.png"))   # killed before it was drawn
    add_filmstrip(many, range(0, 2000, 100))
    page = report(tmp_path, few, many)
    shown = [image["alt"] for image in page.all("img") if "iteration" in image["alt"]]
    assert shown[:3] == ["Labels of frame <b> by GA, iteration 0",
                         "Labels of frame <b> by GA, iteration 300",
                         "Labels of frame b by GA, iteration 0"]
    assert len(shown) == 3 + 2 * 8
    assert shown[3].endswith("iteration 0") and shown[10].endswith("iteration 1900")
    # without other frames, the legend is that of the filmstrip
    assert "rgb(10, 20, 30)" in page.source and page.open == page.wrong == []


def test_pictures_of_a_filmstrip_are_png_or_left_out_and_its_list_is_checked(tmp_path):
    run = make_run(tmp_path / "toy_ga", "ga")
    add_filmstrip(run, [100])
    write(os.path.join(run, "filmstrip"), "000100_0.png", "<svg onload='alert(1)'/>")
    assert len(report(tmp_path, run).all("img")) == 3
    write(os.path.join(run, "filmstrip"), "frames.json", '{"frames": 3}')
    with pytest.raises(InputError, match="frames.json is not the list of a filmstrip's frames"):
        report(tmp_path, run)


def test_every_output_of_the_log_is_drawn_once_and_runs_lie_over_each_other(tmp_path):
    runs = read_runs([make_run(tmp_path / f"toy_{stage}", stage) for stage in ("ga", "ga_ca")])
    drawn = charts(runs, {"GA": 0, "GA + CA": 1})
    assert [chart.title for chart in drawn] == [
        "whole loss", "segmentation loss", "L_D and L_Dinv", "domain classifier's accuracy",
        "my_loss", "learning rate", "iterations a second"]
    assert [line.name for line in drawn[2].lines] == [
        "GA, L_D", "GA, L_Dinv", "GA + CA, L_D", "GA + CA, L_Dinv"]
    assert [line.dashed for line in drawn[2].lines] == [False, True] * 2
    assert {line.colour for line in drawn[0].lines} == {0, 1}


def test_a_line_gives_back_the_values_of_the_log(tmp_path):
    run = read_runs([make_run(tmp_path / "toy_ga", "ga")])[0]
    chart = charts([run], {"GA": 0})[0]
    left, right, bottom, top = chart.extent
    points = [tuple(map(float, pair.split())) for pair in chart.lines[0].path[1:].split("L")]
    logged = [(entry["iteration"], entry["values"]["loss"]) for entry in run.log]
    xs, ys = np.array(points).T
    assert left + (xs - xs[0]) / (xs[-1] - xs[0]) * (right - left) == pytest.approx(
        [x for x, _ in logged], abs=0.5)
    high, low = ys.min(), ys.max()
    assert bottom + (low - ys) / (low - high) * (top - bottom) == pytest.approx(
        [y for _, y in logged], abs=1e-3)


def test_long_lines_keep_their_peaks():
    points = [(x, 0.0) for x in range(100000)]
    points[54321] = (54321, 9.0)
    kept = thinned(points, 100)
    assert len(kept) <= 102 and (54321, 9.0) in kept
    assert kept[0] == points[0] and kept[-1] == points[-1] and kept == sorted(kept)


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    run = make_run(tmp_path / "toy_ga", "ga")
    path = os.path.join(run, "log.jsonl")
    with open(path, "a") as file:
        for value in (float("nan"), float("inf"), None, "x", [1], True):
            file.write(json.dumps(dict(kind="train", iteration=220, values={
                "loss": value, "seg_loss": 1.0})) + "\n")
        file.write(json.dumps(dict(kind="train", iteration=240, values=[1])) + "\n")
        file.write('{"kind": "train", "iteration": 260, "values": {"loss": 1.')
    page = report(tmp_path, run)
    chart = next(item for item in page.all("svg"))
    assert chart["aria-label"].startswith("whole loss: GA from 1.") and "nan" not in page.source[
        page.source.index('id="curves"'):page.source.index('id="confusion"')]


def test_a_run_that_goes_on_is_reported_as_such(tmp_path):
    run = make_run(tmp_path / "toy_ga", "ga", iterations=100, max_iter=400, tested=False)
    page = report(tmp_path, run)
    assert "Not finished:" in page.text() and "iteration 100 of 400" in page.text()
    assert "No run has been tested yet" in page.text()
    assert "no run has a snapshot yet" in page.text()
    assert not [tag for tag in page.all("meta") if tag.get("http-equiv") == "refresh"]


def test_watch_renews_the_page_until_it_is_interrupted(tmp_path):
    run = make_run(tmp_path / "toy_ga", "ga", iterations=100, max_iter=400)
    output = tmp_path / "report.html"
    process = subprocess.Popen(
        [sys.executable, "tools/report.py", run, "--output", str(output), "--watch", "0.2",
         "--no-frames"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # a background job of a shell ignores SIGINT, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        _wait_for(lambda: output.exists() and "iteration 100 of 400" in output.read_text())
        assert 'http-equiv="refresh"' in output.read_text()
        with open(os.path.join(run, "log.jsonl"), "a") as file:
            file.write(json.dumps(dict(kind="train", iteration=120, values={"loss": 1.0})) + "\n")
        _wait_for(lambda: "iteration 120 of 400" in output.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()
        # the page that stays does not read itself again
        assert 'http-equiv="refresh"' not in output.read_text()
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def _wait_for(done):
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_runs_over_different_classes_or_named_twice_are_refused(tmp_path):
    toy, camvid = (make_run(tmp_path / name, "ga", space=space, solver=f"solvers/{name}.prototxt")
                   for name, space in (("toy_ga", TOY), ("mine", CAMVID)))
    with pytest.raises(InputError, match="different label spaces: .*8 classes .toy.*11 classes"):
        report(tmp_path, toy, camvid)
    with pytest.raises(InputError, match="given twice"):
        report(tmp_path, toy, toy + "/")
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_result_is_named(tmp_path):
    run = make_run(tmp_path / "toy_ga", "ga")
    write(run, "test_other.json", "{}")
    with pytest.raises(InputError, match="test_other.json is not a result file"):
        report(tmp_path, run)


def test_a_page_that_would_be_too_large_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "LARGEST", 1000)
    with pytest.raises(InputError, match="the page would have .* MB.*\n.*--frames 2"):
        report(tmp_path, make_run(tmp_path / "toy_ga", "ga"))
    assert not (tmp_path / "report.html").exists()


def test_the_command_ends_with_one_sentence(tmp_path):
    done = subprocess.run([sys.executable, "tools/report.py", str(tmp_path), "--output",
                           str(tmp_path / "x.html")], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {tmp_path} is not the folder of a run: it holds no "
                                  "record.json")
    assert os.listdir(tmp_path) == []


def test_an_unknown_solver_and_a_sparse_record_are_reported_too(tmp_path):
    run = make_run(tmp_path / "mine", solver="/elsewhere/mine.prototxt", versions=None, git=7,
                   initial_weights="x", command=5, started=None, data={"a": 3},
                   resumed=[{"iteration": 5, "command": ["a", "b"]}, "x"])
    page = report(tmp_path, run)
    assert page.tables[0][0] == ["IoU %", "mine"] and "at iteration 5" in page.text()
