"""Numbers on command lines: what makes no sense is refused by the name of its flag, before anything
starts."""
import argparse
import importlib
import sys

import pytest

from data.errors import InputError
from tools.bench.scaling import measure
from tools.lib.command import INPUT_ERROR, count, positive, seed


@pytest.mark.parametrize("kind, texts, values", [
    (count, ["1", "2147483647"], [1, 2147483647]), (seed, ["0", "7"], [0, 7]), (positive, ["0.5", "1e3"], [0.5, 1000.0])])
def test_numbers_are_taken(kind, texts, values):
    assert [kind(text) for text in texts] == values


@pytest.mark.parametrize("kind, texts", [
    (count, ["0", "-1", "2147483648"]), (seed, ["-1", "2147483648"]), (positive, ["0", "-1", "nan", "inf"])])
def test_what_makes_no_sense_is_refused_with_what_was_expected(kind, texts):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match="expected a (whole )?number .*found "
                                                             f"{text}"):
            kind(text)


@pytest.mark.parametrize("command, arguments", [
    ("tools.bench.bench_constraints", ["--height", "0"]), ("tools.bench.bench_constraints", ["--width", "-1"]),
    ("tools.bench.bench_constraints", ["--repeats", "0"]), ("tools.bench.bench_layers", ["--repeats", "0"]),
    ("tools.bench.bench_layers", ["--images", "0"]), ("tools.bench.bench_scaling", ["--steps", "0"]),
    ("tools.bench.bench_scaling", ["--tflops", "0"]), ("tools.bench.bench_scaling", ["--bus", "0"]),
    ("tools.bench.bench_scaling", ["--memory", "0"]), ("tools.bench.bench_scaling", ["--network", "nan"]),
    ("tools.bench.bench_scaling", ["--share", "1"]), ("tools.bench.bench_scaling", ["--window", "0", "8"]),
    ("tools.bench.scoring_command", ["--images", "0"]), ("tools.bench.scoring_command", ["--repeats", "0"]),
    ("tools.bench.training_command", ["--repeats", "0"]), ("tools.bench.training_command", ["--width", "0"]),
    ("tools.bench.gpu_command", ["--repeats", "0"]), ("tools.bench.gpu_command", ["--width", "0"]),
    ("tools.bench.endurance.command_line", ["kills", "--kills", "0"]),
    ("tools.bench.endurance.command_line", ["memory", "--iterations", "199"]),
    ("tools.lib.categories.statistics_command", ["--dataset", "toy", "--split", "val", "--output", "x", "--window", "0", "8"]),
    ("tools.build.build_caffe", ["--jobs", "0"]),
] + [
    ("tools.lib." + command, ["--resize", factor]) for factor in ("1e9", "0.001", "16.1", "nan", "-1") for command in (
        "scoring.score_command", "scoring.predict_command", "scoring.figure_command", "categories.report_command")
])
def test_a_command_refuses_numbers_that_mean_nothing(command, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [command] + arguments)
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(command).main()
    flag = [argument for argument in arguments if argument.startswith("--")][-1]
    assert stop.value.code == INPUT_ERROR and f"{flag}: expected" in capsys.readouterr().err


def test_the_scaling_of_a_net_that_is_not_there_or_no_net_is_not_measured(monkeypatch, tmp_path):
    bench = importlib.import_module("tools.bench.bench_scaling")
    monkeypatch.setattr(measure, "launch", lambda *ignored: pytest.fail("it was started"))
    monkeypatch.setattr(sys, "argv", ["bench_scaling.py", "--net", "nosuch"])
    with pytest.raises(InputError, match='--net "nosuch" does not exist'):
        bench.main()
    (tmp_path / "net.prototxt").write_text("layers of cake")
    monkeypatch.setattr(sys, "argv", ["bench_scaling.py", "--net", str(tmp_path / "net.prototxt")])
    with pytest.raises(InputError, match="net.prototxt"):
        bench.main()


def test_a_scaling_that_fails_says_what_caffe_said(tmp_path):
    (tmp_path / "net.prototxt").write_text('layer { name: "a" type: "ReLU" bottom: "nothing" top: '
                                           '"a" }')
    with pytest.raises(InputError, match="1 processes have measured nothing: Unknown bottom blob "
                                         "'nothing'"):
        measure.launch(1, str(tmp_path / "net.prototxt"), 1)
