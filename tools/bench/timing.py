"""Helpers of the benchmarks: ratios of paired times, and the machine they were taken on."""
import re
import statistics
from collections import namedtuple

from data.cores import usable_cores
from data.errors import InputError
from tools.lib.runtime.checkup import ask

#: middle: median of the pairs' ratios; low, high: the smallest and the largest.
Ratio = namedtuple("Ratio", "middle low high")


def paired_ratio(times, others):
    """Ratio of times[i] to others[i], which were taken right after each other.

    Other work on the machine lengthens both times of a pair, and their ratio stays. times, others:
    seconds, positive. ValueError unless they have the same length, at least 1.
    """
    if len(times) != len(others) or not times:
        raise ValueError(f"{len(times)} times and {len(others)} others; expected pairs, at least 1")
    ratios = [mine / other for mine, other in zip(times, others)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def ratio_text(ratio):
    """A Ratio as a table shows it, with its spread."""
    return f"{ratio.middle:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


def milliseconds(times):
    """The median of `times` (seconds) as a table shows it."""
    return f"{1e3 * statistics.median(times):.1f} ms"


def processor(path="/proc/cpuinfo"):
    """The processor's name, "unknown" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else "unknown"


def running_engine():
    """(Caffe's properties as tools/doctor.py finds them, number of BLAS threads).

    InputError when Caffe does not start.
    """
    engine = ask("engine")
    if "failed" in engine:
        raise InputError(f"Caffe does not start: {engine['failed']}", "python3 tools/doctor.py")
    return engine, engine["threads"] or usable_cores()
