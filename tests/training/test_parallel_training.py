"""Several processes that train one net: they equal one process, resume, and end together."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data.files import ROOT
from data.sharing import ALONE, Share
from tools.lib.runtime import RUNNING_PYTHON, mpi
from tools.lib.runtime.enter import runtime_environment
from tools.lib.training import parallel

import tiny_training as tiny

needs_mpi = pytest.mark.usefixtures("mpi_starts")

#: Two processes that find each other, without any code of ours but the import path.
PROBE = """
from tools.lib.runtime import mpi
mpi.make_importable()
from mpi4py import MPI
assert MPI.COMM_WORLD.allreduce(1) == 2
"""

#: tools/train.py with the layer of the tiny net, which the command itself would not import.
DRIVER = """
import tiny_training
from tools.lib.command import run_command
from tools.lib.training.run import main
from tools.lib.training.parallel import abort_others_on_failure
run_command(abort_others_on_failure(main))
"""


def command(solver, output, options, processes):
    launcher = [mpi.program("mpiexec"), "-n", str(processes)] if processes > 1 else []
    return launcher + [sys.executable, "-c", DRIVER, "--solver", solver, "--output",
                       str(output)] + list(options)


def environment():
    tests = os.path.join(ROOT, "tests")
    return dict(os.environ, OPENBLAS_NUM_THREADS="1",
                PYTHONPATH=os.pathsep.join([ROOT, tests, os.environ.get("PYTHONPATH", "")]))


@pytest.fixture(scope="session")
def mpi_starts():
    """Skips where there is no MPI, or where it cannot start two processes that find each other."""
    if not (os.path.isdir(mpi.packages(RUNNING_PYTHON))
            and os.access(os.path.join(mpi.FOLDER, "bin/mpiexec"), os.X_OK)):
        pytest.skip(f"no private MPI for this Python: {mpi.SETUP} makes it")
    try:
        done = subprocess.run([mpi.program("mpiexec"), "-n", "2", sys.executable, "-c", PROBE],
                              env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("MPI starts no two processes here within a minute")
    if done.returncode:
        pytest.skip(f"MPI starts no two processes here: {' '.join(done.stdout.split())[-300:]}")


def train(repo_root, solver, output, *options, processes=1):
    done = subprocess.run(command(solver, output, options, processes), cwd=repo_root,
                          env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=400)
    return done.returncode, done.stdout


class NumberedBatches:
    """A maker of batches that hold their own number."""
    shapes = ((1,), (1,))

    def fill(self, batch, data, label):
        data[...] = batch


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_processes_batches_are_all_batches_each_once(size):
    data, label = np.zeros(1), np.zeros(1)
    seen = []
    for step in range(4):
        for rank in range(size):
            Share(rank, size).of(NumberedBatches()).fill(step, data, label)
            seen.append(int(data[0]))
            assert Share(rank, size).own(seen[-1]) == step
    assert seen == list(range(4 * size))


def test_one_process_needs_no_mpi_and_shares_nothing(monkeypatch):
    for names in mpi.RANKS:
        monkeypatch.delenv(names[0], raising=False)
    assert parallel.join() is parallel.ALONE and ALONE.of("maker") == "maker"


@pytest.mark.parametrize("environ, expected", [
    ({}, (0, 1)),
    ({"PMI_RANK": "1", "PMI_SIZE": "4"}, (1, 4)),
    ({"PMI_RANK": "x", "PMI_SIZE": "4"}, (0, 1)),
    ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3"}, (2, 3)),
    ({"PMI_RANK": "1"}, (0, 1)),
])
def test_ranks_are_read_from_the_launchers_variables(environ, expected):
    assert mpi.launched(environ) == expected


def test_processes_of_a_machine_share_its_cores(monkeypatch):
    from tools.lib.runtime import enter
    monkeypatch.setattr(enter, "usable_cores", lambda: 8)
    for processes, threads in (("1", "8"), ("3", "2"), ("16", "1")):
        environ = {"MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": processes}
        assert runtime_environment(environ)["OPENBLAS_NUM_THREADS"] == threads


OFFSETS = """
import os
os.environ["CUDA_VISIBLE_DEVICES"] = %s
from tools.lib.training import parallel
group = parallel.join()
print("process %%d takes GPU %%d" %% (group.rank, group.gpu_offset))
"""


@needs_mpi
@pytest.mark.parametrize("visible, taken", [('"0,1"', (0, 1)), ('os.environ["PMI_RANK"]', (0, 0))])
def test_processes_of_a_machine_take_its_gpus_in_turn_unless_each_is_shown_its_own(visible, taken):
    done = subprocess.run(
        [mpi.program("mpiexec"), "-n", "2", sys.executable, "-c", OFFSETS % visible],
        env=environment(), stdout=subprocess.PIPE, text=True, timeout=120)
    # the launcher may pass on a line and its end apart
    found = re.findall(r"process (\d) takes GPU (\d)", done.stdout)
    assert sorted((int(rank), int(gpu)) for rank, gpu in found) == list(enumerate(taken))


EXCHANGE = """
import numpy as np
from layers import gpu_arrays
from tools.lib.training import nccl, parallel
from nccl_stand_in import Blob, Gpu, Nccl, Net
group = parallel.join()
from mpi4py import MPI

def send(arrays):
    for values in arrays:
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, values)
        values *= np.float32(1 / group.size)

def gradients():
    draw = np.random.RandomState(group.rank)
    return [draw.normal(size=size) for size in (1000, 7, 1)]

def load():
    if %r and group.rank == 1:
        raise RuntimeError("none on this machine")
    return Nccl(send)

nccl.load = load
gpu_arrays._current = gpu_arrays.GpuArrays(Gpu(card=b"card %%d" %% group.rank))
group.connect_gpus()
if group._gpus is None:
    print("process %%d exchanges through the host" %% group.rank)
else:
    net = Net(one=[Blob(values) for values in gradients()])
    group.average_gradients(net)
    expected = [values.astype(np.float32) for values in gradients()]
    group.average(expected)
    for blob, values in zip(net.params["one"], expected):
        assert np.allclose(blob.values, values, rtol=1e-6, atol=0)
    assert group.seconds > 0
    print("process %%d equals MPI" %% group.rank)
"""


@needs_mpi
@pytest.mark.parametrize("missing, line", [(False, "equals MPI"),
                                           (True, "exchanges through the host")])
def test_two_processes_exchange_by_nccl_what_mpi_would_or_say_why_not(missing, line):
    done = subprocess.run(
        [mpi.program("mpiexec"), "-n", "2", sys.executable, "-c", EXCHANGE % missing],
        env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall("process (.) " + line, done.stdout)) == ["0", "1"]
    notice = "through the host and MPI, not between the GPUs: none on this machine (process 1)"
    assert done.stderr.count(notice) == missing


def test_shared_parameters_are_averaged_once(tmp_path):
    path = tmp_path / "net.prototxt"
    data = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 } } }\n'
    path.write_text(data + "".join(
        f'''layer {{ name: "{name}" type: "InnerProduct" bottom: "d" top: "{name}"
        param {{ name: "w" }} param {{ name: "b" }} inner_product_param {{ num_output: 2 }} }}
''' for name in "ab"))
    net = caffe.Net(str(path), caffe.TRAIN)
    assert len(list(parallel.blobs_once(net, "diff"))) == 2


def small_run(folder, repo_root, stage, classifier_steps=1, **fields):
    """A solver of the toy's slim nets with crops of a size for tests."""
    with open(os.path.join(repo_root, f"models/toy/{stage}.prototxt")) as file:
        net = file.read()
    for old, new in (("[80, 144]", "[32, 48]"), ('workers\\": 1', 'workers\\": 0')):
        assert old in net
        net = net.replace(old, new)
    if classifier_steps > 1:
        net = net.replace('\\"objective\\"',
                          f'\\"classifier_steps\\": {classifier_steps}, \\"objective\\"')
    return tiny.write_run(folder, net, base_lr=0.002, lr_policy='"fixed"', gamma=None,
                          stepsize=None, max_iter=3, snapshot=3, **fields)


@needs_mpi
@pytest.mark.parametrize("stage, classifier_steps", [("source", 1), ("ga", 1), ("ga_ca", 1),
                                                     ("ga", 3)])
def test_two_processes_equal_one_with_iter_size_two(tmp_path, repo_root, stage, classifier_steps):
    models, logs = [], []
    for name, processes, passes in (("one", 1, 2), ("two", 2, 1)):
        solver = small_run(tmp_path / name, repo_root, stage, classifier_steps, iter_size=passes)
        code, printed = train(repo_root, solver, tmp_path / name / "out", processes=processes)
        assert code == 0, printed
        models.append(tiny.parameters(tmp_path / name / "out" / "tiny_iter_3.caffemodel"))
        logs.append(tiny.entries(tmp_path / name / "out", "train"))
    one, two = models
    assert one.keys() == two.keys()
    for key in one:
        assert np.abs(one[key] - two[key]).max() <= 1e-5 * np.abs(one[key]).max() + 1e-9, key
    # the last entry is one more forward pass of each process, after the last update
    for a, b in list(zip(*logs))[:-1]:
        for name, value in a["values"].items():
            assert b["values"][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


@needs_mpi
def test_a_run_of_two_resumes_bit_for_bit_and_only_with_two(tmp_path, repo_root):
    solver = tiny.write_run(tmp_path, max_iter=4)
    code, printed = train(repo_root, solver, tmp_path / "whole", processes=2)
    assert code == 0, printed
    assert train(repo_root, solver, tmp_path / "parts", "--max-iter", "2", processes=2)[0] == 0
    code, printed = train(repo_root, solver, tmp_path / "parts", "--resume", "--max-iter", "4")
    assert code == 2 and "processes: 2 before, 1 now" in printed, printed
    code, printed = train(repo_root, solver, tmp_path / "parts", "--resume", "--max-iter", "4",
                       processes=2)
    assert code == 0, printed
    assert tiny.model(tmp_path / "parts", 4) == tiny.model(tmp_path / "whole", 4)
    # the second process reads batches of its own
    assert train(repo_root, solver, tmp_path / "alone")[0] == 0
    assert tiny.model(tmp_path / "alone", 4) != tiny.model(tmp_path / "whole", 4)


@needs_mpi
def test_a_run_of_two_with_further_classifier_steps_resumes_bit_for_bit(tmp_path, repo_root):
    solver = small_run(tmp_path, repo_root, "ga", classifier_steps=3)
    for folder, options in (("whole", []), ("parts", ["--max-iter", "1"]),
                            ("parts", ["--resume", "--max-iter", "3"])):
        code, printed = train(repo_root, solver, tmp_path / folder, *options, processes=2)
        assert code == 0, printed
    assert tiny.model(tmp_path / "parts", 3) == tiny.model(tmp_path / "whole", 3)


@needs_mpi
def test_an_error_in_one_process_ends_the_others_with_its_message(tmp_path, repo_root):
    # batch 3 is the second process's in iteration 0
    solver = tiny.write_run(tmp_path, tiny.net_text(fail_at=3), max_iter=50)
    code, printed = train(repo_root, solver, tmp_path / "out", processes=2)
    assert code != 0 and "list.txt:7: broken.png cannot be read" in printed
    assert "process 1 of 2 has failed" in printed and "Traceback" not in printed


@needs_mpi
def test_a_wrong_option_ends_all_with_one_message(tmp_path, repo_root):
    code, printed = train(repo_root, str(tmp_path / "none.prototxt"), tmp_path / "out", processes=2)
    assert code != 0 and printed.count("none.prototxt") == 1, printed
    assert "process 0 of 2 has failed" in printed, printed


@pytest.fixture
def started(repo_root):
    """started(solver, output): two processes training; ended with the test."""
    runs = []

    def start(solver, output):
        runs.append(subprocess.Popen(command(solver, output, (), 2), cwd=repo_root,
                                     env=environment(), stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, universal_newlines=True))
        wait_until(lambda: len(tiny.entries(output, "train")) > 2 or runs[0].poll() is not None)
        return runs[0]

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def processes_of(output):
    """Numbers of the training processes whose command line names the output folder."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if str(output).encode() in words and b"-n" not in words:
            found.append(int(entry))
    return sorted(found)


def rank_of(number):
    with open(f"/proc/{number}/environ", "rb") as file:
        items = [item.split(b"=", 1) for item in file.read().split(b"\0") if b"=" in item]
    return int(dict(items)[b"PMI_RANK"])


def wait_until(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "still waiting"
        time.sleep(0.05)


@needs_mpi
def test_a_killed_process_ends_the_others_with_a_message(tmp_path, started):
    output = tmp_path / "out"
    solver = tiny.write_run(tmp_path, tiny.net_text(nap=0.05), max_iter=100000, snapshot=0)
    run = started(solver, output)
    victim = next(number for number in processes_of(output) if rank_of(number) == 1)
    os.kill(victim, signal.SIGKILL)
    printed, _ = run.communicate(timeout=400)
    # "KILLED BY SIGNAL: 9" or "Killed (signal 9)", as the launcher has it
    assert run.returncode != 0 and re.search(r"killed\W.*signal:? 9", printed, re.I), printed
    wait_until(lambda: not processes_of(output))


@needs_mpi
def test_a_signal_to_one_process_stops_all_at_the_same_iteration(tmp_path, started):
    output = tmp_path / "out"
    solver = tiny.write_run(tmp_path, tiny.net_text(nap=0.05), max_iter=100000, snapshot=0)
    run = started(solver, output)
    worker = next(number for number in processes_of(output) if rank_of(number) == 1)
    os.kill(worker, signal.SIGTERM)
    printed, _ = run.communicate(timeout=400)
    assert "stopped by SIGTERM" in printed, printed
    assert "  tools/mpirun -n 2 python3 tools/train.py --solver" in printed, printed
    assert len(tiny.entries(output, "snapshot")) == 1
    with open(str(output / "record.json")) as file:
        assert json.load(file)["processes"] == 2
