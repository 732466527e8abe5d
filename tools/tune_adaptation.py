r"""Tries settings of one adaptation stage on several seeds and prints the target mIoU of each.

    python3 tools/tune_adaptation.py toy --stage ga_ca --seeds 101 102 103 \
        --vary mil_weight=0.03,0.1 --vary start=source,ga --output toy_tuning.md

All combinations of the --vary lists are trained.  Only for the toy, and only with other seeds than
the reported ones: settings chosen by a real target's labels would use labels that adaptation does
not have.
"""
import argparse
import os
import sys

import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime(set_up=True)

from data.cores import usable_cores
from data.errors import InputError
from data.files import ROOT, write_whole
from models.experiments import EXPERIMENTS
from tools.lib.command import count, run_command
from tools.lib.device_options import add_devices_arguments
from tools.lib.experiment import hours, placement, plan, preconditions, scheduler, tuning
from tools.lib.outputs import require_file
from tools.lib.tables import render

STAGES = ("ga", "ca", "ga_ca", "control")
REPORTED_SEEDS = range(1, 6)        # of docs/results/toy.md


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment",
                        choices=[name for name in sorted(EXPERIMENTS) if name.startswith("toy")])
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--vary", action="append", default=[], metavar="FIELD=VALUE,VALUE",
                        help="a field of the losses or of the schedule "
                             "(models/experiments/fields.py); repeatable")
    parser.add_argument("--seeds", nargs="+", type=count, required=True)
    parser.add_argument("--jobs", type=count,
                        help="commands at a time on the CPU; default: one a core; on GPUs: one a "
                             "GPU")
    parser.add_argument("--output", help="Markdown file of the table; default: none, only printed")
    add_devices_arguments(parser)
    return parser.parse_args()


def main():
    options = parse_arguments()
    require_file(options.output, "--output")
    plan.refuse_repeated_seeds(options.seeds)
    if set(options.seeds) & set(REPORTED_SEEDS):
        raise InputError(
            f"--seeds {options.seeds}: the seeds {REPORTED_SEEDS[0]} to {REPORTED_SEEDS[-1]} are "
            "reported; a setting is not chosen by them", "take seeds from 101 on")
    experiment = EXPERIMENTS[options.experiment]
    made = tuning.variants(experiment, options.stage,
                           [tuning.parse_axis(text) for text in options.vary])
    for variant in made:
        tuning.write_prototxts(variant)
    planned = tuning.tasks(experiment, made, options.seeds)
    chosen = placement.choose(planned, options, usable_cores())
    planned = placement.with_precision(planned, chosen)
    print(plan.describe(experiment, planned, chosen.jobs))
    print(hours.describe(experiment, planned, chosen), flush=True)
    preconditions.require_precision(planned)
    placement.require_gpus(chosen.devices)
    threads = max(1, usable_cores() // chosen.jobs)
    scheduler.run(planned, chosen.jobs, threads, os.path.join(ROOT, "runs", "logs"),
                  chosen.devices)
    table = tuning.table(made, options.seeds)
    print(render(table, "text"), end="")
    if options.output:
        command = "python3 " + " ".join(["tools/tune_adaptation.py"] + sys.argv[1:])
        write_whole(options.output, f"Written by `{command}`: target mIoU in percent, last "
                                    f"iterates.\n\n{render(table, 'markdown')}")


if __name__ == "__main__":
    run_command(main)
