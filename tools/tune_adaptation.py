# PYTHON_ARGCOMPLETE_OK
r"""Trains one adaptation stage with several settings and seeds, and prints a table of results.

    python3 tools/tune_adaptation.py toy --stage ga_ca --seeds 101 102 103 \
        --vary mil_weight=0.03,0.1 --vary start=source,ga --output toy_tuning.md

    python3 tools/tune_adaptation.py gta_camvid --data-root FOLDER --stage ga --seeds 101 \
        --start-seed 1 --vary weight=0.1,1 --vary max_iter=60

All combinations of the --vary lists are trained, with other seeds than the reported ones.  The
toy's table shows the target mIoU.  On real images no target label may choose a setting: there the
table shows the mIoU on the source, how strong the domain loss is, and how far the domains are
confused.
"""
import argparse
import os

import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime(set_up=True)

from data.cores import usable_cores
from data.errors import InputError
from data.files import ROOT, write_whole
from models.experiments import EXPERIMENTS
from tools.lib.command import CommandParser, command_line, count, run_command
from tools.lib.dataset_options import add_data_root_argument
from tools.lib.device_options import add_devices_arguments
from tools.lib.experiment import hours, placement, plan, preconditions, scheduler, tuning
from tools.lib.outputs import require_file
from tools.lib.tables import render

STAGES = ("ga", "ca", "ga_ca", "control")
REPORTED_SEEDS = range(1, 6)        # of docs/results/toy.md


def parse_arguments():
    parser = CommandParser(description=__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS), metavar="EXPERIMENT",
                        help="a name that tools/run_experiment.py --list prints")
    parser.add_argument("--stage", choices=STAGES, required=True, help="the stage to train")
    parser.add_argument("--vary", action="append", default=[], metavar="FIELD=VALUE,VALUE",
                        help="a field of the losses or of the schedule "
                             "(models/experiments/fields.py); repeatable")
    parser.add_argument("--seeds", nargs="+", type=count, required=True, metavar="N",
                        help=f"not {REPORTED_SEEDS[0]} to {REPORTED_SEEDS[-1]}, whose results are "
                             "reported: take seeds from 101 on")
    parser.add_argument("--start-seed", type=count, metavar="N",
                        help="start all seeds from this seed's run of the stage before, which "
                             "saves its training for the others (default: each from its own)")
    add_data_root_argument(parser)
    parser.add_argument("--jobs", type=count,
                        help="commands at a time on the CPU; default: one a core; on GPUs: one a "
                             "GPU")
    parser.add_argument("--output", metavar="FILE.md",
                        help="write the table to this file too")
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
    data_root = options.data_root and os.path.abspath(options.data_root)
    planned = tuning.tasks(experiment, made, options.seeds, options.start_seed, data_root)
    chosen = placement.choose(planned, options, usable_cores())
    planned = placement.with_precision(planned, chosen)
    print(plan.describe(experiment, planned, chosen.jobs))
    print(hours.describe(experiment, planned, chosen), flush=True)
    preconditions.require_data(preconditions.missing_data(experiment, [options.stage], data_root))
    preconditions.require_precision(planned)
    placement.require_gpus(chosen.devices)
    threads = max(1, usable_cores() // chosen.jobs)
    scheduler.run(planned, chosen.jobs, threads, os.path.join(ROOT, "runs", "logs"),
                  chosen.devices)
    if tuning.judges_by_target(experiment):
        about, table = "target mIoU in percent", tuning.table(made, options.seeds)
    else:
        before = tuning.before(experiment, made[0].schedule.start,
                               options.start_seed or options.seeds[0])
        about = ("mIoU on the source, and medians over the second half of the training "
                 "(docs/watching_adaptation.md); no target label was opened")
        table = tuning.label_free_table(made, options.seeds, before)
    print(render(table, "text"), end="")
    if options.output:
        command = command_line("tools/tune_adaptation.py")
        write_whole(options.output, f"Written by `{command}`: {about}, last iterates.\n\n"
                                    f"{render(table, 'markdown')}")


if __name__ == "__main__":
    run_command(main)
