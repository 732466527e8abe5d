# PYTHON_ARGCOMPLETE_OK
r"""Checks a GPU in minutes and without a network: its results, its speed, a resumed run.

    python3 tools/check_gpu.py --minutes 5
    python3 tools/check_gpu.py --build caffe-cuda-py3.12.tar.gz --output gpu.md
    python3 tools/check_gpu.py --device cpu --minutes 2     # the same at small sizes, without a GPU

Each result is printed and written to the page as it comes: a command that is killed leaves a valid
page. A part that does not fit into the time is skipped. Exit code 0 when nothing failed, else 1.
"""
import _init_paths  # noqa: F401

from tools.bench.check_options import enter

enter()

from tools.bench.gpu_check import main
from tools.lib.command import run_command

if __name__ == "__main__":
    run_command(main)
