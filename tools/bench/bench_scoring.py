"""Times the scoring of saved predictions against Cityscapes' own evaluation.

    python3 tools/bench/bench_scoring.py --images 24 --repeats 5

Both read the same 2048 x 1024 PNG pairs, in turns; medians, their ratio and peak memory are
printed.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import multiprocessing
import os
import resource
import statistics
import tempfile
import time

import cv2

from data.cores import usable_cores
from tools.bench.official import official_package, official_scores
from tools.bench.sample_labels import write_sample
from tools.lib.command import CommandParser, count, run_command
from tools.lib.scoring.evaluate import PredictionFolder, score_folder
from tools.lib.tables import Table, format_of, print_and_write


def main(arguments=None):
    """Runs both evaluations in turns, prints the figures and writes them to --output."""
    parser = CommandParser(prog="tools/bench/bench_scoring.py",
                           description="Scoring speed against cityscapesscripts.")
    parser.add_argument("--images", type=count, default=24)
    parser.add_argument("--repeats", type=count, default=5)
    parser.add_argument("--output",
                        help="write the figures to this file as well (.txt, .md, .csv or .tex)")
    args = parser.parse_args(arguments)
    form = args.output and format_of(args.output)
    package = official_package()
    cv2.setNumThreads(1)  # OpenCV's threads do not survive the fork in _score_in_child()
    with tempfile.TemporaryDirectory() as folder:
        dataset, frames, predictions = write_sample(folder, args.images)
        store = PredictionFolder(predictions, dataset, "dataset")
        pairs = [(store.path(frame), frame.label) for frame in frames]
        ours, theirs = [], []
        for _ in range(args.repeats):
            theirs.append(official_scores(pairs, package))
            ours.append(_score_in_child(store, dataset, frames))
    table = Table(["scoring of saved label maps", "value"],
                  [[key, str(value)] for key, value in compare(ours, theirs, args.images).items()],
                  f"Written by python3 tools/bench/bench_scoring.py --images {args.images} "
                  f"--repeats {args.repeats}")
    print_and_write([table], args.output, form)


def compare(ours, theirs, images):
    """{name: value} of the table's rows.

    ours, theirs: a dict(iou, seconds, peak_bytes) a repeat, as official_scores() returns it.
    """
    gaps = [abs(value - theirs[0]["iou"][name]) for name, value in ours[0]["iou"].items()
            if value is not None or theirs[0]["iou"][name] is not None]
    our_seconds, their_seconds = (statistics.median(run["seconds"] for run in runs)
                                  for runs in (ours, theirs))
    ratio = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(ours, theirs))
    return {
        "cores": usable_cores(),
        # other work on the machine lengthens both sides: read the ratio, not the seconds
        "load average of the machine meanwhile": round(os.getloadavg()[0], 1),
        "images of 2048 x 1024": images,
        "repeats": len(ours),
        "ours, median seconds": round(our_seconds, 3),
        "cityscapesscripts, median seconds": round(their_seconds, 3),
        "times faster (median of pairs)": round(ratio, 2),
        "ours, images per second": round(images / our_seconds, 1),
        "ours, peak memory MB, all processes": round(max(o["peak_bytes"] for o in ours) / 1e6),
        "cityscapesscripts, peak memory MB": round(max(t["peak_bytes"] for t in theirs) / 1e6),
        "largest difference of an IoU": max(gaps),
    }


def _score_in_child(store, dataset, frames):
    """Scores once in a process of its own, so that its peak memory is its own."""
    receiver, sender = multiprocessing.Pipe(False)
    process = multiprocessing.get_context("fork").Process(target=_score,
                                                          args=(sender, store, dataset, frames))
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    return result


def _score(sender, store, dataset, frames):
    started = time.perf_counter()
    confusion = score_folder(store, dataset, frames)
    seconds = time.perf_counter() - started
    # the peak of the largest worker counts for each of them
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + usable_cores()
            * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
    iou = {name: None if value != value else float(value)       # nan is not equal to itself
           for name, value in zip(dataset.space.classes, confusion.iou())}
    sender.send(dict(iou=iou, seconds=seconds, peak_bytes=peak))


if __name__ == "__main__":
    run_command(main)
