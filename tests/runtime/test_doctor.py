"""The doctor on a runtime that works, on one that does not, and on slow kernels."""
import os
import subprocess

import pytest

from tools.lib.runtime import checkup, machine, probe, routes
from tools.lib.runtime.enter import SETUP


def test_it_finds_everything_working_from_another_python(outside_python, repo_root):
    done = subprocess.run([outside_python, "tools/doctor.py"], cwd=repo_root,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    for subject in ("caffe", "blas", "python layers", "cv2", "lmdb", "google.protobuf", "disk"):
        assert f"\nok       {subject.ljust(14)} " in "\n" + done.stdout, subject


def test_openblas_kernel_and_threads_are_read_from_the_library_caffe_uses(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    answer = checkup.ask("engine")
    if not (answer["blas"] or "").startswith("OpenBLAS"):
        pytest.skip(f"this Caffe uses {answer['blas']}")
    assert answer["threads"] == 1
    if "OPENBLAS_CORETYPE" not in os.environ and machine.openblas_coretype(machine.cpu_flags()):
        assert answer["kernel"] not in checkup.SLOW_KERNELS


def findings(monkeypatch, answers):
    monkeypatch.setattr(checkup, "ask", lambda question: answers[question])
    monkeypatch.setattr(routes, "index", lambda address: "")    # no network here
    return {f.subject: f for f in checkup.examine()}


WELL = {
    "versions": {"versions": {"numpy": "1.26.4"}, "why": {}},
    "engine": {"version": "1.0.0", "place": "/p", "blas": "OpenBLAS 0.3.13", "kernel": "Haswell",
               "threads": 2, "cuda": False, "devices": None},
    "python_layer": {"right": True}}


def test_slow_kernels_are_pointed_out_with_the_command_that_repairs_it(monkeypatch):
    monkeypatch.setattr(machine, "cpu_flags", lambda: {"avx2", "fma"})
    engine = dict(WELL["engine"], kernel="Prescott")
    blas = findings(monkeypatch, dict(WELL, engine=engine))["blas"]
    assert blas.grade == "slow" and blas.repair == "unset OPENBLAS_CORETYPE"


def test_a_missing_module_a_dead_caffe_and_wrong_layers_are_missing_with_a_repair(monkeypatch):
    found = findings(monkeypatch, {
        "versions": {"versions": {"lmdb": None}, "why": {"lmdb": "ImportError: no"}},
        "engine": {"failed": "libcaffe.so: cannot open"}, "python_layer": {"right": False}})
    for subject in ("lmdb", "caffe", "python layers"):
        assert found[subject].grade == "MISSING" and found[subject].repair, subject
    assert "cannot open" in found["caffe"].text


def test_without_any_runtime_the_set_up_is_the_only_repair(monkeypatch, tmp_path):
    monkeypatch.setenv("CAFFE_BUILD", "")
    monkeypatch.setenv("CAFFE_PREFIX", str(tmp_path / "none"))
    monkeypatch.setattr(checkup, "python_has_caffe", lambda: False)
    monkeypatch.setattr(checkup, "ask", lambda question: pytest.fail("nothing to ask"))
    monkeypatch.setattr(routes, "index", lambda address: "")
    assert [(f.subject, f.repair) for f in checkup.examine()
            if f.grade == "MISSING"] == [("caffe", SETUP)]


def test_a_question_that_kills_the_process_is_an_answer_too(monkeypatch):
    monkeypatch.setattr(checkup, "python_command",
                        lambda arguments: ["sh", "-c", "echo 'Check failed: x' >&2; kill -ABRT $$"])
    assert "failed" in checkup.ask("engine")


def test_the_probe_gives_the_reason_of_a_module_that_does_not_import(monkeypatch):
    monkeypatch.setattr(probe, "MODULES", ("json", "no_such_module"))
    answer = probe.versions()
    assert answer["versions"]["no_such_module"] is None
    assert "no_such_module" in answer["why"]["no_such_module"]


def test_a_build_for_cuda_that_cannot_use_the_card_has_a_repair(monkeypatch):
    engine = dict(WELL["engine"], cuda=True, devices=0)
    monkeypatch.setattr(machine, "cards", lambda: [])
    assert findings(monkeypatch, dict(WELL, engine=engine))["device"].grade == "ok"
    monkeypatch.setattr(machine, "cards", lambda: ["H100"])
    device = findings(monkeypatch, dict(WELL, engine=engine))["device"]
    assert device.grade == "slow" and "nvidia-smi" in device.repair


def test_a_card_asks_for_the_cuda_build_and_no_other(monkeypatch):
    monkeypatch.setattr(machine, "cards", lambda: ["H100"])
    device = findings(monkeypatch, WELL)["device"]
    assert device.grade == "slow" and device.repair.endswith("--variant cuda --activate")
    engine = dict(WELL["engine"], cuda=True, devices=1)
    found = findings(monkeypatch, dict(WELL, engine=engine))
    assert found["device"].grade == "ok" and "built for CUDA" in found["caffe"].text


def test_cards_are_those_the_driver_names_or_else_lists(monkeypatch, tmp_path):
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t NVIDIA H200\nIRQ: 5\n")
    assert machine.listed_cards(str(tmp_path)) == ["NVIDIA H200"]
    monkeypatch.setattr(machine, "listed_cards", lambda: ["listed"])
    monkeypatch.setattr(machine, "CUDA_DRIVER", "libno_such_driver.so.1")
    assert machine.cards() == ["listed"]
    monkeypatch.setattr(machine, "CUDA_DRIVER", "libc.so.6")
    monkeypatch.setattr(machine, "PRINT_CARDS", "print('one'); print('two')")
    assert machine.cards() == ["one", "two"]
    monkeypatch.setattr(machine, "PRINT_CARDS", "raise SystemExit(1)")
    assert machine.cards() == ["listed"]


def test_versions_of_cuda_are_asked_of_its_libraries():
    class Library:
        def cudaRuntimeGetVersion(self, number):
            number._obj.value = 13010
            return 0

        def cublasGetProperty(self, which, number):
            number._obj.value = (13, 1, 2)[which]
            return 0
    paths = ["/x/libcudart.so.13", "/x/libcublas.so.13", "/x/libcublasLt.so.13", "/x/libm.so"]
    assert probe.cuda_versions(paths, lambda path: Library()) == {"CUDA": "13.1",
                                                                  "cuBLAS": "13.1.2"}
    assert probe.cuda_versions(paths[2:]) == {}
