"""Outputs of commands: an unwritable path or a full disk is reported in a sentence, and early."""
import errno
import importlib
import json
import os
import sys

import numpy as np
import pytest

from data import lmdb_writer
from data.errors import InputError
from data.files import write_aside, write_whole
from models.experiments import EXPERIMENTS, STAGES
from tools.lib import outputs
from tools.lib.confusion import Confusion
from tools.lib.experiment import report
from tools.lib.runtime import setup
from tools.lib.scoring import score_command
from tools.lib.tables import format_of

MODEL = ["--model", "none.prototxt", "--weights", "none.caffemodel"]
DATA = ["--dataset", "camvid", "--split", "val"]

#: (module with main, arguments with {} for the output, flag). All other files that they name are
#: missing: a command that checks the output later would report those first.
COMMANDS = [
    ("tools.lib.scoring.score_command", MODEL + DATA + ["--json", "{}.json"], "--json"),
    ("tools.lib.scoring.score_command", MODEL + DATA + ["--output", "{}.md"], "--output"),
    ("tools.lib.scoring.score_command", MODEL + DATA + ["--save-predictions", "{}"],
     "--save-predictions"),
    ("tools.lib.scoring.score_command", MODEL + DATA + ["--save-colours", "{}"], "--save-colours"),
    ("tools.lib.scoring.figure_command", MODEL + DATA + ["--frames", "0", "--output", "{}.png"],
     "--output"),
    ("tools.lib.scoring.predict_command",
     MODEL + ["--label-space", "toy", "none.png", "--output", "{}"], "--output"),
    ("tools.lib.experiment.paper", ["paper1", "--result", "none", "--output", "{}.md"],
     "--output"),
    ("tools.lib.categories.statistics_command", DATA + ["--output", "{}.json"], "--output"),
    ("tools.lib.categories.statistics_command", DATA + ["--show", "{}.png"], "--show"),
    ("tools.lib.categories.constraint_report_command",
     MODEL + DATA + ["--statistics", "none.json", "--output", "{}"], "--output"),
    ("tools.lib.datasets.check_command", ["--dataset", "camvid", "--json", "{}.json"], "--json"),
    ("tools.lib.datasets.lmdb_command", DATA + ["--output", "{}"], "--output"),
    ("tools.bench.bench_reading", DATA + ["--lmdb", "none", "--output", "{}.md"], "--output"),
    ("tools.make_vgg_weights", ["--sdist", "none.tar.gz", "--output", "{}"], "--output"),
    ("tools.run_experiment", ["gta", "--report", "{}"], "--report"),
    ("tools.tune_adaptation", ["toy", "--stage", "ga", "--seeds", "1", "--output", "{}.md"],
     "--output"),
    ("tools.bench.bench_scaling", ["--output", "{}.md"], "--output"),
    ("tools.build.build_caffe", ["--mirror", "none", "--work", "{}"], "--work"),
    ("tools.build.build_caffe", ["--mirror", "none", "--output", "{}"], "--output"),
    ("tools.build.build_caffe", ["--mirror", "none", "--report", "{}.md"], "--report"),
    ("tools.build.build_caffe", ["--mirror", "none", "--archive", "{}.tar.gz"], "--archive"),
    ("tools.run_tests", ["--report", "{}.md"], "--report"),
]


@pytest.mark.parametrize("command, arguments, flag", COMMANDS,
                         ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_names_its_unwritable_output_first(command, arguments, flag, tmp_path,
                                                     monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "none"))
    for place in ("/proc/none/out", str(tmp_path / "file" / "out")):
        monkeypatch.setattr(sys, "argv",
                            [command] + [argument.format(place) for argument in arguments])
        with pytest.raises(InputError, match=f"{flag} {place}.* cannot be written: no file can be "
                                             f"made in .*\n.*{flag}"):
            importlib.import_module(command).main()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_no_file_and_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (str(tmp_path), str(tmp_path / "new") + os.sep):
        with pytest.raises(InputError,
                           match="--json .*expected the name of a file, found a folder"):
            outputs.require_file(path, "--json")
    with pytest.raises(InputError, match="--output .*file cannot be written.*Not a directory"):
        outputs.require_folder(str(tmp_path / "file"), "--output")


def test_what_can_be_written_is_let_through_and_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("old")
    for path in ("x.json", "there.json", "new/newer/x.json", None):
        outputs.require_file(path, "--json")
        outputs.require_folder(path and os.path.dirname(path), "--output")
    assert format_of("new/x.md") == "markdown"
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    outputs.make_folder("new/newer", "--output")
    outputs.make_folder("new/newer", "--output")
    assert (tmp_path / "new" / "newer").is_dir()


def test_writing_makes_the_folder(tmp_path):
    write_whole(str(tmp_path / "a" / "b" / "x.txt"), "ü")
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == "ü".encode()


def test_a_full_disk_is_an_input_error_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot write .*x.txt: No space left on device"):
        write_whole(str(path), "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_written_aside_replaces_the_old_one(tmp_path):
    with write_aside(tmp_path / "x.png") as aside:
        assert aside.endswith(".png")
        open(aside, "w").close()
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_kills_of_the_only_writer_leave_no_more_than_one_file(tmp_path):
    path = tmp_path / "x.json"
    for _ in range(2):
        child = os.fork()
        if child == 0:
            with write_aside(path, only_writer=True) as aside:
                open(aside, "w").close()
                os._exit(0)
        os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1 and not path.exists()
    write_whole(path, b"whole", only_writer=True)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"whole"


def test_a_packing_that_cannot_begin_is_an_input_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError,
                       match="cannot write .*meta.json: No space left on device\n.*make room"):
        lmdb_writer._write_meta(str(tmp_path / "new"), Meta)


def test_scores_are_printed_before_they_are_written(tmp_path, monkeypatch, capsys):
    """The disk fills while the scores are computed."""
    monkeypatch.setattr(score_command, "write_whole", full)
    monkeypatch.setattr(score_command, "_score_folder", lambda *ignored: Confusion(8))
    with pytest.raises(OSError):
        score_command.main(["--predictions", str(tmp_path), "--dataset", "toy",
                            "--split", "target_val[:1]", "--json", str(tmp_path / "x.json")])
    assert "mIoU" in capsys.readouterr().out


def test_an_experiment_prints_its_tables_before_it_writes_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "collect", lambda *ignored: (["a"], np.ones((5, 1, 1))))
    monkeypatch.setattr(report, "write_whole", full)
    with pytest.raises(OSError):
        report.write(EXPERIMENTS["toy"], STAGES, [1], None, str(tmp_path / "page"))
    assert "mIoU" in capsys.readouterr().out


def test_a_picture_or_page_that_fails_ends_the_experiment_with_a_message(monkeypatch):
    monkeypatch.setattr(report, "command_of",
                        lambda *ignored: [sys.executable, "-c", "raise SystemExit(2)"])
    failed = "could not be made.*exit code 2.\n.*same command again"
    with pytest.raises(InputError, match="picture x.png " + failed):
        report.draw(EXPERIMENTS["toy"], STAGES, 1, None, "x.png")
    with pytest.raises(InputError, match="page x.html " + failed):
        report.write_page(EXPERIMENTS["toy"], STAGES, [1], None, "x.html")


def test_a_prefix_below_a_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAFFE_PREFIX", str(tmp_path / "file" / "caffe"))
    with pytest.raises(InputError, match=f"CAFFE_PREFIX {tmp_path / 'file'} cannot be written"):
        setup.set_up_runtime()


def full(*ignored, **also_ignored):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Meta:
    """Stands for data.lmdb_format.Meta."""

    @staticmethod
    def to_json():
        return json.dumps({})


def test_a_text_that_names_a_path_that_is_not_utf8_is_written(tmp_path):
    path = os.path.join(str(tmp_path), os.fsdecode(b"\xff.md"))
    write_whole(path, f"from {os.path.basename(path)}, sch\u00f6n")
    with open(path, encoding="utf-8") as file:
        assert file.read() == "from \\udcff.md, sch\u00f6n"
