"""The command line of tools/check_dataset.py."""
import argparse
import collections
import json
import os

import numpy as np
from tqdm import tqdm

from data.errors import InputError
from data.files import write_whole
from data.frame_lists import SKIP_FILE, names_without_frame, slice_split
from data.registry import open_dataset
from data.split_check import UNREADABLE, check_split
from tools.lib.dataset_options import add_dataset_arguments, add_workers_argument
from tools.lib.outputs import require_file

SHOWN = 10  # problems of a kind in the text report; --json has all

_FORGOTTEN = "skip.txt names no frame of any split that is there"


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="check_dataset.py", description="Opens every file of a "
                                                                          "data set.")
    add_dataset_arguments(parser)
    parser.add_argument("--split", nargs="+", help="splits to walk (default: those that make up "
                                                   "the data set)")
    parser.add_argument("--images-only", action="store_true", help="open no label; none is in "
                                                                   "splits that come without")
    add_workers_argument(parser)
    parser.add_argument("--json", metavar="FILE.json", help="write the whole report here too")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Prints the report; returns 1 when anything is wrong, else 0."""
    args = parse(arguments)
    if args.json and os.path.exists(args.json):
        raise InputError(f"--json {args.json} exists", "remove it or name another")
    require_file(args.json, "--json")
    data = open_dataset(args.dataset, args.data_root, args.label_space)
    # Listed before the first is walked: a split that is not there is told at once.
    totals = [(split, len(data.frames(split)))
              for split in args.split or data.record.whole or data.record.splits]
    reports = []
    for split, total in totals:
        reports.append(
            check_split(
                data, split, not args.images_only, args.workers,
                lambda found: tqdm(found, split, total, unit="image", disable=None, leave=False)))
        print("\n".join(lines(reports[-1])), flush=True)
    # misspelt, it skips nothing
    forgotten = names_without_frame(data, [slice_split(split)[0] for split, _ in totals])
    for name, where in forgotten:
        print(f"{_FORGOTTEN}: {where}: {name}")
    if args.json:
        write_whole(
            args.json,
            json.dumps(
                dict(dataset=args.dataset, label_space=data.space.name, splits=[
                    as_json(report) for report in reports
                ], skip_file_unknown=[name for name, _ in forgotten]), indent=1) + "\n")
    wrong = sum(len(report.problems) for report in reports) + len(forgotten)
    print("%s: %s" %
          (args.dataset, f"{wrong} problem{'s' * (wrong != 1)}" if wrong else "nothing wrong"))
    return 1 if wrong else 0


def lines(report):
    """The report of one split as lines of text."""
    against = "no published count" if report.published is None else f"published: {report.published}"
    text = [
        "%s: %d frames listed (%s), %d left out by %s, %d opened%s" %
        (report.split, report.listed, against, report.skipped, SKIP_FILE, report.opened,
         "" if report.labelled else ", images only" if report.has_labels else ", images only: it "
         "comes without labels")
    ]
    text.append("  sizes (height x width): " + ", ".join(
        "%d x %d (%d)" % (size + (count,)) for size, count in report.sizes.most_common(5)))
    if report.labelled:
        text.append(f"  {'class':<20} {'% of pixels':>10} {'images':>8}")
        text += [f"  {name:<20} {100 * share:10.4f} {images:8d}"
                 for name, share, images in zip(report.classes, report.shares, report.images)]
    by_kind = collections.defaultdict(list)
    for kind, _, message in report.problems:
        by_kind[kind].append(message)
    for kind, messages in by_kind.items():
        text.append(f"  {kind}: {len(messages)}")
        text += ["    " + message.replace("\n", "\n    ") for message in messages[:SHOWN]]
        if len(messages) > SHOWN:
            text.append(f"    and {len(messages) - SHOWN} more (--json lists all)")
    if report.labelled and len(by_kind.get(UNREADABLE,
                                           ())) >= report.opened and not report.pixels.any():
        text.append("  not one label could be read; --images-only checks a split that has none, a "
                    "target")
    return text


def as_json(report):
    """The report of one split for json.dumps."""
    classes = [
        dict(name=name, pixels=int(pixels), share=None if np.isnan(share) else float(share),
             images=int(images)) for name, pixels, share, images in zip(
                 report.classes, report.pixels, report.shares, report.images)
    ]
    return dict(
        split=report.split, listed=report.listed, skipped=report.skipped, opened=report.opened,
        published=report.published, labelled=report.labelled,
        classes=classes if report.labelled else None, sizes=[
            dict(height=height, width=width, images=count)
            for (height, width), count in report.sizes.most_common()
        ], problems=[
            dict(kind=kind, frame=name, message=message) for kind, name, message in report.problems
        ])
