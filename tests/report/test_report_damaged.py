"""A run's JSON files with a value of another type anywhere: a page, or one message."""
import copy
import json
import math

import pytest

pytest.importorskip("caffe")
pytest.importorskip("jinja2", reason="jinja2 is missing: python3 tools/setup_caffe.py")

from data.errors import InputError
from tools.lib.report.report_command import main

from made_runs import add_filmstrip, make_run

WRONG = (None, True, -1, 2.5, math.inf, "x", [], {}, [[1]], {"x": 1}, 10 ** 30)


def places(node, path=()):
    """The paths of all values below a JSON value; of a list those of the first two."""
    yield path
    inner = node.items() if isinstance(node, dict) else enumerate(node[:2]) if isinstance(
        node, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(document, path, value):
    """A copy of a JSON value with `value` at the path."""
    if not path:
        return value
    copied = copy.deepcopy(document)
    inside = copied
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return copied


@pytest.mark.parametrize("name", ["record.json", "test_toy_target_val.json",
                                  "filmstrip/frames.json", "log.jsonl"])
def test_a_value_of_another_type_ends_in_a_page_or_one_message(tmp_path, name, capsys):
    run = make_run(tmp_path / "toy_ga_ca")
    add_filmstrip(run, [100, 200])
    file = tmp_path / "toy_ga_ca" / name
    # of the log, the second line
    before, text, after = ("", file.read_text(), "")
    if name == "log.jsonl":
        first, text, *rest = text.splitlines(keepends=True)
        before, after = first, "".join(rest)
    outcomes = set()
    for number, path in enumerate(places(json.loads(text))):
        for value in WRONG[number % 4::4]:
            file.write_text(before + json.dumps(changed(json.loads(text), path, value)) + "\n"
                            + after)
            try:
                main([run, "--output", str(tmp_path / "report.html")])
                outcomes.add("page")
            except InputError:
                outcomes.add("message")
    assert outcomes == ({"page"} if name == "log.jsonl" else {"page", "message"})
