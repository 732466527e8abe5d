# PYTHON_ARGCOMPLETE_OK
"""Writes one HTML page on runs: what was run, curves, IoU, frames before and after.

    python3 tools/report.py runs/toy_ga_ca --output report.html
    python3 tools/report.py runs/toy_source runs/toy_ga runs/toy_ga_ca --output report.html --watch
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.report.report_command import main

if __name__ == "__main__":
    run_command(main)
