"""Step times of several processes that train together, measured on this machine."""
import json
import os
import subprocess
import sys
import tempfile
import time

from data.errors import InputError
from data.files import ROOT
from models.cost import parameters
from models.experiments.gta import GTA
from tools.lib.checking.glog import fatal_message
from tools.lib.runtime import mpi

SOLVER = 'train_net: "%s"\nbase_lr: 0.0001\nlr_policy: "fixed"\nmomentum: 0.9\nrandom_seed: 1\nsnapshot_after_train: false\n'
RESULT = "scaling result: "
#: Exchanges of the full-width net's gradients that are timed.
LARGE_EXCHANGES = 5


def launch(processes, net, steps):
    """Runs worker() in so many processes of one BLAS thread each; returns what process 0 found."""
    launcher = [mpi.program("mpiexec"), "-n", str(processes)] if processes > 1 else []
    done = subprocess.run(
        launcher + [
            sys.executable,
            os.path.join(ROOT, "tools/bench/bench_scaling.py"), "--worker", "--net", net, "--steps",
            str(steps)
        ], cwd=ROOT, env=dict(os.environ, OPENBLAS_NUM_THREADS="1"), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True)
    for line in done.stdout.splitlines():
        if line.startswith(RESULT):
            return json.loads(line[len(RESULT):])
    raise InputError("%d processes have measured nothing: %s" %
                     (processes, fatal_message(done.stderr) or
                      (done.stderr.strip().splitlines() or ["no message"])[-1]))


def worker(net, steps):
    """Trains for some steps and prints times in seconds: medians of the step and of the exchange in
    it."""
    import caffe
    import numpy as np

    from tools.lib.training import parallel

    group = parallel.join()
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(SOLVER % net)
        file.flush()
        solver = caffe.get_solver(file.name)
    solver.add_callback(lambda: None, lambda: group.average_gradients(solver.net))
    group.equalize(solver.net)
    solver.step(2)  # memory is allocated, the other processes are there
    times, exchanges = [], []
    for _ in range(steps):
        before, started = group.seconds, time.monotonic()
        solver.step(1)
        times.append(time.monotonic() - started)
        exchanges.append(group.seconds - before)
    gradients = list(parallel.blobs_once(solver.net, "diff"))
    found = {
        "processes": group.size, "step": float(np.median(times)), "fastest": min(times),
        "exchange": float(np.median(exchanges)),
        "bytes": sum(values.nbytes for values in gradients), "bare_exchange": fastest_exchange(
            group, gradients, steps)
    }
    if group.size > 1:
        large = np.ones(parameters(GTA.shape, GTA.classes), np.float32)
        found.update(large_bytes=large.nbytes,
                     large_exchange=fastest_exchange(group, [large], LARGE_EXCHANGES))
    if group.leads:
        print(RESULT + json.dumps(found), flush=True)


def fastest_exchange(group, arrays, times):
    """Seconds of the fastest of so many exchanges that no process has to wait for: what the data
    alone take."""
    found = []
    for _ in range(times):
        group.mean({"a": 0.0})
        before = group.seconds
        group.average(arrays)
        found.append(group.seconds - before)
    return min(found)
