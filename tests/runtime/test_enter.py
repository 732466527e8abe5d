"""Commands started from another Python go on in the runtime: arguments, exit codes, signals."""
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from data.files import ROOT
from tools.lib.runtime import private_runtime
from tools.lib.runtime.enter import JOINED, in_private_runtime

COMMAND = f"""
import json, os, sys
sys.path.insert(0, {ROOT!r})
from tools.lib.runtime.enter import enter_runtime
before = os.getpid()
enter_runtime()
import caffe
"""

needs_private = pytest.mark.skipif(not in_private_runtime(),
                                   reason="the runtime is the running Python itself")


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "a command.py"
        path.write_text(COMMAND + text)
        return str(path)
    return write


def start(python, *arguments, **options):
    return subprocess.run([python] + list(arguments), capture_output=True,
                          text=True, **options)


def test_arguments_pass_through_as_they_are(outside_python, script):
    given = ["two words", "", "--flag=ü", "*", "'\"", "-c", "--"]
    done = start(outside_python, script("print(json.dumps(sys.argv[1:]))"), *given)
    assert json.loads(done.stdout) == given, done.stderr


@pytest.mark.parametrize("end, code", [("sys.exit(7)", 7), ("raise ValueError", 1), ("pass", 0),
                                       ("os.kill(os.getpid(), 15)", -15)])
def test_exit_codes_pass_through(outside_python, script, end, code):
    assert start(outside_python, script(end)).returncode == code


def test_signals_reach_the_command_and_standard_input_too(outside_python, script):
    path = script("import signal\n"
                  "signal.signal(signal.SIGUSR1, lambda *_: (print('got it', sys.stdin.read()), "
                  "os._exit(5)))\n"
                  "print('ready', flush=True)\n"
                  # pause() could miss a signal that comes just before it
                  "import time\nwhile True: time.sleep(0.05)")
    with subprocess.Popen([outside_python, "-u", path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, universal_newlines=True, env=dict(
                              os.environ, PYTHONUNBUFFERED="1")) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        out, _ = process.communicate("typed", timeout=30)
    assert (out, process.returncode) == ("got it typed\n", 5)


def test_a_module_started_with_m_goes_on_as_that_module(outside_python, tmp_path):
    (tmp_path / "a_module.py").write_text(COMMAND + "print(__name__, sys.argv[1:])")
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = start(outside_python, "-m", "a_module", "x", cwd=str(tmp_path), env=env)
    assert done.stdout == "__main__ ['x']\n", done.stderr


@needs_private
@pytest.mark.parametrize("arguments", [
    ["tools/doctor.py"], ["tools/caffe_python", "-c", "1"], ["tools/caffe", "train"]])
def test_without_a_runtime_the_set_up_command_is_named(outside_python, repo_root, tmp_path,
                                                       arguments):
    done = start(outside_python, *arguments, cwd=repo_root,
                 env=dict(os.environ, CAFFE_PREFIX=str(tmp_path / "none")))
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "python3 tools/setup_caffe.py" in done.stdout + done.stderr


@needs_private
def test_without_a_runtime_a_command_ends_with_2_and_one_message(outside_python, script, tmp_path):
    done = start(outside_python, script("print('reached')"),
                 env=dict(os.environ, CAFFE_PREFIX=str(tmp_path / "none")))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith(
        "error: Caffe is not set up")


@needs_private
def test_a_damaged_runtime_ends_with_2(outside_python, script, tmp_path):
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / private_runtime.READY).write_text("{}")
    done = start(outside_python, script(""),
                 env=dict(os.environ, CAFFE_PREFIX=str(tmp_path / "prefix")))
    assert done.returncode == 2 and "setup_caffe.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_child_started_with_sys_executable_finds_caffe_and_layers():
    done = start(sys.executable, "-c",
                 "import caffe, tools.lib.runtime, sys; print(sys.executable)")
    assert done.stdout.strip() == sys.executable, done.stderr


def test_caffe_python_takes_a_script_from_any_folder_through_a_link(outside_python, repo_root,
                                                                    tmp_path):
    (tmp_path / "mine.py").write_text("import caffe, data.errors, sys; print(sys.argv[1])")
    os.symlink(os.path.join(repo_root, "tools/caffe_python"), str(tmp_path / "linked"))
    done = start(outside_python, str(tmp_path / "linked"), "mine.py", "x y", cwd=str(tmp_path))
    assert done.stdout == "x y\n", done.stderr


def test_stock_caffe_trains_a_net_with_a_python_layer(outside_python, repo_root, tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'force_backward: true\n'
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 dim: 1 '
        'dim: 2 dim: 2 }\n'
        '        data_filler { type: "constant" value: 1 } } }\n'
        'layer { name: "c" type: "Convolution" bottom: "d" top: "c"\n'
        '        convolution_param { num_output: 1 kernel_size: 1 } }\n'
        'layer { name: "t" type: "Python" bottom: "c" top: "t"\n'
        '        python_param { module: "tools.lib.runtime.known_net" layer: "Twice" } }\n'
        'layer { name: "l" type: "Reduction" bottom: "t" top: "l" loss_weight: 1 }\n')
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt"\nbase_lr: 0.01\nlr_policy: "fixed"\nmax_iter: 2\ndisplay: 1\n'
        'snapshot_after_train: false\nsolver_mode: CPU\n')
    env = {key: value for key, value in os.environ.items() if key != "GLOG_minloglevel"}
    done = start(outside_python, os.path.join(repo_root, "tools/caffe"), "train",
                 "--solver=solver.prototxt", cwd=str(tmp_path), env=env)
    assert done.returncode == 0 and "Optimization Done." in done.stderr, done.stderr[-2000:]
    assert start(outside_python, os.path.join(repo_root, "tools/caffe"), "train",
                 cwd=str(tmp_path)).returncode != 0


def test_tools_folder_does_not_shadow_the_standard_library(outside_python, repo_root):
    code = ("import sys; sys.path.insert(0, 'tools'); import _init_paths, test.support, os; "
            "print(os.path.dirname(test.__file__).endswith('tools'))")
    assert start(outside_python, "-c", code, cwd=repo_root).stdout == "False\n"


@pytest.fixture
def python_with_caffe(tmp_path):
    """Environment of a Python that can import empty modules: `caffe` and those of JOINED."""
    for name in ("caffe",) + JOINED:
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text("")
    return dict(os.environ, PYTHONPATH=str(tmp_path / "site"), CAFFE_BUILD="",
                CAFFE_PREFIX=str(tmp_path / "none"))


def test_a_python_that_has_caffe_is_used_as_it_is(outside_python, python_with_caffe, script):
    code = ("print(os.getpid() == before, os.environ['PYTHONPATH'].split(os.pathsep)[0], "
            "'site' in caffe.__file__)")
    done = start(outside_python, script(code), env=python_with_caffe)
    assert done.stdout.split() == ["True", ROOT, "True"], done.stderr


def test_a_runtime_older_than_a_package_names_the_command_that_updates_it(
        outside_python, python_with_caffe, script, tmp_path):
    (tmp_path / "site" / "tabulate" / "__init__.py").unlink()
    (tmp_path / "site" / "tabulate").rmdir()
    done = start(outside_python, "-S", script("print('reached')"), env=python_with_caffe)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match("error: this runtime is older than the commands: .* tabulate is missing in "
                    ".*\n.*conda env update", done.stderr), done.stderr


def test_the_set_up_leaves_a_python_that_has_caffe_alone(outside_python, python_with_caffe,
                                                         repo_root):
    done = start(outside_python, "tools/setup_caffe.py", cwd=repo_root, env=python_with_caffe)
    assert done.returncode == 0 and "nothing to set up" in done.stdout, done.stderr
    assert not os.path.exists(python_with_caffe["CAFFE_PREFIX"])


@needs_private
def test_a_bare_folder_named_caffe_is_not_caffe(outside_python, script, tmp_path):
    (tmp_path / "site" / "caffe").mkdir(parents=True)
    env = dict(os.environ, PYTHONPATH=str(tmp_path / "site"))
    done = start(outside_python, script("print(hasattr(caffe, 'Net'))"), env=env)
    assert done.returncode == 0 and done.stdout == "True\n", done.stderr
