"""Running a whole experiment: the plan, the scheduler and the tables, without training anything."""
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from data.errors import InputError
from data.files import ROOT
from models import cost
from models.experiments import EXPERIMENTS, STAGES
from models.shapes import FULL, SLIM
from tools.lib.command import INPUT_ERROR
from tools.lib.experiment import (
    hours,
    listing,
    plan,
    preconditions,
    report,
    scheduler,
    tuning,
)
from tools.lib.experiment.plan import Task
from tools.lib.runtime.enter import runtime_environment
from tools.lib.training import run_folder
from tools.lib.training.run import parse
from tools.lib.training.solver import resolve

from data_files import write_seasons

TOY = EXPERIMENTS["toy"]


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """Tasks run and leave their results in a folder of the test's own."""
    monkeypatch.setattr(plan, "ROOT", str(tmp_path))
    monkeypatch.setattr(scheduler, "ROOT", str(tmp_path))
    return tmp_path


def python_task(name, code, needs=(), result=None):
    return Task(name, [sys.executable, "-c", code], needs, result or name + ".done", "")


def touching(name, needs=(), before=""):
    """A task that writes its result and appends its name to `order`."""
    return python_task(name, f"{before}\nopen('order', 'a').write('{name} ')\nopen('{name}.done', "
                             "'w')", needs)


def test_sigterm_ends_the_running_commands_too(tmp_path):
    """The child waits for a signal, and leaves a file when the signal comes."""
    child = ("import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: "
             "sys.exit(open('stopped', 'w').close())); "
             "open('ready', 'w').close(); time.sleep(60)")
    parent = ("import sys; from tools.lib.experiment import scheduler; from "
              "tools.lib.experiment.plan import Task; "
              f"scheduler.ROOT = {str(tmp_path)!r}; scheduler.run([Task('a', [sys.executable, "
              f"'-c', {child!r}], (), 'none', '')], 1, 1, {str(tmp_path)!r})")
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT,
                               env=runtime_environment(os.environ), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM and (tmp_path / "stopped").exists()
    finally:
        process.kill()


def test_a_stage_brings_the_stages_it_starts_from():
    assert plan.ordered_stages(TOY, ["ga_ca"])[0] == "source"
    assert plan.ordered_stages(TOY, ["source"]) == ["source"]
    assert plan.ordered_stages(TOY, STAGES) == list(STAGES)


def test_every_need_of_a_task_is_planned_before_it():
    for experiment in EXPERIMENTS.values():
        seen = set()
        for task in plan.tasks(experiment, seeds=(1, 2)):
            assert set(task.needs) <= seen, task.name
            seen.add(task.name)


def test_adaptation_of_a_seed_starts_from_the_source_stage_of_that_seed():
    ga = next(task for task in plan.tasks(TOY, ["ga"], seeds=(3,)) if task.name == "ga seed 3")
    assert plan.last_weights(TOY, "source", 3) in ga.argv
    assert ga.argv[ga.argv.index("--seed") + 1] == "3"


def test_statistics_are_counted_only_for_the_stages_that_read_them():
    for stages, counted in ((["source"], False), (["control", "ga"], False), (["ca"], True),
                            (["ga_ca"], True)):
        assert ("statistics" in [task.name for task in plan.tasks(TOY, stages)]) == counted
    made = tuning.variants(TOY, "ga_ca", [])
    assert tuning.tasks(TOY, made, [101])[0].name == "statistics"


def test_statistics_of_other_labels_are_not_taken_for_done(tmp_path):
    for experiment in map(EXPERIMENTS.get,
                          ("toy", "toy_confusion", "gta_camvid", "gta_cityscapes_sample")):
        preconditions.require_unchanged(
            [task for task in plan.tasks(experiment) if task.name == "statistics"])
    for changed, words in ((replace(TOY, crop=(40, 40)), r"window: \(80, 144\) before, \(40, 40\) "
                            r"now"),
                           (replace(TOY, source=replace(TOY.source, split="source_train[:9]")),
                            r"split: .* before, source_train\[:9\] now")):
        with pytest.raises(InputError, match="(?s)toy_windows.json.*" + words):
            preconditions.require_unchanged(plan.tasks(changed, ["ca"]))


def test_seed_1_uses_the_folders_that_the_solvers_name():
    assert plan.last_weights(TOY, "source", 1).startswith("runs/toy_source/toy_source_iter_")
    assert plan.run_folder(TOY, "source", 2) == "runs/toy_source_seed2"


def test_the_plan_says_what_is_done_and_what_it_needs(in_folder):
    tasks = [touching("a"), touching("b", needs=("a",))]
    (in_folder / "a.done").write_text("")
    text = plan.describe(TOY, tasks, jobs=2)
    assert "2 tasks, 1 done" in text and "GB of disk" in text


def test_runs_of_other_settings_are_not_taken_for_done(tmp_path):
    task = Task(
        "source seed 2",
        plan.command_of("train.py", "--solver", "solvers/toy_source.prototxt", "--seed", "2",
                        "--output", str(tmp_path / "out")), (), "x", "")
    preconditions.require_unchanged([task])                                  # nothing has run yet
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "record.json").write_text("{}")
    run_folder.write_prototxts(
        resolve(
            parse([
                "--solver",
                os.path.join(ROOT, "solvers/toy_source.prototxt"), "--seed", "2", "--output",
                str(tmp_path / "out")
            ])))
    preconditions.require_unchanged([task])
    assert preconditions.changes([task]) == []
    solver = tmp_path / "out" / "solver.prototxt"
    solver.write_text(solver.read_text().replace("base_lr: 0.003", "base_lr: 0.5"))
    with pytest.raises(InputError, match="(?s)source seed 2: .*base_lr: 0.5"):
        preconditions.require_unchanged([task])
    first, second = preconditions.changes([task, task._replace(name="again")])
    assert first.startswith("source seed 2: ") and second.startswith("again: ")


def test_needs_come_first_and_done_tasks_are_skipped(in_folder):
    tasks = [touching("last", needs=("first", "middle")), touching("middle", needs=("first",)),
             touching("first"), touching("old")]
    (in_folder / "old.done").write_text("")
    scheduler.run(tasks, 2, 1, str(in_folder / "logs"))
    assert (in_folder / "order").read_text().split() == ["first", "middle", "last"]


def test_a_failing_task_shows_the_end_of_its_output_and_stops_the_others(in_folder):
    tasks = [python_task("bad", "import sys; print('the reason'); sys.exit(3)"),
             python_task("slow", "import time; time.sleep(60)"), touching("never", needs=("bad",))]
    with pytest.raises(InputError, match="(?s)bad ended with exit code 3.*the reason"):
        scheduler.run(tasks, 2, 1, str(in_folder / "logs"))
    assert not os.path.exists(str(in_folder / "never.done"))


def test_a_task_that_leaves_no_result_has_failed(in_folder):
    with pytest.raises(InputError, match="exit code 0"):
        scheduler.run([python_task("empty", "pass")], 1, 1, str(in_folder / "logs"))


def test_tasks_get_their_share_of_the_cores(in_folder):
    code = "import os; open('threads.done', 'w').write(os.environ['OPENBLAS_NUM_THREADS'])"
    scheduler.run([python_task("threads", code)], 2, 3, str(in_folder / "logs"))
    assert (in_folder / "threads.done").read_text() == "3"


@pytest.mark.parametrize("command, arguments", [
    ("tools.run_experiment", ["toy", "--plan"]),
    ("tools.tune_adaptation", ["toy", "--stage", "ga"])])
def test_seeds_that_train_would_refuse_or_that_come_twice_are_refused_before_the_plan(
        command, arguments, monkeypatch, capsys):
    main = importlib.import_module(command).main
    monkeypatch.setattr(sys, "argv", [command] + arguments + ["--seeds", "107", "7", "107"])
    with pytest.raises(InputError, match="--seeds 107 7 107: 107 given twice.*\n.*--seeds 107 7$"):
        main()
    for flag, value in (("--seeds", "99999999999"), ("--seeds", "0"), ("--jobs", "0")):
        monkeypatch.setattr(sys, "argv", [command] + arguments + ["--seeds", "101", flag, value])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert stop.value.code == INPUT_ERROR
        assert f"{flag}: expected a whole number from 1 to" in printed.err
        assert printed.out == ""


def test_spread_is_mean_and_sample_deviation():
    assert report.spread([1.0, 3.0]) == "2.0 ± 1.4"
    assert report.spread([5.0]) == "5.0"
    assert report.spread([np.nan, 2.0]) == "2.0"
    assert report.spread([np.nan]) == "nan"


def test_differences_are_taken_seed_by_seed():
    # stages (control, GA) x seeds x classes: differences of the means are 2 and 4
    ious = np.array([[[10.0, 20], [30, 40]], [[12.0, 22], [34, 44]]])
    table = report.seed_table(["control", "ga"], [1, 2], ious)
    assert table.rows[-1] == ["minus control", "0.0 ± 0.0", "3.0 ± 1.4"]


def test_ga_and_ca_together_are_compared_with_ga_as_well():
    ious = np.array([[[10.0, 20]], [[12.0, 22]], [[11.0, 21]]])
    table = report.seed_table(["control", "ga", "ga_ca"], [1], ious)
    assert table.rows[-1] == ["minus GA", "-2.0", "0.0", "-1.0"]


def test_data_that_is_missing_is_told_before_the_first_stage_with_the_page_that_helps(tmp_path):
    season = EXPERIMENTS["season_summer_fall"]
    write_seasons(tmp_path, "summer")
    missing = preconditions.missing_data(season, STAGES, str(tmp_path))
    assert len(missing) == 2 and "season=fall, split train: " in missing[
        0] and "SYNTHIA-SEQS-NN-FALL" in missing[0]
    with pytest.raises(InputError, match="(?s)split train.*split test.*docs/datasets.md"):
        preconditions.require_data(missing)
    write_seasons(tmp_path, "fall")
    assert preconditions.missing_data(season, STAGES, str(tmp_path)) == []
    preconditions.require_data([])


def test_only_what_the_stages_read_has_to_be_there_and_no_label_of_a_target(tmp_path):
    season = replace(EXPERIMENTS["season_summer_fall"], tests=())
    write_seasons(tmp_path, "summer")
    assert preconditions.missing_data(season, ("source", "control"), str(tmp_path)) == []
    write_seasons(tmp_path, "fall")
    shutil.rmtree(str(tmp_path / "synthia_seqs" / "SYNTHIA-SEQS-01-FALL" / "GT"))
    assert preconditions.missing_data(season, STAGES, str(tmp_path)) == []
    shutil.rmtree(str(tmp_path / "synthia_seqs" / "SYNTHIA-SEQS-01-SUMMER" / "GT"))
    sentence, = preconditions.missing_data(season, STAGES, str(tmp_path))
    assert "season=summer" in sentence and "GT/LABELS" in sentence


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if not name.startswith("toy")])
def test_every_row_names_the_folder_of_a_data_set_that_is_not_there(name, tmp_path):
    experiment = EXPERIMENTS[name]
    sentences = preconditions.missing_data(experiment, STAGES, str(tmp_path))
    assert len(sentences) == len(preconditions.needed_data(experiment, STAGES))
    assert all(f": {tmp_path}/" in sentence and "no such folder" in sentence
               for sentence in sentences)


def options_of(argv):
    """{flag: value} of a command."""
    return {flag: value for flag, value in zip(argv, argv[1:]) if flag.startswith("--")}


def test_the_picture_shows_what_was_scored(monkeypatch):
    experiment, drawn = EXPERIMENTS["gta_cityscapes_sample"], []
    monkeypatch.setattr(report.subprocess, "run", lambda argv, **keys: drawn.append(argv))
    report.draw(experiment, STAGES, 1, None, "x.png")
    report.draw(experiment, ["source"], 1, None, "x.png")
    both, alone = map(options_of, drawn)
    scored = options_of(
        next(task.argv for task in plan.tasks(experiment) if task.name.startswith("test ga_ca")))
    for flag in ("--model", "--dataset", "--split", "--label-space", "--resize"):
        assert both[flag] == alone[flag] == scored[flag]
    assert both["--resize"] == "0.25" and "--most-changed" in both
    # one model changes nothing
    assert "--most-changed" not in alone and alone["--frames"] == "0"


def test_the_page_is_of_every_run_and_reads_the_data_where_the_runs_did(monkeypatch):
    started = []
    monkeypatch.setattr(report.subprocess, "run", lambda argv, **keys: started.append(argv))
    report.write_page(TOY, ["source", "ga"], [1, 2], "/data", "x.html", device="gpu:1")
    assert started[0][1:] == [
        os.path.join(ROOT, "tools", "report.py"), "runs/toy_source", "runs/toy_source_seed2",
        "runs/toy_ga", "runs/toy_ga_seed2", "--output", "x.html", "--data-root", "/data",
        "--device", "gpu:1"]
    report.write_page(TOY, ["source"], [1], None, "x.html", frames=False)
    assert started[1][-1] == "--no-frames"


def test_the_plan_names_the_stages_whose_settings_have_changed(monkeypatch, capsys):
    tasks = [touching("source seed 1")]
    monkeypatch.setattr(plan, "tasks", lambda *_: tasks)
    monkeypatch.setattr(preconditions, "changes", lambda given: [f"{given[0].name}: other rate"])
    monkeypatch.setattr(sys, "argv", ["run_experiment.py", "toy", "--plan"])
    importlib.import_module("tools.run_experiment").main()
    assert "\nchanged: source seed 1: other rate\n" in capsys.readouterr().out


@pytest.mark.parametrize("options, frames", [([], True), (["--no-frames"], False)])
def test_no_frames_is_handed_to_the_page(options, frames, monkeypatch, tmp_path):
    pages = []
    monkeypatch.setattr(scheduler, "run", lambda *_: None)
    monkeypatch.setattr(preconditions, "require_unchanged", lambda _: None)
    monkeypatch.setattr(report, "collect", lambda *_: (["a"], np.ones((5, 1, 1))))
    monkeypatch.setattr(report, "draw", lambda *_, **__: None)
    monkeypatch.setattr(report, "write_page", lambda *_, **given: pages.append(given["frames"]))
    monkeypatch.setattr(sys, "argv", ["run_experiment.py", "toy", "--report",
                                      str(tmp_path / "page"), *options])
    importlib.import_module("tools.run_experiment").main()
    assert pages == [frames]


def test_a_report_shows_its_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "collect", lambda *ignored: (["a"], np.ones((5, 1, 1))))
    for made in ("draw", "write_page"):
        monkeypatch.setattr(report, made,
                            lambda *arguments, **options: open(arguments[-1], "w").close())
    report.write(TOY, STAGES, [1], None, str(tmp_path / "new" / "page"))
    shown, = re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "new" / "page.md").read_text())
    assert (tmp_path / "new" / shown).exists() and (tmp_path / "new" / "page.html").exists()


def test_a_report_says_what_its_reader_has_to_know(monkeypatch):
    monkeypatch.setattr(report, "collect", lambda *ignored: (["a"], np.ones((5, 1, 1))))
    assert "these numbers mean nothing" in report.markdown(EXPERIMENTS["gta_cityscapes_sample"],
                                                           STAGES, [1], "command")
    assert "**" not in report.markdown(TOY, STAGES, [1], "command")


def test_parameters_of_the_full_front_end_are_those_of_vgg_16():
    # 14,714,688 in the convolutions; fc6 7x7x512x4096, fc7 4096x4096, final 4096x19, and biases
    assert cost.parameters(FULL, 19) == (14714688 + 7 * 7 * 512 * 4096 + 4096
                                         + 4096 * 4096 + 4096 + 4096 * 19 + 19)


def test_cost_model_counts_what_caffe_allocates(tmp_path):
    import caffe

    from models.adaptation import deploy_net
    path = tmp_path / "net.prototxt"
    path.write_text(str(deploy_net(SLIM, 8, (1, 2, 3), (80, 144))))
    net = caffe.Net(str(path), caffe.TEST)
    learnt = sum(blob.count for name, blobs in net.params.items() if name != "score"
                 for blob in blobs)
    assert cost.parameters(SLIM, 8) == learnt


def test_training_options_are_handed_to_every_training_and_to_no_other_command():
    for task in plan.with_training_options(plan.tasks(TOY), ["--tensorboard"]):
        assert ("--tensorboard" in task.argv) == (os.path.basename(task.argv[1]) == "train.py")


# ---- the list of the experiments


def test_list_tells_of_every_experiment_what_it_is_its_data_and_hours(repo_root):
    shown = subprocess.run([sys.executable, os.path.join(repo_root, "tools/run_experiment.py"),
                            "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout
    paragraphs = shown.strip().split("\n\n")
    assert [paragraph.split("\n")[0] for paragraph in paragraphs] == list(EXPERIMENTS)
    texts = {paragraph.split("\n")[0]: " ".join(paragraph.split()) for paragraph in paragraphs}
    for text in texts.values():
        assert "data: " in text and "hours: " in text and "GA: domain loss " in text
    assert "data: gta5 all, cityscapes train (images), cityscapes val" in texts["gta"]
    assert "Table 1" in texts["gta"]
    assert re.search(r"hours: .*\d on one GPU in TF32, by passes as measured once", texts["gta"])
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_hours_of_a_whole_experiment_are_the_sum_of_its_stages(monkeypatch):
    monkeypatch.setattr(hours, "seconds_an_iteration", lambda *_: (2.0, "a log"))
    expected = sum(schedule.max_iter for schedule in TOY.schedules.values()) * 2.0 / 3600
    assert hours.whole(TOY, plan.tasks(TOY), listing.CPU) == (pytest.approx(expected), "a log")
    monkeypatch.setattr(hours, "seconds_an_iteration", lambda *_: (None, ""))
    assert hours.whole(TOY, plan.tasks(TOY), listing.CPU) is None
    assert "not known" in listing.duration(TOY)


def test_the_report_has_the_probes_of_the_stages_that_have_any(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", str(tmp_path))
    for stage, seed, values in (("control", 1, {"seg_loss": 1}), ("control", 2, {"seg_loss": 1}),
                                ("ga", 1, {"domain_gradient_ratio": 0.1}),
                                ("ga", 2, {"domain_gradient_ratio": 0.2}),
                                ("ca", 1, {"mil_precision": 0.75}), ("ca", 2, {})):
        folder = tmp_path / plan.run_folder(TOY, stage, seed)
        folder.mkdir(parents=True)
        # the first half does not count
        lines = [{"mil_recall": 9, "domain_gradient_ratio": 9}, values]
        (folder / "log.jsonl").write_text("".join(
            json.dumps({"kind": "train", "iteration": number, "values": line}) + "\n"
            for number, line in enumerate(lines)))
    table = report.probe_table(TOY, ["control", "ga", "ca"], [1, 2])
    assert list(table.header) == ["", "dom/seg", "presence, precision"]
    assert table.rows == [["GA", "0.15 ± 0.07", ""], ["CA", "", "0.75"]]
    assert report.probe_table(TOY, ["control"], [1, 2]) is None
