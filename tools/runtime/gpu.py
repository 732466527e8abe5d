"""NVIDIA GPUs as the driver lists them, without loading anything of CUDA."""
import glob
import os
import re

#: One folder a card, made by the driver.
CARDS = "/proc/driver/nvidia/gpus"


def cards(folder=CARDS):
    """Names of the cards; empty where there is no driver."""
    names = []
    for path in sorted(glob.glob(os.path.join(folder, "*"))):
        try:
            with open(os.path.join(path, "information"), encoding="utf-8", errors="replace") as file:
                found = re.search(r"^Model:\s*(.+?)\s*$", file.read(), re.MULTILINE)
        except OSError:
            found = None
        names.append(found.group(1) if found else "unknown")
    return names
