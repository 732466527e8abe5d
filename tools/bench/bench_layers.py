"""Time of the Python layers inside a full-width training step, and of an adapted step against a
source-only step.

    tools/caffe_python tools/bench/bench_layers.py [--stage ga --size 256 256 --images 1 --repeats
    3]

Both nets are those of models/build.py for GTA5 -> Cityscapes without the reflected margin, so that
--size is the input itself and fc7 measures size / 8; the data layer is replaced by random images,
because reading is not what is timed here. Each layer is run and timed on its own, forwards, then
backwards, as Caffe does in a step; the solver's update is left out, which makes the shares larger,
not smaller. The two nets take turns, so that whatever else the machine does hits both; medians over
the repeats are printed. Both see the same number of images: the source-only net twice the sources.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import argparse

import numpy as np

from data.files import write_whole
from tools.bench.layer_times import add_size, check_size, layer_seconds, measure, step_seconds
from tools.bench.ratios import paired_ratio, shown
from tools.lib.command import count, run_command
from tools.lib.tables import Table, format_of, render


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=("ga", "ca", "ga_ca"), default="ga",
                        help="the adapted net (default: ga)")
    add_size(parser)
    parser.add_argument("--images", type=count, default=1, help="images of each domain in the "
                                                                "batch (default: 1)")
    parser.add_argument("--repeats", type=count, default=3, help="timed steps of each net "
                                                                 "(default: 3)")
    parser.add_argument("--output", help="write the table to this file as well (.txt, .md, .csv or "
                                         ".tex)")
    arguments = parser.parse_args()
    size = tuple(arguments.size)
    check_size(size)
    form = arguments.output and format_of(arguments.output)

    times, python_layers = measure(arguments.stage, size, arguments.images, arguments.repeats)
    table = share_table(arguments.stage, times, python_layers)
    table.title = "Written by python3 tools/bench/bench_layers.py --stage %s --size %d %d --images %d --repeats %d" % (
        (arguments.stage, ) + size + (arguments.images, arguments.repeats))
    print(render(table, "text"), end="")
    if form:
        write_whole(arguments.output, render(table, form))


def share_table(stage, times, python_layers):
    """Table of the steps of both nets and of the stage's Python layers; arguments as measure()
    returns them."""
    steps = {name: float(np.median(step_seconds(turns))) for name, turns in times.items()}
    rows = [[f"{name}, a step", f"{1e3 * step:.1f} ms", ""] for name, step in steps.items()]
    rows.append([
        f"{stage} / source",
        shown(paired_ratio(step_seconds(times[stage]), step_seconds(times["source"]))), ""
    ])
    seconds = {name: layer_seconds(times[stage], name) for name in python_layers}
    rows += [[name, f"{1e3 * spent:.2f} ms", f"{100 * spent / steps[stage]:.3f} %"]
             for name, spent in seconds.items()]
    rows.append(["Python layers together", f"{1e3 * sum(seconds.values()):.2f} ms",
                 f"{100 * sum(seconds.values()) / steps[stage]:.3f} %"])
    return Table(["full width", "median", f"share of the {stage} step"], rows,
                 rules=[len(steps) + 1])


if __name__ == "__main__":
    run_command(main)
