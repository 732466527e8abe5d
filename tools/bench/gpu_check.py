"""The command of tools/check_gpu.py: the parts in order, their page and the exit code."""
import signal
import time
from tempfile import TemporaryDirectory

from data.errors import InputError
from tools.bench import check_page, check_parts
from tools.bench.check_options import parse
from tools.lib.device_options import gpu_number
from tools.lib.runtime import machine
from tools.lib.signals import handled


def main(arguments=None):
    """Runs all parts and writes the page; returns 1 when a part failed, else 0."""
    started = time.monotonic()
    options = parse(arguments)
    gpu, cards = gpu_number(options.device), machine.cards()
    if gpu is not None and gpu >= len(cards):
        raise InputError(
            f"--device {options.device}: CUDA sees {len(cards)} NVIDIA GPU(s) on this machine",
            "python3 tools/check_gpu.py --device cpu --minutes 2 checks everything but a GPU")
    torch, version = check_parts.find_torch(options.torch_python, gpu)
    parts = check_parts.parts(gpu)
    command = f"python3 tools/check_gpu.py --device {options.device} --minutes {options.minutes:g}"
    # Ctrl-C's exception: the part that runs ends its children
    with handled([signal.SIGTERM], signal.default_int_handler), TemporaryDirectory() as folder:
        settings = check_parts.Settings(options.device, gpu, torch, version, folder, [])
        page = check_page.Page(options.output, command,
                               check_parts.facts(options.device, gpu, version),
                               [part.title for part in parts])
        failed = check_page.run_parts(page, parts, settings, started + 60 * options.minutes)
    print(f"{failed} part(s) failed" if failed else "no part failed",
          f"the page: {options.output}", sep="; ")
    return 1 if failed else 0
