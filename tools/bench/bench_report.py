"""Times the report page of some runs, and draws the page in Chromium.

    python3 tools/bench/bench_report.py runs/toy_* --output docs/results/report_speed.md \
        --picture docs/report.png
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import io
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from PIL import Image

from data.cores import usable_cores
from data.files import ROOT, write_aside, write_whole
from tools.bench.chromium import open_chromium, picture, show
from tools.lib.command import CommandParser, command_line, count, run_command
from tools.lib.outputs import require_file
from tools.lib.tables import Table, render

#: (colour scheme, pixels of the page's width, where it begins) of the views in the picture.
VIEWS = (("light", 1200, "#frames"), ("dark", 390, "body"))
#: Pixels of the page's height in the picture, and the picture's share of its size.
TALL, SHRUNK = 1900, 0.6


def parse():
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--repeats", type=count, default=3, help="pages of each kind (default 3)")
    parser.add_argument("--output", help="Markdown file of the table; default: none, only printed")
    parser.add_argument("--picture", metavar="FILE.png",
                        help="draw the page as a laptop and as a phone show it")
    return parser.parse_args()


def main():
    options = parse()
    require_file(options.output, "--output")
    require_file(options.picture, "--picture")
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "report.html")
        rows = [measure(options, page, "without frames", "--no-frames"),
                measure(options, page, "with 4 of 20 frames")]
        if options.picture:
            draw(page, options.picture)
    table = Table(["report", "seconds", "seconds of a core", "MB of memory", "MB of the page"],
                  rows, f"{len(options.runs)} runs")
    print(render(table, "text"), end="")
    if options.output:
        write_whole(options.output, text(table, options))


def measure(options, page, title, *arguments):
    """The row of one kind of page: medians of options.repeats commands."""
    argv = [sys.executable, os.path.join(ROOT, "tools", "report.py"), *options.runs, "--output",
            page, *arguments]
    seconds, busy = [], []
    for _ in range(options.repeats):
        before, started = used(), time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
        busy.append(used() - before)
    # the largest of all children so far; the rows come in the order of their memory
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return [title, f"{statistics.median(seconds):.1f}", f"{statistics.median(busy):.1f}",
            f"{memory / 1e6:.0f}", f"{os.path.getsize(page) / 1e6:.2f}"]


def used():
    """Seconds of the processor that all children have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def draw(page, path):
    """Writes a PNG of the page in all VIEWS, side by side."""
    browser = open_chromium()
    shots = []
    try:
        for scheme, width, section in VIEWS:
            show(browser, pathlib.Path(page).as_uri(), scheme, width)
            shot = picture(browser, section, TALL)
            shots.append(Image.open(io.BytesIO(shot)).convert("RGB"))
    finally:
        browser.quit()
    gap = 20
    sheet = Image.new("RGB", (sum(shot.width + gap for shot in shots) - gap, TALL), "#808890")
    left = 0
    for shot in shots:
        sheet.paste(shot, (left, 0))
        left += shot.width + gap
    small = sheet.resize([round(side * SHRUNK) for side in sheet.size], Image.LANCZOS)
    with write_aside(path) as aside:
        # 256 colours: a quarter of the size; this method keeps rare ones, such as a class's
        small.quantize(256, Image.MAXCOVERAGE, kmeans=3).save(aside, optimize=True)


def text(table, options):
    """The table as a page, with the command that made it."""
    return (f"Written by `{command_line('tools/bench/bench_report.py')}`.\n\n"
            f"{render(table, 'markdown')}\n{len(options.runs)} runs, {usable_cores()} cores, load "
            f"average {os.getloadavg()[0]:.1f} at the end. Medians of {options.repeats} pages.\n")


if __name__ == "__main__":
    run_command(main)
