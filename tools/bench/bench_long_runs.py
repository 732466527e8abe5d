r"""Measures the figures of docs/long_runs.md: kills survived, and memory over many iterations.

    python3 tools/bench/bench_long_runs.py kills --kills 20 \
        --output docs/results/long_runs_kills.md
    python3 tools/bench/bench_long_runs.py memory --iterations 2000 \
        --output docs/results/long_runs_memory.md

Both start tools/train.py on the toy nets, from random weights, in a temporary folder.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import os
import tempfile

from tools.bench.long_run_kills import survive_kills
from tools.bench.long_run_memory import SETTLED, draw_curve, figures, watch_run
from tools.lib.command import CommandParser, count, run_command
from tools.lib.tables import Table, format_of, print_and_write

STAGES = ("source", "ga", "ga_ca")


def main(arguments=None):
    """Takes one of the two measurements, prints its table and writes it to --output."""
    parser = CommandParser(prog="tools/bench/bench_long_runs.py",
                           description="Kills survived, and memory over many iterations.")
    commands = parser.add_subparsers(dest="measurement", required=True)
    kills = commands.add_parser("kills", help="kills a run by SIGKILL at random moments and "
                                              "compares its final bytes with an undisturbed run")
    kills.add_argument("--kills", type=count, default=20, help="kills of each stage")
    kills.add_argument("--seed", type=int, default=1, help="seed of the moments")
    kills.set_defaults(measure=_kills)
    memory = commands.add_parser("memory", help="memory, open files and processes of one toy "
                                                "GA + CA run")
    memory.add_argument("--iterations", type=count, default=2000,
                        help=f"iterations of the run, at least {SETTLED}")
    memory.set_defaults(measure=_memory)
    for command in (kills, memory):
        command.add_argument("--output", help="write the table to this file as well (.txt, .md, "
                                              ".csv or .tex)")
    args = parser.parse_args(arguments)
    if args.measurement == "memory" and args.iterations < SETTLED:
        memory.error(f"--iterations: expected at least {SETTLED}, after which memory is "
                     f"compared, found {args.iterations}")
    form = args.output and format_of(args.output)
    with tempfile.TemporaryDirectory() as folder:
        table = args.measure(args, folder)
    print_and_write([table], args.output, form)


def _kills(args, folder):
    rows = []
    for stage in STAGES:
        counts = survive_kills(stage, args.kills, args.seed, os.path.join(folder, stage))
        rows.append([stage] + [str(value) for value in counts.values()])
    return Table(["toy stage"] + list(counts), rows,
                 f"Written by python3 tools/bench/bench_long_runs.py kills --kills {args.kills} "
                 f"--seed {args.seed}")


def _memory(args, folder):
    samples = watch_run(args.iterations, folder)
    if args.output:
        draw_curve(samples, os.path.splitext(args.output)[0] + ".png")
    return Table(["one toy GA + CA run", "value"],
                 [[key, str(value)] for key, value in figures(samples).items()],
                 "Written by python3 tools/bench/bench_long_runs.py memory --iterations "
                 f"{args.iterations}")


if __name__ == "__main__":
    run_command(main)
