"""OpenBLAS kernels from CPU flags, threads from affinity and quota, the environment of both."""
import io
import math
import os
import subprocess
import tarfile

import pytest

from data import cores
from data.files import ROOT
from tools.lib.runtime import enter, machine
from tools.lib.runtime.enter import runtime_environment

AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@pytest.mark.parametrize("flags, expected", [
    (AVX512 | {"avx2", "fma"}, "SkylakeX"),
    # Knights Landing: AVX-512 without the byte part
    ((AVX512 - {"avx512bw"}) | {"avx2", "fma"}, "Haswell"),
    ({"avx2"}, None),
    ({"avx", "sse4_2"}, None),
    (set(), None)])
def test_coretype_from_flags(flags, expected):
    assert machine.openblas_coretype(flags) == expected


def test_cpu_flags_of_the_first_processor_and_of_none(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nvmx flags\t: ept\nflags\t\t: fpu avx2 fma\n\n"
                    "processor\t: 1\nflags\t\t: fpu\n")
    assert machine.cpu_flags(str(path)) == {"fpu", "avx2", "fma"}
    assert machine.cpu_flags(str(tmp_path / "none")) == set()


def cgroup(tmp_path, files, membership):
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "cgroup").write_text(membership)
    return cores.cgroup_cores(str(tmp_path / "fs"), str(tmp_path / "cgroup"))


def test_cgroup_v2_quota_of_a_parent_limits_the_child(tmp_path):
    files = {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}
    assert cgroup(tmp_path, files, "0::/a/b\n") == 1.5


def test_cgroup_v2_in_a_container_that_sees_its_own_group_as_root(tmp_path):
    assert cgroup(tmp_path, {"cpu.max": "200000 100000\n"}, "0::/../../elsewhere\n") == 2.0


def test_cgroup_v1_quota_and_its_minus_one(tmp_path):
    files = {
        "cpu,cpuacct/g/cpu.cfs_quota_us": "50000\n",
        "cpu,cpuacct/g/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    assert cgroup(tmp_path, files, "4:cpu,cpuacct:/g\n3:memory:/g\n") == 0.5


def test_no_cgroup_files_and_garbage_mean_no_quota(tmp_path):
    assert cores.cgroup_cores(str(tmp_path), str(tmp_path / "none")) == math.inf
    assert cgroup(tmp_path, {"cpu.max": "nonsense\n"}, "0::/\n") == math.inf


@pytest.mark.parametrize("affinity, quota, expected", [
    (8, math.inf, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.25, 1), (1, 4.0, 1), (2, 1.9, 2)])
def test_usable_cores(affinity, quota, expected):
    assert cores.usable_cores(affinity, quota) == expected


def test_environment_fills_in_unset_variables(monkeypatch):
    monkeypatch.setattr(machine, "cpu_flags", lambda: {"avx2", "fma"})
    monkeypatch.setattr(enter, "usable_cores", lambda: 3)
    env = runtime_environment({"PATH": "/bin", "PYTHONHOME": "/other"})
    assert env["OPENBLAS_CORETYPE"] == "Haswell" and env["OPENBLAS_NUM_THREADS"] == "3"
    assert env["GLOG_minloglevel"] == "2" and env["PYTHONPATH"] == ROOT and env["PATH"] == "/bin"
    assert "PYTHONHOME" not in env


def test_environment_leaves_the_users_values(monkeypatch):
    monkeypatch.setattr(machine, "cpu_flags", lambda: {"avx2", "fma"})
    given = {"OPENBLAS_CORETYPE": "Zen", "OPENBLAS_NUM_THREADS": "7", "GLOG_minloglevel": "0"}
    env = runtime_environment(given)
    assert {key: env[key] for key in given} == given


def test_omp_num_threads_counts_as_the_users_thread_count():
    assert "OPENBLAS_NUM_THREADS" not in runtime_environment({"OMP_NUM_THREADS": "1"})


def test_users_python_path_stays_behind_the_repository_once():
    env = runtime_environment({"PYTHONPATH": os.pathsep.join(["/mine", ROOT])})
    assert env["PYTHONPATH"] == os.pathsep.join([ROOT, "/mine"])
    assert runtime_environment(env)["PYTHONPATH"] == env["PYTHONPATH"]


@pytest.mark.parametrize("text, version", [
    ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.03  Mon May 5 2026\nGCC 12.2.0",
     "580.159.03"),
    ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build",
     "580.95.05")])
def test_drivers_version_is_read_from_its_file(tmp_path, text, version):
    (tmp_path / "version").write_text(text)
    assert machine.driver_version(str(tmp_path / "version")) == version


def test_drivers_version_is_asked_of_nvidia_smi_where_there_is_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.driver_version(str(tmp_path / "none")) == "unknown"
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 580.159\necho 580.159\n")
    program.chmod(0o755)
    assert machine.driver_version(str(tmp_path / "none")) == "580.159"


def test_an_unpacked_archive_names_its_commit_without_git(tmp_path, monkeypatch):
    archived = tmp_path / ".git_archival.txt"
    archived.write_text(f"commit: {'0a' * 20}\n")
    assert machine.git_state(str(archived)) == {"commit": "0a" * 20, "dirty": None}
    monkeypatch.setattr(machine, "ROOT", str(tmp_path))
    for left in ("commit: $Format:%H$\n", "commit: 0a0a\n"):
        archived.write_text(left)
        assert machine.git_state(str(archived)) is None
    monkeypatch.setattr(machine, "git_state", lambda: None)
    assert machine.commit_text() == "unknown"
    monkeypatch.setattr(machine, "git_state", lambda: {"commit": "0a" * 20, "dirty": True})
    assert machine.commit_text() == "0a0a0a0a0a0a, changed"


def test_git_archive_puts_the_commit_where_it_is_read(tmp_path, repo_root):
    try:
        packed = subprocess.run(["git", "-C", repo_root, "archive", "HEAD", ".git_archival.txt"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        packed = None
    if packed is None or packed.returncode:
        pytest.skip("no git, or no repository: this is an archive itself")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        (tmp_path / "archived").write_bytes(archive.extractfile(".git_archival.txt").read())
    state = machine.git_state(str(tmp_path / "archived"))
    assert state["commit"] == machine.git_state()["commit"]
