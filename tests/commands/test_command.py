"""The frame of every command: what it prints and how it ends."""
import errno
import glob
import os
import re
import shlex
import subprocess
import sys

import pytest

from data.errors import InputError
from tools.lib import command
from tools.lib.command import exit_code
from tools.lib.runtime import enter


def test_the_command_that_a_page_names_can_be_given_to_a_shell(monkeypatch):
    arguments = ["--names", "source only", "--split", "train[:54]", "--note", "it's"]
    monkeypatch.setattr(sys, "argv", ["x.py"] + arguments)
    line = command.command_line("tools/test.py")
    assert shlex.split(line) == ["python3", "tools/test.py"] + arguments
    assert command.command_line("tools/test.py", ["--seed", "1"]) == (
        "python3 tools/test.py --seed 1")


def test_every_page_gets_its_command_from_there(repo_root):
    paths = glob.glob(os.path.join(repo_root, "tools", "**", "*.py"), recursive=True)
    assert len(paths) > 100
    joined = [path for path in paths
              if re.search(r"join\([^)]*sys\.argv", open(path, encoding="utf-8").read())]
    assert [os.path.basename(path) for path in joined] == ["command.py"]


def raises(problem):
    def main():
        raise problem
    return main


@pytest.mark.parametrize("returned, code", [(None, 0), (0, 0), (3, 3)])
def test_what_a_command_returns_is_its_exit_code(returned, code):
    assert exit_code(lambda: returned) == code


@pytest.mark.parametrize("problem, code, words", [
    (InputError("net.prototxt: no such file", "build it"), 2, "error: net.prototxt: no such file\n "
                                                              " build it\n"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2,
     "error: No space left on device\n  free some; temporary files go to the folder that the "
     "environment variable TMPDIR names\n"),
    (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs/logs"), 2,
     "error: runs/logs: Permission denied\n  FCN_TRACEBACK=1 shows where this happened\n"),
])
def test_a_problem_is_told_without_a_traceback(problem, code, words, capsys, monkeypatch):
    assert exit_code(raises(problem)) == code
    assert capsys.readouterr() == ("", words)
    monkeypatch.setenv("FCN_TRACEBACK", "1")
    with pytest.raises(type(problem)):
        exit_code(raises(problem))


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0)


def test_a_reader_that_leaves_is_no_error(repo_root):
    script = ("import sys; from tools.lib.command import run_command; "
              "run_command(lambda: print('line\\n' * 100000))")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=repo_root,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def commands(repo_root):
    """Names of the commands in tools/ that take options of their own."""
    names = sorted(name for name in os.listdir(os.path.join(repo_root, "tools"))
                   if name.endswith(".py") and not name.startswith("_"))
    names.remove("run_tests.py")        # it hands all of its options to pytest
    return names


def completions(tool, words, tmp_path):
    """What argcomplete answers to the shell for `python3 TOOL WORDS` with the cursor at its end."""
    line = f"python3 {tool} {words}"
    answer = tmp_path / "answer"
    done = subprocess.run(
        [sys.executable, tool], stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, _ARGCOMPLETE="2", COMP_LINE=line, COMP_POINT=str(len(line)),
                 COMP_TYPE="9", _ARGCOMPLETE_IFS="\n", _ARGCOMPLETE_STDOUT_FILENAME=str(answer)))
    assert done.returncode == 0, done.stderr
    return answer.read_text().split()


@pytest.mark.parametrize("tool, words, expected", [
    ("setup_caffe.py", "--reb", ["--rebuild"]),
    ("train.py", "--filmstrip 1 --tens", ["--tensorboard"]),
    ("run_experiment.py", "gta_camvid_f", ["gta_camvid_full"])])
def test_the_shell_completes_options_and_names(repo_root, tmp_path, tool, words, expected):
    pytest.importorskip("argcomplete", reason="argcomplete is missing: nothing to complete with")
    assert completions(os.path.join(repo_root, "tools", tool), words, tmp_path) == expected


def test_every_command_is_marked_for_completion_and_has_the_version(repo_root):
    for name in commands(repo_root):
        with open(os.path.join(repo_root, "tools", name), encoding="utf-8") as file:
            # the shell runs a marked command to complete its options
            assert "PYTHON_ARGCOMPLETE_OK" in file.read(1024), name
    with open(os.path.join(repo_root, "tools", "run_tests.py"), encoding="utf-8") as file:
        assert "PYTHON_ARGCOMPLETE_OK" not in file.read()
    others = subprocess.run(["git", "-C", repo_root, "grep", "-l", r"argparse\.ArgumentParser(",
                             "--", "tools"], stdout=subprocess.PIPE, text=True)
    assert others.stdout == ""


def test_version_names_the_commit(capsys, monkeypatch):
    monkeypatch.setattr(command, "commit_text", lambda: "0123456789ab, changed")
    with pytest.raises(SystemExit) as end:
        command.CommandParser().parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == "FCNs in the Wild, on Caffe: commit 0123456789ab, changed\n"


def test_completion_does_not_set_caffe_up(monkeypatch):
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    for name in ("in_private_runtime", "python_has_caffe"):
        monkeypatch.setattr(enter, name, lambda: False)
    monkeypatch.setattr(enter, "_source_build", lambda: None)
    monkeypatch.setattr(enter, "exec_python", lambda _: None)
    from tools.lib.runtime import setup
    monkeypatch.setattr(setup, "set_up_runtime", lambda: pytest.fail("it was set up"))
    enter.enter_runtime(set_up=True)
