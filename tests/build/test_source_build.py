"""The source build without a compiler: phases that resume, lock files, the choice of a build."""
import json
import os
import re
import sys
import tarfile

import pytest

from data.errors import InputError
from tools.build import build_caffe, build_page, bundle, configure, parts, toolchain
from tools.build.configure import cmake_arguments
from tools.build.patches import patches_for
from tools.build.source_build import Phases
from tools.lib.runtime import RUNNING_PYTHON, enter, source_builds, wheels
from tools.lib.runtime.enter import runtime_environment


def test_a_finished_phase_is_not_done_again_but_a_changed_or_lost_one_is(tmp_path):
    done, printed, result = [], [], tmp_path / "result"

    def go(made_from):
        phases = Phases(str(tmp_path / "phases.json"), 1, printed.append)
        phases.run("one", made_from, lambda: (done.append(made_from), result.write_text("x")),
                   str(result))
        return phases

    go(1), go(1)
    assert done == [1] and "done already" in printed[-1]
    go(2)
    assert done == [1, 2]
    result.unlink()
    assert go(2).seconds().keys() == {"one"} and done == [1, 2, 2]
    # another build's phases are not this one's
    assert Phases(str(tmp_path / "phases.json"), 1).seconds() == {}


def test_an_interrupted_phase_is_done_again_and_earlier_ones_are_not(tmp_path):
    done = []

    def go(second):
        phases = Phases(str(tmp_path / "phases.json"), 2, lambda text: None)
        phases.run("first", 1, lambda: done.append("first"), str(tmp_path))
        phases.run("second", 1, second, str(tmp_path))

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(interrupted)
    go(lambda: done.append("second"))
    assert done == ["first", "second"]


def test_a_damaged_list_of_phases_starts_anew(tmp_path):
    (tmp_path / "phases.json").write_text("{\"first\": ")
    done = []
    Phases(str(tmp_path / "phases.json"), 1, lambda text: None).run("first", 1,
                                                                    lambda: done.append(1),
                                                                    str(tmp_path))
    assert done == [1]


def test_a_program_that_fails_is_reported_by_its_error_line_and_logged(tmp_path):
    log = str(tmp_path / "log.txt")
    with pytest.raises(InputError, match="fine.cpp:3: error: no such thing"):
        toolchain.run_logged(["sh", "-c", "echo warming up; echo fine.cpp:3: error: no such thing; "
                                         "echo later; exit 1"],
                            log, str(tmp_path))
    with open(log) as file:
        assert "warming up" in file.read()


def test_percentages_of_make_are_shown(tmp_path, capsys):
    toolchain.run_logged(["sh", "-c", "echo '[ 50%] half'; echo '[100%] whole'"],
                        str(tmp_path / "log"), str(tmp_path), "percent")
    assert "percent 100 of 100" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cuda", "inspect", "tools", "python-3.11", "python-3.12"])
def test_lock_files_have_version_and_hash_of_every_requested_package(name):
    path = os.path.join(parts.LOCKS, name + ".lock")
    found = wheels.locked(path)
    with open(parts.requested(name.split("-")[0])) as file:
        for line in filter(None, (line.split("#")[0].strip() for line in file)):
            project, _, version = line.replace(">=", "==").replace("<", "==").partition("==")
            assert project in found
            if "==" in line:
                assert found[project][0] == version


def test_the_c_library_and_the_driver_stay_out_of_a_bundle_and_cuda_has_its_own_folder():
    for name in ("libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "libcuda.so.1",
                 "libpthread.so.0"):
        assert bundle.MACHINE.match(name), name
    for name in ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10",
                 "libnvrtc.so.13", "libnvrtc-builtins.so.13.0"):
        assert bundle.CUDA.match(name) and not bundle.MACHINE.match(name), name
    for name in ("libcaffe.so.1.0.0", "libcurl.so.4", "libcrypto.so.3",
                 "libboost_python311.so.1.74.0", "libstdc++.so.6"):
        assert not bundle.MACHINE.match(name) and not bundle.CUDA.match(name), name


def test_the_archive_leaves_nvidias_libraries_out(tmp_path):
    for path in ("build/lib/libcaffe.so", "build/cuda/lib/libcublas.so.13", "build/python/a.py",
                 "build/python/__pycache__/a.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    bundle.archive(str(tmp_path / "build"), str(tmp_path / "a.tar.gz"))
    with tarfile.open(str(tmp_path / "a.tar.gz")) as file:
        names = sorted(member.name for member in file if member.isfile())
    assert names == ["build/lib/libcaffe.so", "build/python/a.py"]


@pytest.mark.parametrize("package, out", [
    ("libc6-dev", True), ("libstdc++-12-dev", True), ("python3.11-dev", True),
    ("libcurl4", False), ("libffi8", False), ("libcrypt1", False), ("libprotobuf-dev", False)])
def test_packages_that_come_with_the_compiler_are_not_fetched(package, out):
    assert bool(re.match(parts.LEFT_OUT, package)) == out


def test_cmake_gets_the_architectures_and_nothing_of_cuda_in_a_cpu_build(tmp_path, monkeypatch):
    monkeypatch.setattr(configure, "python_headers", lambda: "/headers")
    monkeypatch.setattr(configure, "compiler_library", lambda name: "/" + name)
    for part in ("cuda/nvidia/cu13/lib", "cuda/nvidia/cu13/include"):
        (tmp_path / part).mkdir(parents=True)
    cuda = cmake_arguments("cuda", (80, 120), "/l", str(tmp_path / "cuda"), None)
    assert "-DCUDA_ARCH_BIN=80 120" in cuda and "-DCUDA_ARCH_PTX=120" in cuda
    assert "-DUSE_CUDNN=OFF" in cuda and "-DCPU_ONLY=OFF" in cuda
    cpu = cmake_arguments("cpu", (), "/l", None, None)
    assert "-DCPU_ONLY=ON" in cpu and not any("CUDA" in word for word in cpu)


@pytest.mark.parametrize("text", ["", "9", "sm_90", "90;100", "90,,80"])
def test_a_wrong_list_of_architectures_is_refused(text, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build_caffe.py", "--arch", text])
    with pytest.raises(SystemExit) as end:
        build_caffe.parse()
    assert end.value.code == 2 and "80,90" in capsys.readouterr().err


def a_build(folder, version=RUNNING_PYTHON):
    (folder / "python").mkdir(parents=True)
    (folder / source_builds.RECORD).write_text(
        json.dumps({"variant": "cpu", "arch": [], "python": version}))
    return str(folder)


def test_the_variable_chooses_a_build_empty_means_none_and_without_it_the_active_one_counts(
        tmp_path, monkeypatch):
    monkeypatch.setattr(source_builds, "HOME", str(tmp_path))
    monkeypatch.setattr(source_builds, "ACTIVE", str(tmp_path / "active"))
    one, two = a_build(tmp_path / "one"), a_build(tmp_path / "two")
    assert source_builds.selected({}) is None
    source_builds.activate(one)
    assert source_builds.selected({}) == one
    assert source_builds.selected({"CAFFE_BUILD": two}) == two
    assert source_builds.selected({"CAFFE_BUILD": ""}) is None
    source_builds.activate(None)
    assert source_builds.selected({}) is None


def test_a_build_says_which_patches_its_caffe_has(tmp_path):
    old, new = a_build(tmp_path / "old"), a_build(tmp_path / "new")
    record = source_builds.read_record(new)
    (tmp_path / "new" / source_builds.RECORD).write_text(
        json.dumps(dict(record, patches=[source_builds.ONE_COLUMN_BUFFER])))
    has = [source_builds.has_patch(source_builds.ONE_COLUMN_BUFFER, {"CAFFE_BUILD": folder})
           for folder in (old, new, "")]
    assert has == [False, True, False]
    assert source_builds.ONE_COLUMN_BUFFER in [patch.name for patch in patches_for("cpu")]


def test_a_folder_that_is_no_finished_build_is_refused_with_the_command_that_repairs_it(tmp_path):
    with pytest.raises(InputError, match="not a finished build(.|\n)*--deactivate"):
        source_builds.selected({"CAFFE_BUILD": str(tmp_path)})


def test_a_build_comes_right_after_the_repository_on_the_import_path(tmp_path):
    build = a_build(tmp_path / "b")
    env = runtime_environment({"CAFFE_BUILD": build, "PYTHONPATH": "/mine"})
    path = env["PYTHONPATH"].split(os.pathsep)
    assert path[1:] == [os.path.join(build, "python"), "/mine"]


def test_children_in_other_folders_get_the_same_build(tmp_path, monkeypatch):
    build = a_build(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    env = runtime_environment({"CAFFE_BUILD": "b"})
    monkeypatch.chdir("/")
    assert source_builds.selected(env) == build
    assert "CAFFE_BUILD" not in runtime_environment({})
    assert runtime_environment({"CAFFE_BUILD": ""})["CAFFE_BUILD"] == ""


def test_a_build_for_another_python_looks_for_that_one_and_says_which(tmp_path, monkeypatch):
    build = a_build(tmp_path / "b", version="2.99")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="Python 2.99(.|\n)*build_caffe.py --variant cpu$"):
        source_builds.python(build)
    monkeypatch.setenv("CAFFE_BUILD", build)
    with pytest.raises(SystemExit) as end:
        enter.python_command(["x.py"])
    assert end.value.code == 2


ELF_LIST = """ELF file    1: libcaffe.1.sm_80.cubin
ELF file    2: libcaffe.2.sm_90.cubin
ELF file    3: libcaffe.3.sm_90.cubin
"""
SYMBOLS = """STT_FUNC         STB_GLOBAL STO_ENTRY      _ZN5caffe4KernIfEEvv
STT_FUNC         STB_LOCAL  STV_DEFAULT    helper
STT_FUNC         STB_GLOBAL STO_ENTRY      _ZN5caffe4KernIdEEvv
STT_FUNC         STB_GLOBAL STO_ENTRY      _ZN5caffe4KernIfEEvv
"""


def test_gpu_code_is_counted_from_cuobjdumps_output():
    assert build_page.counted(ELF_LIST.splitlines()) == "sm_80: 1, sm_90: 2"
    nothing = ["cuobjdump info    : File 'x' does not contain device code"]
    assert build_page.counted(nothing) == "none"
    assert build_page.kernels(SYMBOLS) == 2


def test_libraries_that_a_build_needs_from_the_machine_are_named(tmp_path, monkeypatch):
    for path in ("lib/libcaffe.so.1.0.0", "lib/libglog.so.1", "bin/caffe",
                 "python/caffe/_caffe.so"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    needs = {"libcaffe.so.1.0.0": ["libglog.so.1", "libcublas.so.13", "libc.so.6"],
             "caffe": ["libpython3.11.so.1.0"]}
    monkeypatch.setattr(parts, "needed",
                        lambda libraries, path: needs.get(os.path.basename(path), []))
    outside = build_page.outside(str(tmp_path), "libraries")
    assert outside == ["libcublas.so.13", "libpython3.11.so.1.0"]
