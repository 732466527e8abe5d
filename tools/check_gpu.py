# PYTHON_ARGCOMPLETE_OK
r"""Checks a GPU in one command, in minutes and without network: right, fast, repeatable.

    python3 tools/check_gpu.py --minutes 5
    python3 tools/check_gpu.py --build caffe-cuda-py3.12.tar.gz --output gpu.md
    python3 tools/check_gpu.py --device cpu --minutes 2     # the same at small sizes, without a GPU

Each result is printed and written to the page as it comes: a command that is killed leaves a valid
page. What the time is too short for is skipped. Exit code 0 when nothing failed, 1 when a part did.
"""
import _init_paths  # noqa: F401

from tools.bench.check_options import enter

enter()

from tools.bench.gpu_check import main
from tools.lib.command import run_command

if __name__ == "__main__":
    run_command(main)
