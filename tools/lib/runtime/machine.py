"""What a command runs on: the processor's vector units, NVIDIA's cards, the project's commit."""
import ctypes
import glob
import os
import re
import subprocess
import sys

from data.files import ROOT

CUDA_DRIVER = "libcuda.so.1"
DRIVER_VERSION = "/proc/driver/nvidia/version"
#: `git archive` puts the commit into this file (.gitattributes).
ARCHIVED = os.path.join(ROOT, ".git_archival.txt")
#: The driver makes one folder a card here; some containers do not have it.
CARD_FOLDERS = "/proc/driver/nvidia/gpus"
#: A program that prints the name of each card that CUDA would use, in CUDA's order.
PRINT_CARDS = f"""
import ctypes
driver, count, name = ctypes.CDLL("{CUDA_DRIVER}"), ctypes.c_int(), ctypes.create_string_buffer(256)
assert driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
for number in range(count.value):
    assert driver.cuDeviceGetName(name, 256, number) == 0
    print(name.value.decode())
"""


def cpu_flags(path="/proc/cpuinfo"):
    """Set of the processor's feature flags; empty where they cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "flags":
                    return set(value.split())
    except OSError:
        pass
    return set()


def openblas_coretype(flags):
    """OpenBLAS kernel family for these CPU flags, None when its own choice is as good.

    OpenBLAS 0.3.13 knows processors by model number and computes with SSE3 kernels (Prescott) on
    those that came after it. The flags tell which kernels really work.
    """
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return "SkylakeX"
    if {"avx2", "fma"} <= flags:
        return "Haswell"
    return None


def cards():
    """Names of the NVIDIA cards that CUDA would use, number 0 first; empty without a driver.

    Where the driver's library does not answer, these are the cards in the driver's folder, usable
    or not.
    """
    try:
        ctypes.CDLL(CUDA_DRIVER)
        # in a process of its own: CUDA in this one would forbid its children to use a GPU
        done = subprocess.run([sys.executable, "-c", PRINT_CARDS], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return listed_cards()
    return done.stdout.splitlines() if done.returncode == 0 else listed_cards()


def listed_cards(folder=CARD_FOLDERS):
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


def driver_version(path=DRIVER_VERSION):
    """Version of NVIDIA's driver, such as "580.159"; "unknown" where neither source names it.

    path: the driver's own file; containers without it may have the program nvidia-smi.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", file.read())
        if found:
            return found.group(1)
    except OSError:
        pass
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout.split() or ["unknown"])[0] if done.returncode == 0 else "unknown"


def commit_text():
    """The project's commit as a page shows it, "changed" where files differ from it."""
    state = git_state()
    if state is None:
        return "unknown"
    return state["commit"][:12] + (", changed" if state["dirty"] else "")


def git_state(archived=ARCHIVED):
    """{"commit", "dirty"} of the repository; None where neither git nor an archive names it.

    dirty: whether files differ from the commit; None in an unpacked archive, which cannot tell.
    archived: the file in which an archive has its commit.
    """
    try:
        with open(archived, encoding="ascii", errors="replace") as file:
            found = re.search(r"^commit: ([0-9a-f]{40,64})$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return {"commit": found.group(1), "dirty": None}

    def git(*arguments):
        # Without locks: a run that is killed here would leave .git/index.lock, and git would refuse
        # to work.
        command = ("git", "--no-optional-locks", "-C", ROOT) + arguments
        return subprocess.run(command, check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    try:
        return {"commit": git("rev-parse", "HEAD"),
                "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None
