"""Step time of 1 and 2 training processes, the share of communication, and a plan for GPUs.

    python3 tools/bench/bench_scaling.py [--net models/toy/ga_ca.prototxt] [--output FILE.md]

Each process computes in one thread. The measurement is of this machine; the plan is a calculation
for the full-width net from the assumptions given as options. Needs a private MPI
(python3 tools/setup_mpi.py).
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import caffe
import numpy as np

from data.cores import usable_cores
from data.errors import InputError
from data.files import ROOT, write_whole
from models.cost import FLOAT, parameters
from models.experiments.gta import GTA
from tools.bench import scaling_plan
from tools.lib.checking.dry_run import fatal_message
from tools.lib.checking.net import check_net, load_net
from tools.lib.checking.solver_file import find_file
from tools.lib.command import CommandParser, command_line, count, positive, run_command
from tools.lib.outputs import require_file
from tools.lib.runtime import mpi
from tools.lib.training import parallel
from tools.lib.training.solver import display_path

#: (GPUs in all, machines)
PLANS = ((2, 1), (8, 1), (16, 2), (32, 4))
#: Images on each GPU: one of each domain.
IMAGES = 2
#: Seconds that a message takes, in the plan.
LATENCY = 20e-6
#: Exchanges of the full-width net's gradients that are timed.
LARGE_EXCHANGES = 5

#: The solver of a measured net, beside its train_net.
SOLVER = """base_lr: 0.0001
lr_policy: "fixed"
momentum: 0.9
random_seed: 1
snapshot_after_train: false
"""
#: Start of the line in which process 0 prints its measurement.
RESULT = "scaling result: "


def main():
    """Measures, calculates, prints both and writes them to --output."""
    options = parse()
    if options.worker:
        worker(options.net, options.steps)
        return
    require_file(options.output, "--output")
    check_net(load_net(options.net), caffe.TRAIN, display_path(options.net))
    load = os.getloadavg()[0]
    lines, ring = measured(options, load)
    memory = options.memory * 1e9 if options.memory else ring
    machine = scaling_plan.Machine(None, options.bus * 1e9, memory, options.network * 1e9, LATENCY)
    lines += calculated(machine, options)
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        command = command_line("tools/bench/bench_scaling.py")
        write_whole(options.output, f"Printed by `{command}`.\n\n{text}")


def parse():
    """The options of the command line, checked; --net becomes an absolute path."""
    parser = CommandParser(description=__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="models/toy/ga_ca.prototxt", metavar="FILE",
                        help="train net to measure")
    parser.add_argument("--steps", type=count, default=10, metavar="N")
    parser.add_argument("--output", metavar="FILE.md")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    plans = parser.add_argument_group("assumptions of the plan")
    plans.add_argument("--tflops", type=positive,
                       help="sustained TFLOP/s of a GPU (default: those of the steps measured on "
                            "an H200, in TF32 and in float32)")
    plans.add_argument("--nvlink", type=positive, default=300,
                       help="GB/s of NCCL's ring over NVLink (default: 300)")
    plans.add_argument("--pcie", type=positive, default=20,
                       help="GB/s of NCCL's ring over PCIe (default: 20)")
    plans.add_argument("--bus", type=positive, default=20,
                       help="GB/s between GPU and host (default: 20)")
    plans.add_argument("--memory", type=positive,
                       help="GB/s of a ring inside a machine (default: the measured rate)")
    plans.add_argument("--network", type=positive, default=10,
                       help="GB/s between machines (default: 10)")
    plans.add_argument("--window", type=count, nargs=2, default=(256, 256), metavar=("H", "W"),
                       help="label pixels of a crop")
    plans.add_argument("--share", type=positive, default=0.9,
                       help="scaling efficiency to reach, below 1 (default: 0.9)")
    options = parser.parse_args()
    options.window = tuple(options.window)
    if options.share >= 1:
        parser.error(f"--share: expected a number below 1, found {options.share:g}")
    options.net = os.path.abspath(find_file(options.net, "tools/bench/bench_scaling.py", "--net"))
    return options


def measured(options, load):
    """(lines of the table of measured times, bytes a second of the ring of two processes).

    The ring exchanges the full-width net's gradients. load: load average at the start.
    """
    lines = [f"## Measured: {display_path(options.net)}, one thread a process, {usable_cores()} "
             f"cores, load average {load:.1f} at the start", "",
             "| processes | step, median | fastest | exchange in the step | its share | exchange "
             "without waiting | bytes |",
             "|---|---|---|---|---|---|---|"]
    steps = []
    for processes in (1, 2):
        found = launch(processes, options.net, options.steps)
        steps.append(found)
        lines.append(f"| {processes} | {1e3 * found['step']:.1f} ms | "
                     f"{1e3 * found['fastest']:.1f} ms | {1e3 * found['exchange']:.1f} ms | "
                     f"{100 * found['exchange'] / found['step']:.1f}% | "
                     f"{1e3 * found['bare_exchange']:.2f} ms | {found['bytes']} |")
    one, two = steps
    rate = two["bytes"] / max(two["bare_exchange"], 1e-9)
    lines += ["", f"Two processes do twice the images in {two['step'] / one['step']:.2f} times the "
                  f"time (fastest steps: {two['fastest'] / one['fastest']:.2f}). An exchange "
                  "includes waiting for the",
              f"slower process; without the waiting, {rate / 1e9:.2f} GB/s of gradients are "
              "exchanged."]
    ring = scaling_plan.rate_of(two["large_bytes"], 2, two["large_exchange"])
    lines += ["", f"The full-width net's gradients, {two['large_bytes'] / 1e6:.0f} MB, are "
                  f"exchanged by two processes in {two['large_exchange']:.2f} s, the fastest of "
                  f"{LARGE_EXCHANGES}: {ring / 1e9:.2f} GB/s."]
    return lines, ring


def calculated(machine, options):
    """Lines of the plan.

    machine: of a ring through the host's memory, without its speed; options: of the command line.
    """
    shape, classes, window = GTA.shape, GTA.classes, options.window
    if options.tflops:
        flops = {f"{options.tflops:g} TFLOP/s": options.tflops * 1e12}
        speed = "the speed given"
    else:
        flops = scaling_plan.measured_flops(shape, classes)
        speed = "the speed measured on one H200 ([gpu](gpu.md)), forward and backward"
    source = "given" if options.memory else "the measured rate"
    paths = {f"NCCL, NVLink, {options.nvlink:g} GB/s": between_gpus(machine, options.nvlink),
             f"NCCL, PCIe, {options.pcie:g} GB/s": between_gpus(machine, options.pcie),
             f"MPI through the host, {machine.memory / 1e9:.2f} GB/s": machine}
    height, width = window
    alone = {name: scaling_plan.step(shape, classes, window, IMAGES, 1, 1,
                                     machine._replace(flops=value)).compute
             for name, value in flops.items()}
    speeds = ", ".join(f"{1e3 * seconds:.1f} ms of computing ({name})"
                       for name, seconds in alone.items())
    lines = ["", f"## Calculated, not measured: full-width net, {classes} classes, {height} x "
                 f"{width} labels, one image of each domain a GPU", "",
             f"Assumed: {speeds}, at {speed}; {machine.bus / 1e9:.0f} GB/s between GPU and host; "
             f"{machine.network / 1e9:.1f} GB/s between machines; NCCL's rings as given; the ring "
             f"through the host's memory as {source}.", "",
             "| GPUs | machines | exchange by | its time | "
             + " | ".join(f"{name}: scaling efficiency | images a GPU for "
                          f"{100 * options.share:.0f}%" for name in flops) + " |",
             "|---|---|---|---|" + len(flops) * "---|---|"]
    for processes, machines in PLANS:
        for path, link in paths.items():
            cells = []
            for value in flops.values():
                made = link._replace(flops=value)
                timing = scaling_plan.step(shape, classes, window, IMAGES, processes, machines,
                                           made)
                images = scaling_plan.images_for(options.share, shape, classes, window, processes,
                                                 machines, made)
                cells.append(f"{100 * scaling_plan.efficiency(timing):.0f}% | {images}")
            exchange = 1e3 * (timing.bus + timing.exchange)
            lines.append(f"| {processes} | {machines} | {path} | {exchange:.1f} ms | "
                         + " | ".join(cells) + " |")
    return lines + ["", f"Gradients of a step: {FLOAT * parameters(shape, classes) / 1e6:.0f} MB. "
                        "Images of both domains are counted, those of iter_size too."]


def between_gpus(machine, rate):
    """The machine with a ring between its GPUs of `rate` GB/s, and nothing through the host."""
    return machine._replace(bus=math.inf, memory=rate * 1e9)


def launch(processes, net, steps):
    """Runs worker() in `processes` processes of one BLAS thread each; returns what process 0 found.

    InputError with Caffe's message when the processes fail.
    """
    launcher = [mpi.program("mpiexec"), "-n", str(processes)] if processes > 1 else []
    done = subprocess.run(
        launcher + [sys.executable, os.path.join(ROOT, "tools/bench/bench_scaling.py"), "--worker",
                    "--net", net, "--steps", str(steps)],
        cwd=ROOT, env=dict(os.environ, OPENBLAS_NUM_THREADS="1"), capture_output=True,
        text=True)
    for line in done.stdout.splitlines():
        if line.startswith(RESULT):
            return json.loads(line[len(RESULT):])
    reason = (fatal_message(done.stderr)
              or (done.stderr.strip().splitlines() or ["no message"])[-1])
    raise InputError(f"the run of {processes} process(es) failed: {reason}")


def worker(net, steps):
    """Trains for some steps; process 0 prints its measurement.

    These are the median seconds of a step, and of the exchange of gradients in it.
    """
    group = parallel.join()
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(f'train_net: "{net}"\n{SOLVER}')
        file.flush()
        solver = caffe.get_solver(file.name)
    solver.add_callback(lambda: None, lambda: group.average_gradients(solver.net))
    group.broadcast_weights(solver.net)
    solver.step(2)  # memory is allocated, and every process has started
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
        "bytes": sum(values.nbytes for values in gradients),
        "bare_exchange": fastest_exchange(group, gradients, steps)
    }
    if group.size > 1:
        large = np.ones(parameters(GTA.shape, GTA.classes), np.float32)
        found.update(large_bytes=large.nbytes,
                     large_exchange=fastest_exchange(group, [large], LARGE_EXCHANGES))
    if group.rank == 0:
        print(RESULT + json.dumps(found), flush=True)


def fastest_exchange(group, arrays, times):
    """Seconds of the fastest of `times` exchanges, which all processes begin together."""
    found = []
    for _ in range(times):
        group.mean({"a": 0.0})      # all processes arrive here first
        before = group.seconds
        group.average(arrays)
        found.append(group.seconds - before)
    return min(found)


if __name__ == "__main__":
    run_command(main)
