"""NVIDIA GPUs as the driver tells them, without CUDA in this process."""
import ctypes
import glob
import os
import re
import subprocess
import sys

LIBRARY = "libcuda.so.1"
#: One folder a card, made by the driver; not there in every container.
FOLDER = "/proc/driver/nvidia/gpus"
#: Prints the name of each card that CUDA would use, in CUDA's order.
QUESTION = f"""
import ctypes
driver, count, name = ctypes.CDLL("{LIBRARY}"), ctypes.c_int(), ctypes.create_string_buffer(256)
assert driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
for number in range(count.value):
    assert driver.cuDeviceGetName(name, 256, number) == 0
    print(name.value.decode())
"""


def cards():
    """Names of the cards, number 0 first; empty where there is no driver.

    Where the driver's library cannot be asked: the cards that the driver lists, whether usable or
    not.
    """
    try:
        ctypes.CDLL(LIBRARY)
        # in a process of its own: CUDA in this one would forbid its children to use a GPU
        done = subprocess.run([sys.executable, "-c", QUESTION], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, universal_newlines=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return listed()
    return done.stdout.splitlines() if done.returncode == 0 else listed()


def listed(folder=FOLDER):
    """Names of the cards in the driver's folder."""
    names = []
    for path in sorted(glob.glob(os.path.join(folder, "*"))):
        try:
            with open(os.path.join(path, "information"), encoding="utf-8",
                      errors="replace") as file:
                found = re.search(r"^Model:\s*(.+?)\s*$", file.read(), re.MULTILINE)
        except OSError:
            found = None
        names.append(found.group(1) if found else "unknown")
    return names
