"""Speed of a full-width GA + CA step on a GPU: Caffe (CUDA, cuDNN, TF32) beside PyTorch, with the
same net and losses.

    python3 tools/bench/bench_gpu.py --output docs/results/gpu_speed.md
    python3 tools/bench/bench_gpu.py --device cpu --size 32 48 --padded --width 64 --repeats 2      # checks the program

One image of each domain, then the largest batch that fits. Prints images a second, ratios, memory,
the Python layers' share of the time, and the bytes that each of them takes to the host.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.bench.gpu_command import main  # noqa: E402
from tools.lib.command import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
