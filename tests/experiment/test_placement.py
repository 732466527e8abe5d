"""Which command of an experiment computes where: chosen, recorded, assigned; and the hours left."""
import argparse
import json
import os
import re
import sys

import pytest

from data.errors import InputError
from models.experiments import EXPERIMENTS
from tools import run_experiment, tune_adaptation
from tools.lib.experiment import hours, placement, plan, preconditions, report, scheduler, tuning
from tools.lib.experiment.placement import Placement
from tools.lib.experiment.plan import Task

from made_runs import smallest_record

TOY, GTA = EXPERIMENTS["toy"], EXPERIMENTS["gta"]
GPUS = ["gpu:0", "gpu:1"]
CPU = Placement((), False, 1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """No run of this checkout and no variable of this shell counts."""
    monkeypatch.delenv("CAFFE_TF32", raising=False)
    for module in (placement, plan, hours, scheduler):
        monkeypatch.setattr(module, "ROOT", str(tmp_path))
    return tmp_path


def options(device=None, tf32=False, jobs=None):
    return argparse.Namespace(device=device, tf32=tf32, jobs=jobs)


def write_run(folder, stage, device, tf32=False, rates=(), experiment=TOY):
    """A run's record and its log, a line a rate, of the iterations 10, 20 and so on."""
    run = folder / plan.run_folder(experiment, stage, 1)
    run.mkdir(parents=True)
    (run / "record.json").write_text(
        smallest_record(options={"device": device, "tf32": tf32}))
    (run / "log.jsonl").write_text("".join(
        json.dumps({"kind": "train", "iteration": 10 * number, "iterations_per_second": rate})
        + "\n" for number, rate in enumerate(rates, 1)))


# ---- the choice

def test_without_the_option_the_cpu_computes_several_commands_at_a_time():
    assert placement.choose(plan.tasks(TOY), options(), 4) == ((), False, 4)
    assert placement.choose(plan.tasks(TOY), options(jobs=3), 4) == ((), False, 3)
    assert placement.choose(plan.tasks(TOY), options(["cpu"]), 4) == (("cpu",), False, 4)


def test_gpus_have_a_command_each():
    chosen = placement.choose(plan.tasks(TOY), options(GPUS, tf32=True), 4)
    assert chosen == (("gpu:0", "gpu:1"), True, 2) and chosen.on_gpu
    assert placement.choose(plan.tasks(TOY), options(GPUS, jobs=2), 4).jobs == 2
    with pytest.raises(InputError, match=r"--jobs 3 with 2 GPU\(s\): a GPU has one command"):
        placement.choose(plan.tasks(TOY), options(GPUS, jobs=3), 4)


def test_an_experiment_goes_on_where_its_runs_recorded(folder):
    write_run(folder, "source", "gpu:2", tf32=True)
    write_run(folder, "ga", "gpu", tf32=True)
    write_run(folder, "ca", None)
    tasks = plan.tasks(TOY)
    assert placement.choose(tasks, options(), 4) == (("gpu:0", "gpu:2"), True, 2)
    assert placement.choose(tasks, options(["gpu:7"]), 4) == (("gpu:7",), True, 1)
    # a record that cannot be read is left to train.py
    for stage, text in (("source", "{}"), ("ga", smallest_record(options=5))):
        (folder / plan.run_folder(TOY, stage, 1) / "record.json").write_text(text)
    assert placement.choose(tasks, options(), 4) == ((), False, 4)


def test_tf32_on_the_cpu_is_refused():
    for device in (None, ["cpu"]):
        with pytest.raises(InputError, match="--tf32 is a way to compute on a GPU"):
            placement.choose(plan.tasks(TOY), options(device, tf32=True), 4)


def test_runs_of_another_precision_are_refused(folder):
    write_run(folder, "source", "gpu:0", tf32=False)
    tasks = plan.tasks(TOY)
    preconditions.require_precision(tasks)
    fast = placement.with_precision(tasks, Placement(("gpu:0",), True, 1))
    with pytest.raises(InputError, match="source seed 1: .*trained in float32, and TF32 is asked"):
        preconditions.require_precision(fast)
    write_run(folder, "ga", "gpu:0", tf32=True)
    with pytest.raises(InputError, match="ga seed 1: .*trained in TF32, and float32 is asked"):
        preconditions.require_precision(tasks)


def test_tf32_is_handed_to_every_training_and_to_no_other_command():
    made = tuning.variants(TOY, "ga", [])
    for tasks in (plan.tasks(TOY), tuning.tasks(TOY, made, [101])):
        for task in placement.with_precision(tasks, Placement(("gpu:0",), True, 1)):
            assert ("--tf32" in task.argv) == (os.path.basename(task.argv[1]) == "train.py")
        assert placement.with_precision(tasks, CPU) == tasks


# ---- the assignment

def test_the_tasks_that_run_a_net_take_a_device():
    made = tuning.variants(TOY, "ga", [])
    for task in plan.tasks(GTA) + tuning.tasks(TOY, made, [101]):
        assert task.computes == (os.path.basename(task.argv[1]) in ("train.py", "test.py"))


#: Writes its times and its arguments; $NAME.done holds them.
TIMED = """import json, sys, time
name, start = sys.argv[1], time.time()
time.sleep(0.3)
json.dump([start, time.time(), sys.argv[2:]], open(name + ".done", "w"))
"""


def timed(name, computes=True, needs=()):
    return Task(name, [sys.executable, "-c", TIMED, name], needs, name + ".done", "",
                computes=computes)


def run_timed(folder, tasks, jobs, devices):
    """{name: [start, end, arguments]} of the tasks as they ran."""
    scheduler.run(tasks, jobs, 1, str(folder / "logs"), devices)
    return {task.name: json.loads((folder / task.result).read_text()) for task in tasks}


def test_a_gpu_never_has_two_commands_at_once_and_all_are_used(folder):
    tasks = [timed(f"task{number}") for number in range(6)]
    found = run_timed(folder, tasks + [timed("after", needs=("task0", "task5"))], 2, GPUS)
    by_gpu = {}
    for start, end, arguments in found.values():
        assert arguments[0] == "--device"
        by_gpu.setdefault(arguments[1], []).append((start, end))
    assert set(by_gpu) == set(GPUS) and min(map(len, by_gpu.values())) >= 2
    for times in by_gpu.values():
        times.sort()
        for (_, end), (start, _) in zip(times, times[1:]):
            assert end <= start


def test_a_task_that_computes_nothing_keeps_no_gpu(folder):
    found = run_timed(folder, [timed("count", computes=False), timed("train")], 1, ["gpu:3"])
    assert found["count"][2] == [] and found["train"][2] == ["--device", "gpu:3"]


def test_on_the_cpu_the_device_is_handed_on_where_it_was_named(folder):
    tasks = [timed("a"), timed("b", computes=False)]
    found = run_timed(folder, tasks, 2, ["cpu"])
    assert [found[name][2] for name in "ab"] == [["--device", "cpu"], []]
    assert run_timed(folder, [timed("c")], 2, ())["c"][2] == []


def test_at_most_so_many_commands_run_on_the_cpu_at_a_time(folder):
    found = run_timed(folder, [timed(name) for name in "abc"], 1, ["cpu"])
    times = sorted(found.values())
    assert all(before[1] <= after[0] for before, after in zip(times, times[1:]))


def test_the_picture_is_drawn_on_the_device(monkeypatch):
    drawn = []
    monkeypatch.setattr(report.subprocess, "run", lambda argv, **keys: drawn.append(argv))
    report.draw(TOY, ["source"], 1, None, "x.png", device="gpu:1")
    report.draw(TOY, ["source"], 1, None, "x.png")
    assert drawn[0][-2:] == ["--device", "gpu:1"] and "--device" not in drawn[1]


# ---- the commands

@pytest.mark.parametrize("command, arguments", [
    (run_experiment, ["toy"]),
    (tune_adaptation, ["toy", "--stage", "ga", "--seeds", "101"])])
def test_the_commands_hand_devices_and_precision_to_the_scheduler(
        command, arguments, folder, monkeypatch, capsys):
    runs = []
    monkeypatch.setattr(tuning, "ROOT", str(folder))
    monkeypatch.setattr(scheduler, "run", lambda *arguments: runs.append(arguments))
    monkeypatch.setattr(placement, "require_gpus", lambda devices: runs.append(devices))
    monkeypatch.setattr(report, "write", lambda *arguments, frames: runs.append(arguments))
    monkeypatch.setattr(tuning, "table", lambda *ignored: sys.exit(0))
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--device", "gpu:0,gpu:1", "--tf32"])
    try:
        command.main()
    except SystemExit:
        pass
    required, (tasks, jobs, _, _, devices), *written = runs
    assert required == devices == ("gpu:0", "gpu:1") and jobs == 2
    assert all("--tf32" in task.argv for task in tasks if task.stage)
    assert "on gpu:0, gpu:1 in TF32; hours of training not known" in capsys.readouterr().out
    assert [arguments[-1] for arguments in written] == (["gpu:0"] * (command is run_experiment))


@pytest.mark.parametrize("command, arguments", [
    (run_experiment, ["toy"]),
    (tune_adaptation, ["toy", "--stage", "ga", "--seeds", "101"])])
def test_a_gpu_that_is_not_there_ends_the_command_before_the_first_task(
        command, arguments, folder, monkeypatch):
    monkeypatch.setattr(tuning, "ROOT", str(folder))
    monkeypatch.setattr(scheduler, "run", lambda *ignored: pytest.fail("a task was started"))
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--device", "gpu:63"])
    with pytest.raises(InputError, match="--device gpu:63: Caffe refuses it: ") as refused:
        command.main()
    assert "--device cpu" in refused.value.fix


# ---- the hours

def test_hours_of_the_papers_experiments_are_those_of_the_passes_measured_on_an_h200(repo_root):
    tasks = plan.tasks(GTA, ("source", "ga", "ga_ca"))
    told = hours.describe(GTA, tasks, Placement(("gpu:0",), True, 1))
    # 40,000 x 8 passes of 16 ms, 10,000 x 8 of 33 ms, 10,000 x 8 of 40 ms: 3.04 hours
    assert told.startswith("on gpu:0 in TF32; about 3 hours of training left")
    assert "docs/results/gpu.md" in told
    with open(os.path.join(repo_root, "docs", "results", "gpu.md"), encoding="utf-8") as file:
        page = " ".join(file.read().split())
    assert re.search("16 ms a source pass, 33 ms a GA pass and 40 ms a GA \\+ CA pass", page)
    told = hours.describe(GTA, tasks, Placement(("gpu:0",), False, 1))
    assert "on gpu:0 in float32; about 7.2 hours" in told and "as long, about 7.2." in page


def test_two_gpus_share_the_stages_that_do_not_wait_for_each_other():
    tasks = [Task(name, [], needs, name, "") for name, needs in (
        ("source", ()), ("ga", ("source",)), ("ca", ("source",)), ("test", ("ca",)))]
    left = dict(source=4.0, ga=2.0, ca=1.0)
    assert hours.duration(tasks, left, 1) == 7.0
    assert hours.duration(tasks, left, 2) == 6.0


def test_nothing_is_promised_where_nothing_was_measured(folder):
    for experiment, chosen in ((TOY, Placement(("gpu:0",), True, 1)), (GTA, CPU)):
        told = hours.describe(experiment, plan.tasks(experiment), chosen)
        assert "hours of training not known for source, control, ga, ca, ga_ca" in told


def test_the_rate_is_that_of_the_stages_log_or_of_an_earlier_stage_by_images(folder):
    write_run(folder, "source", "cpu", rates=(2, 4, 4))      # 30 iterations done, 4 a second
    tasks = plan.tasks(TOY, ("source", "ga"))
    told = hours.describe(TOY, tasks, CPU)
    steps = [TOY.schedules[stage].max_iter for stage in ("source", "ga")]
    sizes = [TOY.schedules[stage].iter_size for stage in ("source", "ga")]
    # an iteration of GA reads images of two domains
    expected = (0.25 * (steps[0] - 30) + 0.25 * 2 * sizes[1] / sizes[0] * steps[1]) / 3600
    assert told == (f"on the CPU; about {expected:.2g} hours of training left, by the log of "
                    "source seed 1")
    write_run(folder, "ga", None, rates=(1,))
    assert "by the log of source seed 1 and the log of ga seed 1" in hours.describe(
        TOY, tasks, CPU)


@pytest.mark.parametrize("device, tf32", [("cpu", False), ("gpu:0", False)])
def test_a_log_of_another_device_or_precision_says_nothing(folder, device, tf32):
    write_run(folder, "source", device, tf32, rates=(4,))
    chosen = Placement(("gpu:0",), True, 1)
    assert "not known" in hours.describe(TOY, plan.tasks(TOY, ["source"]), chosen)


def test_a_finished_plan_has_nothing_left_to_train(folder):
    tasks = plan.tasks(TOY, ["source"])
    path = folder / tasks[0].result
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert hours.describe(TOY, tasks, CPU) == "on the CPU; nothing left to train"
