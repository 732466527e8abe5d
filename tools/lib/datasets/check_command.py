"""The command line of tools/check_dataset.py: reads a data set and reports its problems."""
import collections
import functools
import json
import os

import numpy as np

from data.errors import InputError
from data.files import write_whole
from data.frame_lists import SKIP_FILE, names_without_frame, slice_split
from data.progress import progress_bar
from data.registry import open_dataset
from data.split_check import UNREADABLE, check_split
from tools.lib.command import CommandParser
from tools.lib.dataset_options import add_dataset_arguments, add_workers_argument
from tools.lib.outputs import require_file

SHOWN = 10  # problems of each kind in the text report; --json has all


def parse(arguments=None):
    """The options of tools/check_dataset.py."""
    parser = CommandParser(prog="python3 tools/check_dataset.py",
                           description="Opens every file of a data set and reports its problems.")
    add_dataset_arguments(parser)
    parser.add_argument("--split", nargs="+",
                        help="splits to read (default: the whole data set)")
    parser.add_argument("--images-only", action="store_true",
                        help="open no label, as for splits that come without labels")
    add_workers_argument(parser)
    parser.add_argument("--json", metavar="FILE.json",
                        help="write the whole report to this file too")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Prints the report; returns 1 when anything is wrong, else 0."""
    args = parse(arguments)
    if args.json and os.path.exists(args.json):
        raise InputError(f"--json {args.json} exists", "remove it or name another")
    require_file(args.json, "--json")
    data = open_dataset(args.dataset, args.data_root, args.label_space)
    # all splits are listed before the first is read: a missing one is reported at once
    totals = [(split, len(data.frames(split)))
              for split in args.split or data.record.whole or data.record.splits]
    reports = []
    for split, total in totals:
        progress = functools.partial(progress_bar, desc=split, total=total, unit="image")
        reports.append(check_split(data, split, not args.images_only, args.workers, progress))
        print("\n".join(lines(reports[-1])), flush=True)
    # a misspelt name would skip nothing
    unknown = names_without_frame(data, [slice_split(split)[0] for split, _ in totals])
    for name, where in unknown:
        print(f"{SKIP_FILE} names no frame of any split that is there: {where}: {name}")
    if args.json:
        report = dict(dataset=args.dataset, label_space=data.space.name,
                      splits=[as_json(report) for report in reports],
                      skip_file_unknown=[name for name, _ in unknown])
        write_whole(args.json, json.dumps(report, indent=1) + "\n")
    wrong = sum(len(report.problems) for report in reports) + len(unknown)
    found = f"{wrong} problem{'s' * (wrong != 1)}" if wrong else "nothing wrong"
    print(f"{args.dataset}: {found}")
    return 1 if wrong else 0


def lines(report):
    """The report of one split as lines of text."""
    published = ("no published count" if report.published is None
                 else f"published: {report.published}")
    opened = ("" if report.labelled else ", images only" if report.has_labels
              else ", images only: it comes without labels")
    sizes = ", ".join(f"{height} x {width} ({count})"
                      for (height, width), count in report.sizes.most_common(5))
    text = [f"{report.split}: {report.listed} frames listed ({published}), {report.skipped} left "
            f"out by {SKIP_FILE}, {report.opened} opened{opened}",
            f"  sizes (height x width): {sizes}"]
    if report.labelled:
        text.append(f"  {'class':<20} {'% of pixels':>10} {'images':>8}")
        text += [f"  {name:<20} {100 * share:10.4f} {images:8}"
                 for name, share, images in zip(report.classes, report.shares, report.images)]
    by_kind = collections.defaultdict(list)
    for kind, _, message in report.problems:
        by_kind[kind].append(message)
    for kind, messages in by_kind.items():
        text.append(f"  {kind}: {len(messages)}")
        text += ["    " + message.replace("\n", "\n    ") for message in messages[:SHOWN]]
        if len(messages) > SHOWN:
            text.append(f"    and {len(messages) - SHOWN} more (--json lists all)")
    unreadable = len(by_kind.get(UNREADABLE, ()))
    if report.labelled and unreadable >= report.opened and not report.pixels.any():
        text.append("  no label could be read; --images-only checks a split without labels, such "
                    "as a target")
    return text


def as_json(report):
    """The report of one split for json.dumps."""
    classes = [dict(name=name, pixels=int(pixels),
                    share=None if np.isnan(share) else float(share), images=int(images))
               for name, pixels, share, images in zip(report.classes, report.pixels,
                                                      report.shares, report.images)]
    sizes = [dict(height=height, width=width, images=count)
             for (height, width), count in report.sizes.most_common()]
    problems = [dict(kind=kind, frame=name, message=message)
                for kind, name, message in report.problems]
    return dict(split=report.split, listed=report.listed, skipped=report.skipped,
                opened=report.opened, published=report.published, labelled=report.labelled,
                classes=classes if report.labelled else None, sizes=sizes, problems=problems)
