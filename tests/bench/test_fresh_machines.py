"""Fresh machines: what is removed and what is not, namespaces, the page."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from data.errors import InputError
from tools.bench import bench_fresh_machines, minimal_tree

root_alone = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="mounting needs root and namespaces")
#: Works in a folder until it is interrupted.
WORKER = """
import signal, sys, time
sys.path.insert(0, {root!r})
from tools.bench.minimal_tree import INTERRUPTS, working_folder
for number in INTERRUPTS:
    signal.signal(number, signal.default_int_handler)
with working_folder({folder!r}) as work:
    open(work + "/file", "w").close()
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", minimal_tree.INTERRUPTS)
def test_an_interrupt_removes_the_folder(tmp_path, repo_root, number):
    code = WORKER.format(root=repo_root, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "started\n"
        assert len(os.listdir(tmp_path)) == 1
        process.send_signal(number)
        process.communicate(timeout=60)
    assert os.listdir(tmp_path) == []


@root_alone
def test_nothing_is_removed_through_a_mount(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "tree"
    for each in (outside, folder / "mounted"):
        each.mkdir(parents=True)
    (outside / "precious").write_text("x")
    subprocess.run(["mount", "--bind", str(outside), str(folder / "mounted")], check=True)
    try:
        with pytest.raises(InputError, match="mounted is mounted"):
            minimal_tree.remove(str(folder))
        assert (outside / "precious").exists() and (folder / "mounted" / "precious").exists()
    finally:
        subprocess.run(["umount", str(folder / "mounted")], check=True)
    minimal_tree.remove(str(folder))
    assert not folder.exists() and (outside / "precious").exists()


@root_alone
def test_mounts_and_processes_end_with_the_namespace(tmp_path):
    (tmp_path / "there").mkdir()
    script = ("mount -t tmpfs tmpfs $0/there; touch $0/there/x; sleep 600 & echo started; wait")
    with subprocess.Popen(minimal_tree.NAMESPACE + ["sh", "-c", script, str(tmp_path)],
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        assert os.listdir(tmp_path / "there") == []     # the mount is seen inside alone
        process.kill()
    deadline = time.monotonic() + 20
    while sleepers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not sleepers(tmp_path)


def sleepers(folder):
    """Processes whose command line names the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sh" and os.fsencode(str(folder)) in words:
            found.append(pid)
    return found


def test_another_user_than_root_and_a_missing_program_are_refused(monkeypatch):
    monkeypatch.setattr(minimal_tree.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="needs root"):
        minimal_tree.check_machine()
    monkeypatch.setattr(minimal_tree.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="missing: coreutils, debootstrap"):
        minimal_tree.check_machine()


def step(command, code=0, last="", **more):
    return dict({"command": command, "seconds": 7, "code": code, "last": last}, **more)


def test_the_page_shows_outcomes_failures_and_what_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_fresh_machines, "KEPT", str(tmp_path))
    monkeypatch.setattr(bench_fresh_machines, "PACKED", str(tmp_path / "packed.json"))
    (tmp_path / "packed.json").write_text('{"bytes": 300000000, "seconds": 28}')
    well = {"packages": ["python3"], "disk": 2e6, "steps": [
        step("git clone"), step("python3 tools/run_experiment.py toy", **{"set-up": 5}),
        step("python3 tools/run_tests.py", last="== 9 passed, 1 skipped in 3s ==")]}
    broken = {"packages": ["python3"], "disk": 1e6, "steps": [
        step("git clone"), step("python3 tools/run_experiment.py toy", 2, "error: no pip")]}
    for suite, route in (("bullseye", well), ("trixie", broken)):
        (tmp_path / (suite + ".json")).write_text(json.dumps(
            {"python": "3.9.2", "pack": 3e8,
             "routes": {"offline": dict(route, commit="c0ffee"), "online": route}}))
    assert bench_fresh_machines.page().endswith("runtime: 300 MB; packed in 28 s.\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in bench_fresh_machines.page().splitlines() if line.startswith("|")]
    assert ["`python3 tools/run_tests.py`", "7 s: 9 passed, 1 skipped in 3s",
            "not run"] in rows
    assert ["`python3 tools/run_experiment.py toy`", "7 s",
            "failed, exit code 2: error: no pip"] in rows
    assert ["set-up alone, seconds", "5", "not set up"] in rows
    assert ["", "Debian 11", "Debian 13"] in rows
    assert ["commit", "c0ffee", "c0ffee"] in rows and ["commit", "not run", "not run"] in rows


def test_only_the_routes_that_are_named_and_not_kept_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_fresh_machines, "KEPT", str(tmp_path))
    done = []

    def measure(suite, work, options, wanted, result):
        done.extend(wanted)
        for name in wanted:
            result["routes"][name] = {"steps": [step("x", code=int(name == "online"))]}

    monkeypatch.setattr(bench_fresh_machines, "measure", measure)
    options = argparse.Namespace(routes=["offline"], again=False)
    assert bench_fresh_machines.measured("trixie", "work", options)
    assert bench_fresh_machines.measured("trixie", "work", options) and done == ["offline"]
    options.routes.append("online")
    assert not bench_fresh_machines.measured("trixie", "work", options)
    assert done == ["offline", "online"]
    options = argparse.Namespace(routes=["offline"], again=True)
    assert not bench_fresh_machines.measured("trixie", "work", options)
    assert done == ["offline", "online", "offline"]


def test_a_page_about_no_machine_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_fresh_machines, "KEPT", str(tmp_path))
    with pytest.raises(InputError, match="no machine"):
        bench_fresh_machines.page()


def test_interrupts_are_heard_again_after_a_removal(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    (tmp_path / "x").mkdir()
    minimal_tree.remove(str(tmp_path / "x"))
    assert signal.getsignal(signal.SIGTERM) == before
