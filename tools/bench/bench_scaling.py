"""Step time of 1 and 2 training processes of one thread each, the share of communication, and a
plan for GPUs.

    python3 tools/bench/bench_scaling.py [--net models/toy/ga_ca.prototxt] [--output
    docs/results/scaling.md]

The measurement is of this machine; the plan is a calculation for the full-width net from the
assumptions given as options. Needs a private MPI (python3 tools/setup_mpi.py).
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import argparse
import os
import sys

import caffe

from data.cores import usable_cores
from data.files import write_whole
from models.experiments.gta import GTA
from tools.bench.scaling import measure, plan
from tools.lib.checking.net import check_net, load_net
from tools.lib.checking.solver import find_file
from tools.lib.command import count, positive, run_command
from tools.lib.outputs import require_file
from tools.lib.training.solver import shown

#: (GPUs in all, machines)
PLANS = ((1, 1), (2, 1), (8, 1), (16, 2), (32, 4))


def main():
    options = parse()
    if options.worker:
        measure.worker(options.net, options.steps)
        return
    require_file(options.output, "--output")
    check_net(load_net(options.net), caffe.TRAIN, shown(options.net))
    load = os.getloadavg()[0]
    lines, ring = measured(options, load)
    machine = plan.Machine(options.tflops * 1e12, options.bus * 1e9,
                           options.memory * 1e9 if options.memory else ring, options.network * 1e9,
                           20e-6)
    source = "given" if options.memory else "the measured rate"
    text = "\n".join(lines + calculated(machine, options.window, options.share, source)) + "\n"
    print(text, end="")
    if options.output:
        write_whole(options.output, "Printed by `%s`.\n\n%s" % (
            " ".join(["python3 tools/bench/bench_scaling.py"] + sys.argv[1:]), text))


def measured(options, load):
    """(Lines of the table of measured times, bytes a second of the ring of two processes with the
    full-width net's gradients)."""
    lines = [f"## Measured: {shown(options.net)}, one thread a process, {usable_cores()} cores, "
             f"load average {load:.1f} at the start", "",
             "| processes | step, median | fastest | exchange in the step | its share | exchange "
             "without waiting | bytes |",
             "|---|---|---|---|---|---|---|"]
    steps = []
    for processes in (1, 2):
        found = measure.launch(processes, options.net, options.steps)
        steps.append(found)
        lines.append(f"| {processes} | {1e3 * found['step']:.1f} ms | "
                     f"{1e3 * found['fastest']:.1f} ms | {1e3 * found['exchange']:.1f} ms | "
                     f"{100 * found['exchange'] / found['step']:.1f}% | "
                     f"{1e3 * found['bare_exchange']:.2f} ms | {found['bytes']} |")
    one, two = steps
    lines += ["", f"Two processes do twice the images in {two['step'] / one['step']:.2f} times the "
                  f"time (fastest steps: {two['fastest'] / one['fastest']:.2f}). An exchange "
                  "includes waiting for the",
              "slower process; without it, "
              f"{two['bytes'] / max(two['bare_exchange'], 1e-9) / 1e9:.2f} GB/s of gradients."]
    ring = plan.rate_of(two["large_bytes"], 2, two["large_exchange"])
    lines += ["", f"The full-width net's gradients, {two['large_bytes'] / 1e6:.0f} MB, are "
                  f"exchanged by two processes in {two['large_exchange']:.2f} s, the fastest of "
                  f"{measure.LARGE_EXCHANGES}: {ring / 1e9:.2f} GB/s."]
    return lines, ring


def calculated(machine, window, share, source):
    """Lines of the plan."""
    shape, classes = GTA.shape, GTA.classes
    lines = ["", "## Calculated, not measured: full-width net, %d classes, %d x %d labels, one "
                 "image a GPU" % ((classes,) + window), "",
             f"Assumed: {machine.flops / 1e12:.0f} TFLOP/s sustained, {machine.bus / 1e9:.0f} GB/s "
             f"between GPU and host, {machine.network / 1e9:.1f} GB/s between machines. Inside a "
             f"machine {machine.memory / 1e9:.2f} GB/s, {source}.", "",
             "| GPUs | machines | computing | to the host and back | exchange | scaling "
             f"efficiency | images a GPU for {100 * share:.0f}% |",
             "|---|---|---|---|---|---|---|"]
    for processes, machines in PLANS:
        timing = plan.step(shape, classes, window, 1, processes, machines, machine)
        lines.append("| %d | %d | %.0f ms | %.0f ms | %.0f ms | %.0f%% | %d |" % (
            processes, machines, 1e3 * timing.compute, 1e3 * timing.bus, 1e3 * timing.exchange,
            100 * plan.efficiency(timing),
            plan.images_for(share, shape, classes, window, processes, machines, machine)))
    lines += ["", f"Gradients of a step: {plan.FLOAT * plan.parameters(shape, classes) / 1e6:.0f} "
                  "MB."]
    return lines


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="models/toy/ga_ca.prototxt", metavar="FILE",
                        help="train net to measure")
    parser.add_argument("--steps", type=count, default=10, metavar="N")
    parser.add_argument("--output", metavar="FILE.md")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    plans = parser.add_argument_group("assumptions of the plan")
    plans.add_argument("--tflops", type=positive, default=20, help="sustained float32 TFLOP/s of a "
                                                                   "GPU (default: 20)")
    plans.add_argument("--bus", type=positive, default=20, help="GB/s between GPU and host "
                                                                "(default: 20)")
    plans.add_argument("--memory", type=positive, help="GB/s of a ring inside a machine (default: "
                                                       "what was measured)")
    plans.add_argument("--network", type=positive, default=10, help="GB/s between machines "
                                                                    "(default: 10)")
    plans.add_argument("--window", type=count, nargs=2, default=(256, 256), metavar=("H", "W"),
                       help="label pixels of a crop")
    plans.add_argument("--share", type=positive, default=0.9, help="scaling efficiency to reach, "
                                                                   "below 1 (default: 0.9)")
    options = parser.parse_args()
    options.window = tuple(options.window)
    if options.share >= 1:
        parser.error(f"--share: expected a number below 1, found {options.share:g}")
    options.net = os.path.abspath(find_file(options.net, "tools/bench/bench_scaling.py", "--net"))
    return options


if __name__ == "__main__":
    run_command(main)
