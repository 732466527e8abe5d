# PYTHON_ARGCOMPLETE_OK
r"""Predicts a split that has no labels with an experiment's final models, into one zip file.

    python3 tools/predict_experiment.py gta_camvid --split camvid day_test --seeds 1 2 3 \
        --data-root FOLDER --output docs/results/camvid_predictions.zip

The zip file holds EXPERIMENT/STAGE_seedN/SPLIT/FRAME.png: label maps of train ids in grey, as large
as the image. about.json in it names the models, with their hashes, and the classes. Finished frames
are kept under runs/, so that a stopped command goes on where it was.
"""
import argparse
import os

import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from data.cores import usable_cores
from data.files import ROOT
from models.experiments import EXPERIMENTS, STAGES
from tools.lib.command import CommandParser, count, run_command
from tools.lib.dataset_options import add_data_root_argument
from tools.lib.experiment import predictions, scheduler
from tools.lib.experiment.plan import refuse_repeated_seeds
from tools.lib.outputs import require_file


def parse_arguments():
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=sorted(EXPERIMENTS),
                        metavar="EXPERIMENT",
                        help="names that tools/run_experiment.py --list prints")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES),
                        metavar="STAGE", help=f"some of {', '.join(STAGES)} (default: all)")
    parser.add_argument("--seeds", nargs="+", type=count, default=[1], metavar="N",
                        help="default: 1")
    parser.add_argument("--split", nargs=2, action="append", required=True, dest="splits",
                        metavar=("DATASET", "SPLIT"),
                        help="the images to predict; may be given several times")
    add_data_root_argument(parser)
    parser.add_argument("--output", required=True, metavar="FILE.zip", help="the file to write")
    return parser.parse_args()


def main():
    options = parse_arguments()
    require_file(options.output, "--output")
    refuse_repeated_seeds(options.seeds)
    data_root = options.data_root and os.path.abspath(options.data_root)
    models = predictions.final_models([EXPERIMENTS[name] for name in options.experiments],
                                      options.stages, options.seeds)
    tasks = predictions.tasks(models, options.splits, data_root)
    scheduler.run(tasks, 1, usable_cores(), os.path.join(ROOT, "runs", "logs"))
    size = predictions.write(options.output, models, options.splits, data_root)
    print(f"{len(models)} models, {size / 1e6:.1f} MB in {options.output}")


if __name__ == "__main__":
    run_command(main)
