"""Every command starts under each Python from 3.8 to 3.14 that is installed.

A command starts in the Python that the user has, and most then move into the Caffe runtime. So the
part before that move must run, and every file must compile, under all of them.
"""
import functools
import glob
import json
import os
import shutil
import subprocess

import pytest

VERSIONS = [f"3.{minor}" for minor in range(8, 15)]
#: Code that a command line leads to when it hands over to the runtime's Python.
HANDED_OVER = 77
COMPILE = """
import sys, warnings
warnings.simplefilter("error")
for path in sys.stdin.read().splitlines():
    with open(path, encoding="utf-8") as file:
        compile(file.read(), path, "exec")
"""
START = f"""
import os, runpy, sys
def hand_over(program, arguments, environment):
    assert "--help" in arguments, arguments
    os._exit({HANDED_OVER})
os.execvpe = hand_over
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@functools.lru_cache(maxsize=None)
def installed(version):
    """Path of a working Python of that version: on PATH, or among pyenv's; None without one."""
    pyenv = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"),
                         "versions", version + ".*", "bin", "python" + version)
    for path in [shutil.which("python" + version)] + sorted(glob.glob(pyenv)):
        # pyenv's own links answer with an error for a Python that is not chosen
        if path and run(path, "-c", "print('works')").stdout == "works\n":
            return path
    return None


def run(python, *arguments, **options):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PYTHON", "PYENV_VERSION"))}
    return subprocess.run([python] + list(arguments), env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)


@pytest.fixture(params=VERSIONS)
def python(request):
    """Path of a Python of each version; skips those that are not installed."""
    path = installed(request.param)
    if path is None:
        pytest.skip(f"Python {request.param} is not installed")
    return path


def tracked(repo_root):
    listed = subprocess.run(["git", "-C", repo_root, "ls-files", "-co", "--exclude-standard",
                             "*.py"], stdout=subprocess.PIPE, check=True, text=True)
    return [path for path in listed.stdout.splitlines()
            if os.path.isfile(os.path.join(repo_root, path))]


def commands(repo_root):
    """Paths of the Python files below tools/ that a user starts."""
    found = []
    for path in tracked(repo_root):
        with open(os.path.join(repo_root, path), encoding="utf-8") as file:
            text = file.read()
        if path.startswith("tools/") and "import _init_paths" in text and "__main__" in text:
            found.append(path)
    return found


def test_every_file_compiles_without_a_warning(python, repo_root):
    done = run(python, "-c", COMPILE, cwd=repo_root, input="\n".join(tracked(repo_root)))
    assert done.returncode == 0, done.stdout


def test_every_command_starts(python, repo_root):
    wrong = {}
    for command in commands(repo_root):
        done = run(python, "-c", START, command, "--help", cwd=repo_root)
        helped = done.returncode == 0 and done.stdout.startswith("usage:")
        if not helped and done.returncode != HANDED_OVER:
            wrong[command] = done.stdout[-500:]
    assert not wrong, json.dumps(wrong, indent=1)


def test_the_commands_are_found(repo_root):
    found = commands(repo_root)
    assert {"tools/train.py", "tools/setup_caffe.py", "tools/build/build_caffe.py",
            "tools/bench/bench_training.py"} <= set(found)


def test_a_python_that_does_not_work_is_not_installed(monkeypatch, tmp_path):
    program = tmp_path / "python3.8"
    program.write_text("#!/bin/sh\necho command not found\nexit 127\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert installed.__wrapped__("3.8") is None
