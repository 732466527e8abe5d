"""The command line of tools/report.py."""
import os
import sys
import time

from tools.lib.command import CommandParser, command_line, count, positive
from tools.lib.device_options import add_tf32_argument, device
from tools.lib.outputs import require_file
from tools.lib.report import page
from tools.lib.report.frames import draw_pictures, nothing
from tools.lib.report.run_files import read_runs

#: Seconds between two looks at the runs with --watch.
PERIOD = 30.0


def parse(arguments=None):
    """The options of tools/report.py."""
    parser = CommandParser(
        prog="python3 tools/report.py",
        description="Writes one HTML page on one or several runs: what was run, curves, IoU, "
                    "frames before and after. The page needs no network.")
    parser.add_argument("runs", nargs="+", metavar="RUN",
                        help="folders that tools/train.py wrote; runs that differ in their seed "
                             "alone become one column, mean and spread")
    parser.add_argument("--output", required=True, metavar="FILE.html", help="the page")
    parser.add_argument("--frames", type=count, default=4, metavar="N",
                        help="frames of the test set to show, those that changed most (default 4)")
    parser.add_argument("--no-frames", action="store_true",
                        help="show no frames: no net is run")
    parser.add_argument("--among", type=count, default=20, metavar="M",
                        help="predict M frames, spread evenly over the test set, and choose among "
                             "them (default 20)")
    parser.add_argument("--device", type=device, default="cpu", metavar="cpu|gpu:N",
                        help="where the frames are predicted")
    add_tf32_argument(parser)
    parser.add_argument("--data-root",
                        help="folder of the data sets (default: as the runs recorded)")
    parser.add_argument("--watch", type=positive, nargs="?", const=PERIOD, metavar="SECONDS",
                        help="write the page again every 30 seconds, or as many as given, until "
                             "the runs are finished or Ctrl-C; the browser reads it again too")
    args = parser.parse_args(arguments)
    if not args.output.lower().endswith((".html", ".htm")):
        parser.error("--output: expected a name that ends in .html")
    return args


def main(arguments=None):
    """Reads the runs and writes the page."""
    args = parse(arguments)
    require_file(args.output, "--output")
    command = command_line("tools/report.py", arguments)
    known, pause = {}, None
    try:
        for pause in _pages(args, command, known):
            time.sleep(pause)
    except KeyboardInterrupt:
        if pause is None:       # there is no page yet
            raise
        # the page that stays does not read itself again
        _write(args, read_runs(args.runs), command, known, None)


def _pages(args, command, known):
    """Writes the page; while --watch has to go on, yields the seconds to wait, and writes again."""
    before = None
    while True:
        runs = read_runs(args.runs)
        going = [run.name for run in runs if not run.finished]
        reason = _write(args, runs, command, known, args.watch if going else None)
        if (going, reason) != before:
            size = os.path.getsize(args.output) / 1e6
            print(f"written to {args.output} ({size:.1f} MB)")
            if reason and not args.no_frames:
                print(f"no frames: {reason}", file=sys.stderr)
        if not (args.watch and going):
            return
        if before is None:
            print(f"not finished: {', '.join(going)}; the page is written again every "
                  f"{args.watch:g} s until Ctrl-C", file=sys.stderr)
        before = going, reason
        yield args.watch


def _write(args, runs, command, known, renewed):
    """Writes the page of the runs; returns why it has no frames, or None.

    known: label maps of earlier pages, for draw_pictures().  command, renewed: as page.html().
    """
    pictures = nothing("--no-frames leaves the pictures out.") if args.no_frames else draw_pictures(
        runs, args, known)
    page.write(args.output, page.html(runs, pictures, command, renewed))
    return pictures.reason
