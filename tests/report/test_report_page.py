"""The report's content, read from the file without a browser."""
import os
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("caffe")
pytest.importorskip("jinja2", reason="jinja2 is missing: python3 tools/setup_caffe.py")

from data.errors import InputError
from tools.lib.report.report_command import main

from made_runs import add_snapshot, make_run, write, write_result

EMPTY = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """The elements of a page: (tag, {attribute}), their texts, and elements that are not closed."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.wrong = [], [], [], []
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, text):
        self.texts.append((self.open[-1] if self.open else "", text))

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]

    def text(self, *without):
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


def test_frames_that_changed_more_come_first(pictures):
    changed = [float(text) for text in re.findall(r"(\d+) % of the pixels", pictures.source)]
    assert changed == sorted(changed, reverse=True) and len(changed) == 2


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
