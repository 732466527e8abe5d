"""The training benchmark: its command, its table, its ratios, and PyTorch's environment."""
import json
import os
import stat
from dataclasses import replace

import pytest

pytest.importorskip("caffe")
from data.errors import InputError
from models.shapes import SLIM
from tools.bench import bench_training, step_process, torch_env, training_step
from tools.bench.timing import paired_ratio, ratio_text
from tools.lib.runtime import wheels

#: Stands for a Python with PyTorch: checks what it is given, then takes steps of known length.
STAND_IN = """#!%s
import json, sys
spec = json.loads(sys.argv[2])
assert spec["fc"] == 8 and spec["size"] == [16, 24] and spec["threads"] >= 1, spec
parameters = int(open(sys.argv[0] + ".count").read())
print(json.dumps({"version": "9.9", "parameters": parameters}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": 0.5, "gradients": 0.25}), flush=True)
"""


@pytest.fixture
def slim(monkeypatch):
    """Few channels in the place of VGG's."""
    monkeypatch.setattr(bench_training, "GTA", replace(bench_training.GTA, shape=SLIM))


@pytest.fixture
def stand_in(tmp_path, outside_python):
    """Function of a number of parameters: path of a Python that answers as torch_step.py does."""
    def make(parameters):
        path = tmp_path / "python"
        path.write_text(STAND_IN % outside_python)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "python.count").write_text(str(parameters))
        return str(path)
    return make


def parameters(channels, fc, classes):
    """Parameters of the front-end, counted by hand.

    3x3, 7x7, 1x1 and 1x1 convolutions, biases, and the kernels of the upsampling.
    """
    count, inputs = 0, 3
    for outputs, convs in zip(channels, (2, 2, 3, 3, 3)):
        for _ in range(convs):
            count, inputs = count + 9 * inputs * outputs + outputs, outputs
    for ins, outs, taps in ((inputs, fc, 49), (fc, fc, 1), (fc, classes, 1)):
        count += taps * ins * outs + outs
    return count + classes * 16 * 16


def table(path):
    """{first cell: [other cells]} of a Markdown table."""
    rows = [line.strip("| \n").split(" | ") for line in open(str(path)) if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def test_all_three_comparisons_are_in_the_table(slim, stand_in, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    output = tmp_path / "speed.md"
    python = stand_in(parameters(SLIM.channels, 8, 19))
    bench_training.main(["--size", "16", "24", "--width", "8", "--repeats", "2",
                         "--output", str(output), "--torch-python", python])
    rows = table(output)
    assert rows["tools/train.py / bare solver.step"][1] == "1.05"
    assert rows["tools/train.py / PyTorch"][1] == "1.1"
    assert rows["PyTorch 9.9, one step"][0] == "500.0 ms"
    assert rows["GA / source-only"][1] == "1.08"
    assert rows["share of the Python layers together"][1].startswith("1 %")
    assert {"share of domain_features", "share of domain_loss", "load average at the start",
            "processor"} <= set(rows)
    assert "No comparison with PyTorch" not in output.read_text()
    assert "tools/train.py / PyTorch" in capsys.readouterr().out


def test_another_net_in_pytorch_is_noticed(slim, stand_in, tmp_path):
    shape = SLIM._replace(fc=8)
    python = stand_in(parameters(SLIM.channels, 8, 19) + 1)
    spec = training_step.torch_spec(shape, (16, 24), 19, 1)
    with step_process.TorchSteps(python, spec) as torch, \
            pytest.raises(AssertionError, match="the nets differ"):
        training_step.measure(shape, (16, 24), 1, None, str(tmp_path), torch)


def test_spec_holds_the_numbers_of_the_committed_solver():
    spec = json.loads(json.dumps(training_step.torch_spec(SLIM, (16, 24), 19, 3)))
    assert (spec["rate"], spec["momentum"], spec["weight_decay"]) == pytest.approx(
        (1e-4, 0.99, 5e-4))
    assert spec["convs"] == [2, 2, 3, 3, 3] and spec["stride"] == 8 and spec["threads"] == 3


def test_ratio_is_the_median_of_the_pairs_not_the_ratio_of_the_medians():
    ratio = paired_ratio([1.0, 10.0, 6.0], [1.0, 5.0, 2.0])
    assert ratio == (2.0, 1.0, 3.0)             # medians alone would give 6 / 2 = 3
    assert ratio_text(ratio) == "2.000 (1.000 to 3.000)"


def test_unpaired_times_have_no_ratio():
    with pytest.raises(ValueError, match="2 times and 1 others"):
        paired_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError):
        paired_ratio([], [])


def test_the_guard_is_shared_among_the_iterations_of_a_display():
    turns = training_step.Turns({"bare": None})
    turns.times, turns.gradients = {"loop": [1.0, 3.0], "bare": [1.0, 2.0]}, {"bare": [0.5, 1.0]}
    rows = {row[0]: row[1] for row in bench_training.step_rows(turns, 4.0, 20, None)}
    assert rows["of it, a 20th of the display's guard"] == "200.0 ms"
    assert rows["tools/train.py / bare solver.step"] == "1.400 (1.200 to 1.600)"
    assert rows["of it, forward and backward"] == "750.0 ms"


def test_layer_rows_are_those_of_the_given_times():
    times = {"source": [{"conv": 1.0}, {"conv": 2.0}],
             "ga": [{"conv": 1.0, "gate": 0.25}, {"conv": 2.0, "gate": 0.75}]}
    rows = {row[0]: row[1] for row in bench_training.layer_rows(times, ["gate"])}
    assert rows["GA / source-only"] == "1.312 (1.250 to 1.375)"
    assert rows["share of gate"] == "25.000 %" == rows["share of the Python layers together"]


def test_the_first_turn_is_not_counted():
    steps = iter([dict(seconds=9.0, gradients=8.0), dict(seconds=2.0, gradients=1.0)])
    turns = training_step.Turns({"bare": lambda: next(steps)})
    turns.check(0, {})
    turns.check(1, {})
    assert turns.times["bare"] == [2.0] and turns.gradients["bare"] == [1.0]
    assert len(turns.times["loop"]) == 1


def test_without_a_python_to_make_it_with_the_reason_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_env.shutil, "which", lambda name: None)
    with pytest.raises(torch_env.NoTorch, match="no python3 on the PATH"):
        torch_env.torch_python(folder=str(tmp_path / "env"))


def test_a_failed_environment_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_env.shutil, "which", lambda name: "/bin/false")
    monkeypatch.setattr(torch_env, "ask", lambda python, question: "3.11")
    with pytest.raises(torch_env.NoTorch, match="could not be made"):
        torch_env.torch_python(folder=str(tmp_path / "env"))
    assert os.listdir(str(tmp_path)) == []


def test_where_the_index_has_no_build_for_the_cpu_the_one_for_cuda_stands_in(
        tmp_path, monkeypatch, outside_python):
    asked = []

    def make(python, packages, folder):
        asked.append(os.path.basename(packages).split("-")[0])
        if asked[-1] == torch_env.CPU:
            raise torch_env.NoTorch("no such wheel")

    monkeypatch.setattr(torch_env, "_make", make)
    assert torch_env.torch_python(folder=str(tmp_path / "env")).startswith(str(tmp_path))
    assert asked == [torch_env.CPU, torch_env.CUDA]
    monkeypatch.setattr(torch_env, "CUDA", torch_env.CPU)
    with pytest.raises(torch_env.NoTorch, match="no such wheel"):
        torch_env.torch_python(folder=str(tmp_path / "env"))


@pytest.mark.parametrize("kind", [torch_env.CPU, torch_env.CUDA])
def test_pytorch_and_all_that_it_needs_is_locked_by_hash(kind):
    found = wheels.locked(torch_env.lock(kind, "3.11"))
    assert {"torch", "numpy", "sympy", "threadpoolctl", "typing-extensions"} <= set(found)
    assert found["torch"][0] == ("2.13.0+cpu" if kind == torch_env.CPU else "2.13.0")
    assert ("nvidia-cublas" in found) == (kind == torch_env.CUDA)


def test_a_python_without_pytorch_is_an_error_that_says_what_it_needs(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit "
                      "1\n")
    python.chmod(0o755)
    with pytest.raises(InputError, match="No module named 'torch'(.|\n)*torch.in"):
        with step_process.TorchSteps(str(python), {}):
            pass


@pytest.mark.parametrize("arguments, smaller", [
    ([], False), (["--width", "64"], True), (["--size", "64", "64"], True)])
def test_a_smaller_check_says_that_it_is_one(arguments, smaller):
    sentences = bench_training.notes(bench_training.parse(arguments), None)
    assert any("smaller check" in sentence for sentence in sentences) == smaller


def test_sizes_that_the_net_cannot_take_are_refused():
    with pytest.raises(InputError, match="multiples of 8"):
        bench_training.parse(["--size", "20", "16"])


def test_a_data_root_without_the_frames_is_named_before_anything_is_measured(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=f"--data-root {root}: .*{root}"):
            bench_training.main(["--data-root", str(root)])
