"""Numbers on command lines: one out of range is refused with its flag before anything starts."""
import argparse
import importlib
import sys

import pytest

from data.errors import InputError
from tools.bench import bench_scaling
from tools.lib.command import INPUT_ERROR, count, number_between, positive, seed


@pytest.mark.parametrize("kind, texts, values", [
    (count, ["1", "2147483647"], [1, 2147483647]),
    (seed, ["0", "7"], [0, 7]),
    (positive, ["0.5", "1e3"], [0.5, 1000.0]),
    (number_between(0, 1), ["0", "0.5", "1"], [0.0, 0.5, 1.0]),
])
def test_numbers_are_taken(kind, texts, values):
    assert [kind(text) for text in texts] == values


@pytest.mark.parametrize("kind, texts", [
    (count, ["0", "-1", "2147483648"]),
    (seed, ["-1", "2147483648"]),
    (positive, ["0", "-1", "nan", "inf"]),
    (number_between(0, 1), ["-0.1", "1.1", "nan"]),
])
def test_a_number_out_of_range_is_refused_with_what_was_expected(kind, texts):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError,
                           match=f"expected a (whole )?number .*found {text}"):
            kind(text)


WINDOW = ["--dataset", "toy", "--split", "val", "--output", "x", "--window", "0", "8"]


@pytest.mark.parametrize("command, arguments", [
    ("tools.bench.bench_constraints", ["--height", "0"]),
    ("tools.bench.bench_constraints", ["--width", "-1"]),
    ("tools.bench.bench_constraints", ["--repeats", "0"]),
    ("tools.bench.bench_layers", ["--repeats", "0"]),
    ("tools.bench.bench_layers", ["--images", "0"]),
    ("tools.bench.bench_scaling", ["--steps", "0"]),
    ("tools.bench.bench_scaling", ["--tflops", "0"]),
    ("tools.bench.bench_scaling", ["--bus", "0"]),
    ("tools.bench.bench_scaling", ["--memory", "0"]),
    ("tools.bench.bench_scaling", ["--network", "nan"]),
    ("tools.bench.bench_scaling", ["--share", "1"]),
    ("tools.bench.bench_scaling", ["--window", "0", "8"]),
    ("tools.bench.bench_scoring", ["--images", "0"]),
    ("tools.bench.bench_scoring", ["--repeats", "0"]),
    ("tools.bench.bench_training", ["--repeats", "0"]),
    ("tools.bench.bench_training", ["--width", "0"]),
    ("tools.bench.bench_gpu", ["--repeats", "0"]),
    ("tools.bench.bench_gpu", ["--width", "0"]),
    ("tools.bench.bench_long_runs", ["kills", "--kills", "0"]),
    ("tools.bench.bench_long_runs", ["memory", "--iterations", "199"]),
    ("tools.lib.categories.statistics_command", WINDOW),
    ("tools.build.build_caffe", ["--jobs", "0"]),
] + [
    ("tools.lib." + command, ["--resize", factor])
    for factor in ("1e9", "0.001", "16.1", "nan", "-1")
    for command in ("scoring.score_command", "scoring.predict_command", "scoring.figure_command",
                    "categories.constraint_report_command")
])
def test_a_command_refuses_a_number_out_of_range(command, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [command] + arguments)
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(command).main()
    flag = [argument for argument in arguments if argument.startswith("--")][-1]
    assert stop.value.code == INPUT_ERROR and f"{flag}: expected" in capsys.readouterr().err


def test_the_scaling_of_a_missing_or_broken_net_is_not_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_scaling, "launch", lambda *ignored: pytest.fail("it was started"))
    monkeypatch.setattr(sys, "argv", ["bench_scaling.py", "--net", "nosuch"])
    with pytest.raises(InputError, match='--net "nosuch" does not exist'):
        bench_scaling.main()
    (tmp_path / "net.prototxt").write_text("layers of cake")
    monkeypatch.setattr(sys, "argv", ["bench_scaling.py", "--net", str(tmp_path / "net.prototxt")])
    with pytest.raises(InputError, match="net.prototxt"):
        bench_scaling.main()


def test_the_error_of_a_scaling_that_fails_has_caffes_message(tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "a" type: "ReLU" bottom: "nothing" top: "a" }')
    with pytest.raises(InputError, match=r"the run of 1 process\(es\) failed: Unknown bottom "
                                         "blob 'nothing'"):
        bench_scaling.launch(1, str(net), 1)
