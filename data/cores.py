"""How many of the machine's cores this process may really use."""
import math
import os


def cgroup_cores(root="/sys/fs/cgroup", membership="/proc/self/cgroup"):
    """Cores that the CPU quota of this process's control groups allows (float); inf without one.

    Version 2 writes "quota period" (or "max period") in cpu.max; version 1 uses two
    files. A group is limited by its parents too, so every level is read.
    """
    least = math.inf
    for folder in _cgroup_folders(root, membership):
        quota, period = _quota(folder)
        if quota is not None and quota > 0 and period:
            least = min(least, quota / period)
    return least


def _cgroup_folders(root, membership):
    """Folders whose limits may apply, from the process's own groups up to the mount points."""
    paths = [("", "/")]
    try:
        with open(membership, encoding="utf-8") as lines:
            for line in lines:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                paths.append((controllers, path))
    except (OSError, ValueError):
        pass
    folders = []
    for controllers, path in paths:
        for mount in {root, os.path.join(root, "cpu"), os.path.join(root, controllers)}:
            parts = [p for p in path.split("/") if p and p != ".."]
            for depth in range(len(parts), -1, -1):
                folders.append(os.path.join(mount, *parts[:depth]))
    return list(dict.fromkeys(folders))


def _quota(folder):
    """(quota, period) in microseconds; quota None when the folder sets no limit."""
    try:
        with open(os.path.join(folder, "cpu.max"), encoding="ascii") as file:
            quota, period = file.read().split()
        return (None if quota == "max" else int(quota)), int(period)
    except (OSError, ValueError):
        pass
    try:
        with open(os.path.join(folder, "cpu.cfs_quota_us"), encoding="ascii") as file:
            quota = int(file.read())
        with open(os.path.join(folder, "cpu.cfs_period_us"), encoding="ascii") as file:
            period = int(file.read())
        return (None if quota < 0 else quota), period
    except (OSError, ValueError):
        return None, None


def usable_cores(affinity=None, quota=None):
    """Cores this process may really use, at least 1: its affinity, cut by its cgroup quota."""
    if affinity is None:
        affinity = len(os.sched_getaffinity(0))
    if quota is None:
        quota = cgroup_cores()
    # a quota of 1.5 cores keeps two threads busy three quarters of the time: round up
    return max(1, int(min(affinity, math.ceil(quota) if quota < affinity else affinity)))
