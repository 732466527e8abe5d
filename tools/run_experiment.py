# PYTHON_ARGCOMPLETE_OK
"""Runs a whole experiment: weights, statistics, source, control, GA, CA, GA + CA, tests, tables.

    python3 tools/run_experiment.py toy
    python3 tools/run_experiment.py toy --seeds 1 2 3 4 5 --report docs/results/toy
    python3 tools/run_experiment.py gta_camvid --data-root FOLDER --stages source ga
    python3 tools/run_experiment.py gta --data-root FOLDER --device gpu:0,gpu:1 --tf32

It prints its plan first, skips finished tasks, and continues where it was interrupted.
"""
import argparse
import os

import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime(set_up=True)

from data.cores import usable_cores
from data.files import ROOT
from models.experiments import EXPERIMENTS, STAGES
from tools.lib.command import CommandParser, PrintAndEnd, count, run_command
from tools.lib.dataset_options import add_data_root_argument
from tools.lib.device_options import add_devices_arguments
from tools.lib.experiment import hours, listing, placement, plan, preconditions, report, scheduler


def parse_arguments():
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS), metavar="EXPERIMENT",
                        help="a name that --list prints")
    parser.add_argument("--list", action=PrintAndEnd, const=listing.listing,
                        help="print every experiment with its data and hours, and end")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES),
                        metavar="STAGE", help=f"some of {', '.join(STAGES)} (default: all); the "
                                              "stages that these start from run too")
    parser.add_argument("--seeds", nargs="+", type=count, default=[1], metavar="N",
                        help="default: 1")
    add_data_root_argument(parser)
    parser.add_argument("--jobs", type=count,
                        help="commands at a time on the CPU; default: one a core for the toy, else "
                             "1; on GPUs: one a GPU")
    parser.add_argument("--report", metavar="PATH",
                        help="path of the tables, the picture and the page, without their ending "
                             "(default: runs/EXPERIMENT)")
    parser.add_argument("--no-frames", action="store_true",
                        help="leave the frames out of the page: no net runs for it")
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.add_argument("--tensorboard", action="store_true",
                        help="let every training write an event file for TensorBoard")
    add_devices_arguments(parser)
    return parser.parse_args()


def main():
    options = parse_arguments()
    experiment = EXPERIMENTS[options.experiment]
    base = os.path.abspath(options.report or os.path.join(ROOT, "runs", experiment.name))
    report.files(base)
    cores = usable_cores()
    plan.refuse_repeated_seeds(options.seeds)
    # The commands run in the repository's folder, so they need an absolute path.
    data_root = options.data_root and os.path.abspath(options.data_root)
    tasks = plan.tasks(experiment, options.stages, options.seeds, data_root)
    chosen = placement.choose(tasks, options, cores if experiment.shape.fc < 100 else 1)
    tasks = placement.with_precision(tasks, chosen)
    if options.tensorboard:
        tasks = plan.with_training_options(tasks, ["--tensorboard"])
    print(plan.describe(experiment, tasks, chosen.jobs))
    print(hours.describe(experiment, tasks, chosen), flush=True)
    missing = preconditions.missing_data(experiment, options.stages, data_root)
    if options.plan:
        for sentence in missing:
            print("missing: " + sentence)
        for sentence in preconditions.changes(tasks):
            print("changed: " + sentence)
        return
    preconditions.require_data(missing)
    preconditions.require_unchanged(tasks)
    placement.require_gpus(chosen.devices)
    scheduler.run(tasks, chosen.jobs, max(1, cores // chosen.jobs),
                  os.path.join(ROOT, "runs", "logs"), chosen.devices)
    stages = plan.ordered_stages(experiment, options.stages)
    report.write(experiment, stages, options.seeds, data_root, base, *chosen.devices[:1],
                 frames=not options.no_frames)


if __name__ == "__main__":
    run_command(main)
