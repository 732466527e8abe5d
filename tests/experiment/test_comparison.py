"""Stages of several experiments side by side: rows, differences, and what is missing."""
import json
import os

import pytest

from data.errors import InputError
from tools.lib.experiment import comparison, plan, report

from made_results import record
from made_runs import smallest_record

ARMS = ("toy:control", "toy:ga", "toy_confusion_steps:ga")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results and records of ARMS, seeds 1 and 2, in a folder of the test's own; their IoUs."""
    for module in (comparison, report):
        monkeypatch.setattr(module, "ROOT", str(tmp_path))
    made = {}
    for number, text in enumerate(ARMS):
        arm = comparison.parse_arm(text)
        for seed in (1, 2):
            folder = tmp_path / plan.run_folder(arm.experiment, arm.stage, seed)
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(
                smallest_record(versions={"blas_kernel": "Haswell"}))
            for place, test in enumerate(arm.experiment.tests):
                scores = record(seed=100 * number + 10 * seed + place)
                made[text, seed, place] = scores
                path = plan.result_file(arm.experiment, arm.stage, seed, *test)
                (tmp_path / path).write_text(json.dumps({"results": [scores]}))
    return made


def row(text, heading, title):
    """The cells of the row `title` below a heading of a page."""
    lines = text.partition(f"## {heading}\n")[2].splitlines()
    found = next(line for line in lines if line.startswith(f"| {title} "))
    return [cell.strip() for cell in found.strip("|").split("|")[1:]]


def mean_iou(scores):
    values = [value for value in scores["iou"] if value is not None]
    return 100 * sum(values) / len(values)


def test_arms_are_named_by_what_makes_them_different():
    titles = [comparison.parse_arm(text).title
              for text in ("toy:source", "toy:ca", "toy_confusion:ga", "toy_confusion_steps:ga_ca")]
    assert titles == ["source only", "CA", "GA, confusion",
                      "GA + CA, confusion, normalised, 10 classifier steps"]


def test_differences_are_those_from_the_control_of_the_same_seed(results, tmp_path):
    page = tmp_path / "page.md"
    comparison.main([*ARMS, "--seeds", "1", "2", "--output", str(page)])
    text, title = page.read_text(), "GA, confusion, normalised, 10 classifier steps"
    assert f"compare_experiments.py {' '.join(ARMS)} --seeds 1 2 --output" in text
    assert "OpenBLAS kernels: Haswell." in text
    assert row(text, "mIoU", "control")[1] == "0.0 ± 0.0"
    for place, name in enumerate(("toy source_val", "toy target_val")):
        scores = [mean_iou(results[ARMS[2], seed, place]) for seed in (1, 2)]
        control = [mean_iou(results[ARMS[0], seed, place]) for seed in (1, 2)]
        cells = row(text, "mIoU", title)[2 * place:]
        assert cells[0] == report.spread(scores)
        assert cells[1] == report.spread([a - b for a, b in zip(scores, control)])
        assert row(text, f"mIoU of each seed, {name}", title) == [f"{v:.1f}" for v in scores]
    classes = row(text, "IoU of each class, toy target_val", title)
    assert classes[0] == report.spread([100 * results[ARMS[2], s, 1]["iou"][0] for s in (1, 2)])


def test_the_page_says_over_which_seeds_its_numbers_are(results, capsys):
    comparison.main([*ARMS, "--seeds", "1", "2"])
    assert "in percent, mean ± standard deviation over the seeds 1, 2. " in capsys.readouterr().out
    comparison.main([*ARMS, "--seeds", "1"])
    assert "in percent, seed 1. " in capsys.readouterr().out


def test_an_arm_that_has_not_run_is_named_with_the_command_that_runs_it(results, tmp_path):
    with pytest.raises(InputError) as caught:
        comparison.main([*ARMS, "--seeds", "1", "2", "3", "--output", str(tmp_path / "page.md")])
    assert "toy:control: no results of seed 3" in caught.value.what
    assert caught.value.fix == ("python3 tools/run_experiment.py toy --stages control --seeds 3")
    assert not os.path.exists(tmp_path / "page.md")


@pytest.mark.parametrize("arms, words", [
    (["toy"], "toy: expected EXPERIMENT:STAGE"), (["toy:deploy"], "toy:deploy: expected"),
    (["toy:ga", "toy_confusion:ga"], "expected one control"),
    (["toy:control", "toy:ga", "toy:ga"], "toy:ga is given twice"),
    (["toy:control", "gta:ga"], "gta:ga is tested on other images than toy:control")])
def test_rows_that_cannot_be_compared_are_refused(arms, words):
    with pytest.raises(InputError, match=words):
        comparison.main([*arms, "--seeds", "1"])
