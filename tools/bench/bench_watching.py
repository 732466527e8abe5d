"""Times the event file and the filmstrip of train.py against the steps of a toy run.

    python3 tools/bench/bench_watching.py --output docs/results/watching_speed.md

The run writes what train.py writes; between its steps, every turn times one line of the log in the
event file, and the pictures of one snapshot. No weights are loaded: times do not depend on them.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import os
import statistics
import tempfile
import time

from data.files import write_whole
from tools.bench.timing import processor
from tools.lib.command import CommandParser, count, run_command
from tools.lib.outputs import require_file
from tools.lib.tables import Table, render
from tools.lib.training import filmstrip, run_folder
from tools.lib.training.engine import Engine
from tools.lib.training.event_file import EventFile
from tools.lib.training.parallel import ALONE
from tools.lib.training.run import parse as parse_training
from tools.lib.training.snapshots import Snapshots
from tools.lib.training.solver import resolve


def parse():
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", default="solvers/toy_ga_ca.prototxt", metavar="FILE",
                        help="default: solvers/toy_ga_ca.prototxt")
    parser.add_argument("--turns", type=count, default=15, metavar="N",
                        help="of steps, line and pictures (default 15)")
    parser.add_argument("--steps", type=count, default=4, metavar="N",
                        help="steps of a turn (default 4)")
    parser.add_argument("--output", help="Markdown file of the table; default: none, only printed")
    return parser.parse_args()


def main():
    options = parse()
    require_file(options.output, "--output")
    with tempfile.TemporaryDirectory() as folder:
        training = parse_training(["--solver", options.solver, "--output", folder])
        resolved = resolve(training)
        measured = measure(resolved, training.solver, folder, options)
    table = compare(measured, resolved.param)
    print(render(table, "text"), end="")
    if options.output:
        write_whole(options.output, page(table, options))


def measure(resolved, solver, folder, options):
    """{"step", "line", "pictures", "shown": [seconds]} of the turns; the first is not counted."""
    run_folder.write_prototxts(resolved)
    snapshots = Snapshots(folder)
    engine = Engine(resolved, snapshots.partial, ALONE)
    strip = filmstrip.open_filmstrip(resolved, solver, filmstrip.USUAL, "cpu")
    strip.begin(-1)
    events = EventFile(folder, [])
    seconds = {"step": [], "line": [], "pictures": [], "shown": []}

    def timed(name, work, *arguments):
        started = time.perf_counter()
        result = work(*arguments)
        seconds[name].append(time.perf_counter() - started)
        return result

    def show(iteration):
        events.add_pictures(iteration, strip.pictures(iteration))

    try:
        for _ in range(options.turns + 1):
            for _ in range(options.steps):
                values = timed("step", engine.step, True)
            probed, presence = engine.probe()
            line = dict(kind="train", iteration=engine.iteration, values={**values, **probed},
                        presence=presence, learning_rate=0.1, iterations_per_second=1.0)
            timed("line", events.add, line)
            snapshot = snapshots.save(engine)
            failed = timed("pictures", strip.draw, snapshot)
            if failed:
                raise RuntimeError(failed)
            timed("shown", show, engine.iteration)
    finally:
        snapshots.close()
    return {name: values[options.steps if name == "step" else 1:]
            for name, values in seconds.items()}


def compare(measured, param):
    """The Table: medians, and what they are of the steps between two of their kind."""
    step = statistics.median(measured["step"])
    rows = [["a step", f"{1000 * step:.1f}", "", ""]]
    for name, words, every in (
            ("line", "event file: a line of the log", param.display),
            ("shown", "event file: the pictures of a snapshot", param.snapshot),
            ("pictures", "filmstrip: predictions of a snapshot", param.snapshot)):
        taken = statistics.median(measured[name])
        rows.append([words, f"{1000 * taken:.1f}", str(every), f"{100 * taken / every / step:.3f}"])
    return Table(["", "ms", "every so many steps", "% of these steps"], rows)


def page(table, options):
    """The table as a page, with the command that made it."""
    return (f"Written by `python3 tools/bench/bench_watching.py --solver {options.solver} "
            f"--turns {options.turns} --steps {options.steps}`.\n\n{render(table, 'markdown')}\n"
            f"{filmstrip.USUAL} frames; {processor()}, load average {os.getloadavg()[0]:.1f} at "
            "the end. Medians; steps, lines and pictures take turns. `--tensorboard` costs the "
            "first two rows of the event file together; the filmstrip is drawn without it too.\n")


if __name__ == "__main__":
    run_command(main)
