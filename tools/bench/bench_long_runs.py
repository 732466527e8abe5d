"""Measures what docs/long_runs.md tells: kills survived, and memory over many iterations.

    python3 tools/bench/bench_long_runs.py kills --kills 20 --output docs/results/long_runs_kills.md
    python3 tools/bench/bench_long_runs.py memory --iterations 2000 --output
    docs/results/long_runs_memory.md

Both start tools/train.py on the toy nets, from random weights, in a temporary folder.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.bench.endurance.command_line import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
