"""Time of the Python layers inside a full-width step, and of an adapted against a source-only step.

    python3 tools/bench/bench_layers.py [--stage ga --size 256 256 --images 1 --repeats 3]

Both nets are those of models/build.py for GTA5 -> Cityscapes without the reflected margin, so that
--size is the input itself and fc7 measures size / 8. The data layer is replaced by random images,
because reading is not timed here. Each layer is run and timed on its own, forwards, then
backwards, as Caffe does in a step; the solver's update is left out, which makes the shares larger,
not smaller. The two nets take turns, so that other work on the machine lengthens both; medians over
the repeats are printed. Both see the same number of images: the source-only net twice the sources.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()


import numpy as np

from tools.bench.layer_costs import layer_seconds, measure, step_seconds
from tools.bench.random_nets import add_size, check_size
from tools.bench.timing import paired_ratio, ratio_text
from tools.lib.command import CommandParser, count, run_command
from tools.lib.tables import Table, format_of, print_and_write


def main():
    """Measures, prints the table and writes it to --output."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=("ga", "ca", "ga_ca"), default="ga",
                        help="the adapted net (default: ga)")
    add_size(parser)
    parser.add_argument("--images", type=count, default=1,
                        help="images of each domain in the batch (default: 1)")
    parser.add_argument("--repeats", type=count, default=3,
                        help="timed steps of each net (default: 3)")
    parser.add_argument("--output",
                        help="write the table to this file as well (.txt, .md, .csv or .tex)")
    options = parser.parse_args()
    check_size(options.size)
    form = options.output and format_of(options.output)

    height, width = options.size
    times, python_layers = measure(options.stage, (height, width), options.images, options.repeats)
    table = share_table(options.stage, times, python_layers)
    table.title = (f"Written by python3 tools/bench/bench_layers.py --stage {options.stage} "
                   f"--size {height} {width} --images {options.images} "
                   f"--repeats {options.repeats}")
    print_and_write([table], options.output, form)


def share_table(stage, times, python_layers):
    """Table of both nets' steps and of the stage's Python layers, from what measure() returns."""
    steps = {name: float(np.median(step_seconds(turns))) for name, turns in times.items()}
    rows = [[f"{name}, a step", f"{1e3 * step:.1f} ms", ""] for name, step in steps.items()]
    ratio = paired_ratio(step_seconds(times[stage]), step_seconds(times["source"]))
    rows.append([f"{stage} / source", ratio_text(ratio), ""])
    seconds = {name: layer_seconds(times[stage], name) for name in python_layers}
    seconds["Python layers together"] = sum(seconds.values())
    rows += [[name, f"{1e3 * spent:.2f} ms", f"{100 * spent / steps[stage]:.3f} %"]
             for name, spent in seconds.items()]
    return Table(["full width", "median", f"share of the {stage} step"], rows,
                 rules=[len(steps) + 1])


if __name__ == "__main__":
    run_command(main)
