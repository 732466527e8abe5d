"""Settings tried on the toy: variants, prototxts, tasks, and seeds that are refused."""
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from data.errors import InputError
from data.files import ROOT
from models.experiments import EXPERIMENTS
from tools.lib.experiment import hours, plan, tuning

TOY = EXPERIMENTS["toy"]


@pytest.mark.parametrize("text, named", [
    ("colour=1", "expected FIELD=VALUE"), ("weight", "expected FIELD=VALUE"),
    ("weight=", "expected FIELD=VALUE"),
    ("weight=much", "expected a number"), ("policy=step", "expected one of fixed, poly"),
    ("max_iter=1.5", "expected a whole number above 0"),
    ("normalised=1", "expected one of off, on"),
    ("bounds=half", "expected one of both, lower, upper, none"),
    ("hidden=64-", "found '64-', expected numbers of"),
    ("hidden=0", "found '0', expected numbers"), ("classifier_steps=0", "a whole number above 0"),
    ("classifier_steps=1.5", "a whole number above 0")])
def test_a_wrong_axis_is_refused_by_name(text, named):
    with pytest.raises(InputError, match=named):
        tuning.parse_axis(text)


@pytest.mark.parametrize("axes, words", [
    (["max_iter=-5"], "'-5', expected a whole number above 0"),
    (["weight=nan"], "'nan', expected a number from 0 on"),
    (["base_lr=0"], "'0', expected a number above 0"), (["slack=inf"], "'inf'"),
    (["max_iter=1.5"], "whole number"),
    (["base_lr=1e-3,0.001"], "'ga base_lr=0.001' comes twice"),
    (["colour=1"], "expected FIELD=VALUE,VALUE")])
def test_settings_that_cannot_be_tried_are_refused_before_anything_is_trained(axes, words):
    with pytest.raises(InputError, match=words):
        tuning.variants(TOY, "ga", [tuning.parse_axis(text) for text in axes])


def test_a_stage_can_be_tried_as_it_is():
    planned = tuning.tasks(TOY, tuning.variants(TOY, "ga", []), [101])
    assert "ga, seed 101" in plan.describe(TOY, planned, 1)


def test_all_combinations_and_each_changes_only_what_it_says():
    axes = [tuning.parse_axis("mil_weight=0.5,0.25"), tuning.parse_axis("policy=fixed,poly")]
    made = tuning.variants(TOY, "ga_ca", axes)
    assert [variant.label for variant in made] == [
        "ga_ca mil_weight=0.5 policy=fixed", "ga_ca mil_weight=0.5 policy=poly",
        "ga_ca mil_weight=0.25 policy=fixed", "ga_ca mil_weight=0.25 policy=poly"]
    assert len({variant.folder for variant in made}) == 4
    last = made[-1]
    assert last.experiment == replace(
        TOY, category_loss=replace(TOY.category_loss, mil_weight=0.25))
    assert last.schedule.policy == "poly"
    assert last.schedule.max_iter == made[0].schedule.max_iter


def test_the_prototxts_carry_the_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "ROOT", str(tmp_path))
    (variant, ) = tuning.variants(TOY, "ga_ca", [("mil_weight", [0.125]), ("base_lr", [0.25]),
                                                 ("slack", [0.75]), ("presence_factor", [0.5]),
                                                 ("bounds", ["lower"])])
    tuning.write_prototxts(variant)
    folder = tmp_path / variant.folder
    net, solver = (folder / "net.prototxt").read_text(), (folder / "solver.prototxt").read_text()
    assert "loss_weight: 0.125" in net and '\\"slack\\": 0.75' in net
    assert '\\"presence_factor\\": 0.5' in net and '\\"bounds\\": \\"lower\\"' in net
    assert "base_lr: 0.25\n" in solver and f'net: "{variant.folder}/net.prototxt"' in solver
    with open(os.path.join(ROOT, "models/toy/deploy.prototxt")) as committed:
        deploy = "".join(line for line in committed if not line.startswith("#"))
    assert (folder / "deploy.prototxt").read_text() == deploy   # the filmstrip needs it


def test_normalisation_is_switched_on_and_off(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "ROOT", str(tmp_path))
    off, on = tuning.variants(TOY, "ga", [tuning.parse_axis("normalised=off,on")])
    assert (off.label, on.label) == ("ga normalised=off", "ga normalised=on")
    assert on.experiment.domain_loss == replace(TOY.domain_loss, normalised=True)
    for variant in (off, on):
        tuning.write_prototxts(variant)
        text = (tmp_path / variant.folder / "net.prototxt").read_text()
        assert ("RMSNorm" in text) == (variant is on)


def test_classifier_steps_and_widths_reach_the_net(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "ROOT", str(tmp_path))
    axes = [tuning.parse_axis(text) for text in ("classifier_steps=1,10", "hidden=64-32,256")]
    made = tuning.variants(TOY, "ga", axes)
    last = made[-1]
    assert last.label == "ga classifier_steps=10 hidden=256"
    assert last.experiment.domain_loss == replace(TOY.domain_loss, classifier_steps=10)
    assert made[0].experiment == TOY
    tuning.write_prototxts(last)
    text = (tmp_path / last.folder / "net.prototxt").read_text()
    assert '\\"classifier_steps\\": 10' in text
    assert "num_output: 256" in text and "domain_fc2" not in text


def test_each_seed_starts_from_its_own_run_of_the_stage_before():
    made = tuning.variants(TOY, "ga_ca", [("start", ["source", "ga"])])
    planned = {task.name: task for task in tuning.tasks(TOY, made, (101, 102))}
    task = planned["ga_ca start=ga, seed 102"]
    assert task.argv[task.argv.index("--weights") + 1] == plan.last_weights(TOY, "ga", 102)
    assert "ga seed 102" in task.needs and "ga seed 102" in planned
    assert planned["test ga_ca start=ga, seed 102"].needs == ("ga_ca start=ga, seed 102",)


@pytest.mark.parametrize("stage", ["control", "ga", "ca", "ga_ca"])
def test_a_plan_needs_its_own_tasks_only_so_that_its_time_can_be_told(stage):
    planned = tuning.tasks(TOY, tuning.variants(TOY, stage, []), [101])
    made = set()
    for task in planned:
        assert set(task.needs) <= made, task.name
        made.add(task.name)
    assert hours.duration(planned, {planned[-2].name: 2.0}, jobs=1) == 2
    assert ("statistics" in planned[-2].needs) == (stage in plan.CONSTRAINED)


def test_reported_seeds_choose_nothing():
    done = subprocess.run([
        sys.executable,
        os.path.join(ROOT, "tools", "tune_adaptation.py"), "toy", "--stage", "ga", "--seeds", "101",
        "3"
    ], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 2 and "a setting is not chosen by them" in done.stdout


def test_on_real_images_no_target_label_judges_a_variant():
    """Only source images are scored: before, and after each variant."""
    gta = EXPERIMENTS["gta_camvid"]
    made = tuning.variants(gta, "ga", [tuning.parse_axis("weight=0.1,1")])
    planned = tuning.tasks(gta, made, [101, 102], start_seed=1, data_root="/sets")
    scored = [task for task in planned if "test.py" in task.argv[1]]
    assert len(scored) == 1 + 4
    assert all(task.argv[task.argv.index("--dataset") + 1] == "gta5_half" for task in scored)
    trained = [task for task in planned if task.stage is not None]
    assert [task.name for task in trained].count("source seed 1") == 1 and len(trained) == 1 + 4
    assert all("runs/gta_camvid_source/gta_camvid_source_iter_2500.caffemodel" in task.argv
               for task in trained[1:])
    assert all("/sets" in task.argv for task in trained + scored)


def test_the_label_free_table_shows_the_log_of_the_second_half(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "ROOT", str(tmp_path))
    variant, = tuning.variants(EXPERIMENTS["gta_camvid"], "ga", [])
    folder = tmp_path / variant.folder / "seed101"
    folder.mkdir(parents=True)
    lines = [{"kind": "train", "iteration": number, "values": {
        "domain_gradient_ratio": number / 100, "domain_accuracy_source": 0.9}}
        for number in (10, 20, 30, 40)] + [{"kind": "snapshot", "iteration": 40}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = {"before.json": [0.5, None, 0.3], variant.folder + "/seed101/test.json": [0.2, 0.4]}
    monkeypatch.setattr(tuning, "read_results",
                        lambda path: [{"iou": results[os.path.relpath(path, str(tmp_path))]}])
    table = tuning.label_free_table([variant], [101], "before.json")
    first, second = table.rows
    assert first[:2] == ["before", "40.0"] and set(first[2:]) == {""}
    assert second[:2] == ["ga, seed 101", "30.0"]
    row = dict(zip(table.header[2:], second[2:]))
    assert row["dom/seg"] == "0.35" and row["accuracy, source"] == "0.90" and row["mil/seg"] == ""
