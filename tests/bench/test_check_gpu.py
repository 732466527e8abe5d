"""tools/check_gpu.py: one run on the CPU, its page when it is killed, out of time, or fails."""
import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data.errors import InputError
from tools.bench import check_page, check_parts, check_steps, check_training, gpu_check
from tools.bench.check_page import Page, Part, run_parts
from tools.bench.gpu_engines import Result
from tools.lib.tables import Table

COMMAND = os.path.join("tools", "check_gpu.py")
FACTS = {"computed on": "cpu", "commit": "unknown"}


def script(path, text):
    """An executable file with that shell script; its path."""
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(scope="module")
def run_on_cpu(tmp_path_factory, outside_python, repo_root):
    """(exit code, output, page) of the whole command, without PyTorch."""
    folder = tmp_path_factory.mktemp("check")
    torch = script(folder / "python", "echo \"No module named 'torch'\" >&2; exit 1\n")
    path = folder / "page.md"
    done = subprocess.run(
        [outside_python, COMMAND, "--device", "cpu", "--minutes", "12", "--torch-python", torch,
         "--output", str(path)], cwd=repo_root, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout, path.read_text()


def test_on_the_cpu_every_part_passes(run_on_cpu):
    code, output, page = run_on_cpu
    assert code == 0, output
    for part in check_parts.parts(None):
        assert f"| {part.title} | passed |" in page and f"{part.title}: passed" in output


def test_the_page_names_the_machine_and_the_versions(run_on_cpu, repo_root):
    page = run_on_cpu[2]
    assert page.startswith(
        "Written by `python3 tools/check_gpu.py --device cpu --minutes 12`.\n\n| | |\n|---|---|\n")
    for name in ("processor", "commit", "runtime", "Caffe", "Python", "packages"):
        assert f"\n| {name} | " in page
    assert "| cards | none: no GPU was seen |" in page or "\n| driver | " in page
    assert "| PyTorch | none in " in page and "No module named 'torch' |" in page
    assert repo_root not in page and "/tmp" not in page


def test_every_result_is_on_the_page_and_in_the_output(run_on_cpu):
    _, output, page = run_on_cpu
    for text in ("python layers: work, forward and backward", " passed, 0 failed, ",
                 "PyTorch is left out: none in ", "Stopped by SIGTERM after iteration ",
                 "have the same bytes as those of a run never stopped", "float32: "):
        assert text in page and text in output
    for row in ("| Caffe | 1 + 1 | ", "| Caffe | 2 + 2 | ", "| conv1_1 | ", "| mil_loss | ",
                "| all layers | "):
        assert row in page
    assert "iterations a second" in page


def test_without_a_gpu_the_command_names_the_check_that_needs_none(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check.machine, "cards", lambda: ["a card"])
    path = tmp_path / "page.md"
    with pytest.raises(InputError, match="gpu:1: CUDA sees 1 NVIDIA GPU(.|\n)*--device cpu"):
        gpu_check.main(["--device", "gpu:1", "--output", str(path)])
    assert not path.exists()


def fake(monkeypatch, parts):
    """Gives the command other parts, and facts that take no time."""
    monkeypatch.setattr(check_parts, "parts", lambda gpu: parts)
    monkeypatch.setattr(check_parts, "facts", lambda *_: FACTS)
    monkeypatch.setattr(check_parts, "find_torch", lambda *_: (None, "none"))


def fails(settings):
    yield "before it"
    raise InputError("wrong bytes", "buy another card")


def crashes(settings):
    yield "before that"
    raise ZeroDivisionError("by nothing")


def works(settings):
    yield Table(["layer", "ms"], [["fc6", "1.0"]])


def test_a_part_that_fails_is_reported_the_others_run_and_the_exit_code_is_1(
        tmp_path, monkeypatch, capsys):
    fake(monkeypatch, [Part("one", 0, fails), Part("two", 0, crashes), Part("three", 0, works)])
    path = tmp_path / "page.md"
    assert gpu_check.main(["--device", "cpu", "--output", str(path)]) == 1
    page, output = path.read_text(), capsys.readouterr().out
    for text in ("| one | FAILED | 0 |", "before it\n\nwrong bytes\n", "buy another card",
                 "| two | FAILED | 0 |", "ZeroDivisionError: by nothing", "| three | passed | 0 |",
                 "| fc6 | 1.0 |"):
        assert text in page
    assert "2 part(s) failed" in output and "one: FAILED" in output
    monkeypatch.setattr(check_parts, "parts", lambda gpu: [Part("three", 0, works)])
    assert gpu_check.main(["--device", "cpu", "--output", str(path)]) == 0


def sleeps(settings):
    yield "awake"
    time.sleep(60)


def test_when_the_time_is_over_a_part_is_stopped_and_the_rest_skipped(tmp_path, capsys):
    parts = [Part("long", 0, sleeps), Part("next", 2, works)]
    page = Page(str(tmp_path / "page.md"), "command", FACTS, [part.title for part in parts])
    began = time.monotonic()
    assert run_parts(page, parts, None, began + 0.3) == 0
    assert time.monotonic() - began < 30
    text = (tmp_path / "page.md").read_text()
    assert "| long | stopped: the time was over | 0 |" in text and "\nawake\n" in text
    assert "| next | skipped: 0 s were left, and it needs about 2 s |  |" in text
    assert "fc6" not in text and "next: skipped" in capsys.readouterr().out


#: Runs fake parts, of which the second waits.  Argument: the page.
WAITING = """
import sys, time
from tools.bench import gpu_check, check_parts
from tools.bench.check_page import Part
from tools.lib.command import run_command
def first(settings): yield "36 passed"
def second(settings): yield "half of it"; time.sleep(60)
check_parts.parts = lambda gpu: [Part("tests", 0, first), Part("steps", 0, second),
                                 Part("toy", 0, first)]
check_parts.facts = lambda *_: {"commit": "unknown"}
check_parts.find_torch = lambda *_: (None, "none")
run_command(lambda: gpu_check.main(["--device", "cpu", "--output", sys.argv[1]]))
"""


@pytest.mark.parametrize("number, code, outcome", [
    (signal.SIGKILL, -9, check_page.RUNNING), (signal.SIGTERM, 130, "interrupted")])
def test_a_killed_run_leaves_a_whole_page(tmp_path, repo_root, number, code, outcome):
    path = tmp_path / "page.md"
    process = subprocess.Popen([sys.executable, "-c", WAITING, str(path)], cwd=repo_root,
                               env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (path.exists() and "half of it" in path.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait() == code
    finally:
        process.kill()
        process.wait()
    page = path.read_text()
    assert page.startswith("Written by `python3 tools/check_gpu.py --device cpu --minutes 5`.\n")
    assert "| tests | passed | 0 |" in page and f"| steps | {outcome} |" in page
    assert "| toy | waiting |  |" in page
    assert page.endswith("## tests\n\n36 passed\n\n## steps\n\nhalf of it\n")


def test_folders_of_the_machine_are_not_on_the_page(repo_root):
    text = (f"in {repo_root}/.caffe/usr, python3 (/opt/my/bin/python3.12), step / PyTorch's, "
            "https://example.org/a/b, tools/doctor.py, "
            f"no *.pack in {repo_root} or {os.path.dirname(repo_root)}; make one")
    assert check_page.without_folders(text) == (
        "in ./.caffe/usr, python3 (python3.12), step / PyTorch's, https://example.org/a/b, "
        "tools/doctor.py, no *.pack in . or ..; make one")


def test_pytorch_is_that_of_the_outer_python_or_left_out_with_the_reason(tmp_path):
    python = script(tmp_path / "python", "echo 2.11.0+cu130 False\n")
    assert check_parts.find_torch(python, None) == (python, "2.11.0+cu130")
    assert check_parts.find_torch(python, 0) == (None, "2.11.0+cu130, which finds no GPU")
    path, reason = check_parts.find_torch(str(tmp_path / "none"), None)
    assert path is None and "No such file" in reason


def test_the_outer_python_survives_the_way_into_the_runtime(monkeypatch):
    from tools.bench import check_options
    monkeypatch.delenv(check_options.OUTER_PYTHON, raising=False)
    assert check_options.parse([]).torch_python == sys.executable
    monkeypatch.setenv(check_options.OUTER_PYTHON, "/usr/bin/outer")
    assert check_options.parse([]).torch_python == "/usr/bin/outer"
    assert check_options.parse(["--torch-python", "mine"]).torch_python == "mine"


def settings(tmp_path, gpu=None, torch=None):
    return check_parts.Settings("cpu" if gpu is None else f"gpu:{gpu}", gpu, torch, "none",
                                str(tmp_path), [])


@pytest.mark.parametrize("body, gpu, message", [
    ("def test_x(): assert 0", None, "failed: test_x"),
    ("import pytest\ndef test_x(): pytest.skip('none')\ndef test_y(): pass", 0,
     "that need a GPU were skipped"),
    ("import pytest\ndef test_x(): pytest.skip('none')", None, "no test ran"),
])
def test_failing_and_missing_tests_of_the_gpu_fail_their_part(
        tmp_path, monkeypatch, body, gpu, message):
    path = tmp_path / "test_it.py"
    path.write_text(body)
    monkeypatch.setattr(check_parts, "TESTS", str(path))
    with pytest.raises(InputError, match=message):
        list(check_parts.gpu_tests(settings(tmp_path, gpu)))


def test_one_gpu_alone_is_shown_to_the_tests():
    assert check_parts.visible(1, {}) == "1"
    assert check_parts.visible(1, {"CUDA_VISIBLE_DEVICES": "3,GPU-5"}) == "GPU-5"


def test_a_doctor_that_misses_something_or_no_usable_gpu_fails(tmp_path, monkeypatch):
    found = [check_parts.checkup.Finding("device", "the CPU", "ok", None)]
    monkeypatch.setattr(check_parts.checkup, "examine", lambda: found)
    assert list(check_parts.doctor(settings(tmp_path))) == ["- device: the CPU (ok)"]
    found[0] = found[0]._replace(grade="slow", repair="look at nvidia-smi")
    list(check_parts.doctor(settings(tmp_path)))
    with pytest.raises(InputError, match="device: the CPU\n.*nvidia-smi"):
        list(check_parts.doctor(settings(tmp_path, gpu=0)))
    found[0] = found[0]._replace(subject="caffe", grade="MISSING")
    with pytest.raises(InputError, match="caffe: the CPU"):
        list(check_parts.doctor(settings(tmp_path)))


def test_the_page_has_no_address_of_a_mirror(tmp_path, monkeypatch):
    found = check_parts.checkup.Finding(
        "route", "open, at http://a.example/b, https://c.example/d (e)", "ok", None)
    monkeypatch.setattr(check_parts.checkup, "examine", lambda: [found])
    assert list(check_parts.doctor(settings(tmp_path))) == [
        "- route: open, at this machine's mirrors (e) (ok)"]


@pytest.fixture
def turns(monkeypatch):
    """Engines that measure nothing: {(label, images): error}; the calls are in .calls."""
    class Turns(dict):
        calls = []

        def __call__(self, engines, images, repeats):
            self.calls.append(([engine.label for engine in engines], images, repeats))
            for engine in engines:
                if (engine.label, images) in self:
                    raise InputError(self[engine.label, images])
            return [Result(engine.label, engine.tf32, images, [1.0], 2 ** 20, 9,
                           None if "PyTorch" in engine.label else {"fc6": [0.5, None, None]})
                    for engine in engines]
    found = Turns()
    monkeypatch.setattr(check_steps, "take_turns", found)
    monkeypatch.setattr(check_steps, "running_engine", lambda: ({}, 2))
    monkeypatch.setattr(check_steps.source_builds, "has_patch", lambda *_: True)
    return found


def test_on_a_gpu_both_precisions_are_compared_with_pytorch(tmp_path, turns):
    used = settings(tmp_path, gpu=0, torch=sys.executable)
    results = list(check_steps.compared_steps(used, 1))
    assert [call[:2] for call in turns.calls] == [(["Caffe", "PyTorch"], 1),
                                                  (["Caffe, TF32", "PyTorch, TF32"], 1)]
    assert [table.rows[0][4] for table in results[1:]] == ["1.000 (1.000 to 1.000)"] * 2
    assert "input 628 x 628" in results[0] and "4096 channels" in results[0]
    table = check_steps.layer_table(used)
    assert table.header[1:] == ["Caffe", "Caffe, TF32"]
    assert table.rows == [["fc6", "500.00", "500.00"], ["all layers", "500.00", "500.00"]]


def test_a_pytorch_that_ends_leaves_caffes_steps(tmp_path, turns):
    turns["PyTorch", 1] = "PyTorch ended: no kernel"
    tables = list(check_steps.compared_steps(settings(tmp_path, 0, sys.executable), 1))
    assert tables[1].notes == ["Not together with PyTorch: PyTorch ended: no kernel"]
    assert [row[0] for row in tables[1].rows] == ["Caffe"]
    turns["Caffe", 1] = "Caffe ended"
    with pytest.raises(InputError, match="Caffe ended"):
        list(check_steps.compared_steps(settings(tmp_path, 0, sys.executable), 1))


def test_the_larger_batch_is_the_first_that_fits(tmp_path, turns):
    turns["Caffe", 6] = "Caffe ended: out of memory"
    used = settings(tmp_path, 0)
    results = list(check_steps.larger_steps(used))
    assert "6 + 6 images: Caffe ended: out of memory" in results
    assert [result.images for result in used.results] == [3, 3]
    turns.update({("Caffe", images): "out of memory" for images in check_steps.LARGER})
    with pytest.raises(InputError, match="out of memory"):
        list(check_steps.larger_steps(used))


def test_a_caffe_without_tf32_is_measured_in_float32_alone(tmp_path, turns, monkeypatch):
    monkeypatch.setattr(check_steps.source_builds, "has_patch", lambda *_: False)
    results = list(check_steps.compared_steps(settings(tmp_path, 0), 1))
    assert results[-1] == "TF32 is left out: the Caffe in use has no such option."
    assert len(turns.calls) == 1
    with pytest.raises(InputError, match="no step of 1 . 1 images was measured"):
        check_steps.layer_table(settings(tmp_path))


#: Ends as train.py does after SIGTERM.
UNTIL_STOPPED = "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def runs(monkeypatch):
    """train.py that only leaves a log and its last snapshot; [its options].

    .content: bytes of a file of the snapshot, by its kind and the options.
    """
    class Runs(list):
        content = staticmethod(lambda kind, options: b"")

        def __call__(self, solver, output, log, *options):
            self.append((os.path.basename(solver), options))
            os.makedirs(output, exist_ok=True)
            with open(os.path.join(output, "log.jsonl"), "w") as file:
                file.write(json.dumps(dict(kind="train", iteration=7,
                                           iterations_per_second=34.0)) + "\n")
            for kind in ("caffemodel", "solverstate"):
                with open(os.path.join(output, f"toy_ga_ca_iter_20.{kind}"), "wb") as file:
                    file.write(self.content(kind, options))
            code = UNTIL_STOPPED if self.waits(options) else "echo ready"
            process = subprocess.Popen(["/bin/sh", "-c", code], stdout=subprocess.PIPE)
            process.stdout.readline()       # SIGTERM may come from now on
            return process

        def waits(self, options):
            return len(self) == 2
    found = Runs()
    monkeypatch.setattr(check_training, "start", found)
    return found


def test_a_resumed_run_with_other_bytes_fails(tmp_path, runs):
    assert "after iteration 7 of 20 and resumed" in list(
        check_training.stopped_and_resumed(settings(tmp_path / "same")))[0]
    assert [options for _, options in runs] == [("--device", "cpu"), ("--device", "cpu"),
                                                ("--device", "cpu", "--resume")]
    runs.clear()
    runs.content = lambda kind, options: bytes([8, "--resume" in options])     # the field iter
    with pytest.raises(InputError, match="stopped after iteration 7 .* another caffemodel than"):
        list(check_training.stopped_and_resumed(settings(tmp_path / "other")))
    runs.clear()
    runs.content = lambda kind, options: bytes([8, kind == "solverstate" and "--resume" in options])
    with pytest.raises(InputError, match="another solverstate than"):
        list(check_training.stopped_and_resumed(settings(tmp_path / "state")))


def test_a_run_that_ends_before_it_is_stopped_fails(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(runs.__class__, "waits", lambda self, options: False)
    monkeypatch.setattr(check_training, "last_iteration", lambda output: None)
    with pytest.raises(InputError, match="exit code 0, expected 143"):
        list(check_training.stopped_and_resumed(settings(tmp_path)))


def test_the_source_stage_runs_in_tf32_too_on_a_gpu(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(runs.__class__, "waits", lambda self, options: False)
    monkeypatch.setattr(check_training.source_builds, "has_patch", lambda name: True)
    results = list(check_training.source_rate(settings(tmp_path, gpu=1)))
    assert runs == [("source.prototxt", ("--device", "gpu:1", "--tf32")),
                    ("source.prototxt", ("--device", "gpu:1"))]
    assert results[0].startswith("200 iterations of the source stage, fc6 and fc7 of 4096 ")
    assert results[1].startswith("TF32: 34.0 iterations a second")
    assert results[2].startswith("float32: 34.0 iterations a second")
    text = (tmp_path / "source" / "source.prototxt").read_text()
    assert "max_iter: 200" in text and "iter_size: 1" in text and "weights" not in text
