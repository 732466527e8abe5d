"""Ratios of paired times: what else the machine does hits both of a pair."""
import statistics
from collections import namedtuple

#: middle: median of the pairs' ratios; low, high: the smallest and the largest.
Ratio = namedtuple("Ratio", "middle low high")


def paired_ratio(times, others):
    """Ratio of times[i] / others[i]; both are seconds, positive, of the same length (ValueError if
    not)."""
    if len(times) != len(others) or not times:
        raise ValueError(f"{len(times)} and {len(others)} times are no pairs")
    found = [mine / other for mine, other in zip(times, others)]
    return Ratio(statistics.median(found), min(found), max(found))


def shown(ratio):
    """A Ratio in words, with its spread."""
    return "%.3f (%.3f to %.3f)" % ratio


def milliseconds(times):
    """Median of seconds, in words."""
    return f"{1e3 * statistics.median(times):.1f} ms"
