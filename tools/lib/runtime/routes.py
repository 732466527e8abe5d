"""Which routes to a runtime this machine could take, each checked cheaply, and when they end."""
import collections
import concurrent.futures
import csv
import datetime
import glob
import os
import shutil
import subprocess
import tempfile

from data.errors import InputError
from data.files import ROOT
from tools.lib.runtime import debian, mirrors, pack, private_runtime, source_builds

#: name: of the route.  is_open: whether this machine could take it.  text: why, or why not.
Route = collections.namedtuple("Route", "name is_open text")
HELPER = "/usr/lib/apt/apt-helper"
#: Seconds after which an address counts as one that does not answer.
PATIENCE = 10
#: How an index names the lists of binary and of source packages.
BINARIES, SOURCES = "main/binary-amd64/Packages", "main/source/Sources"
PACKS = "*.pack"
#: End dates of Debian's releases: the machine's own table (package distro-info-data).
DEBIAN_DATES = "/usr/share/distro-info/debian.csv"
#: The ends of long-term support where it is not installed, from distro-info-data 0.58+deb12u6.
KNOWN_DEBIAN_DATES = {"bullseye": "2026-08-31", "bookworm": "2028-06-30"}
#: Month in which each Python's last security release is due, from the release schedules: PEP 596
#: (3.9), 619, 664, 693, 719 and 745 (3.14).
PYTHON_ENDS = {"3.9": "2025-10", "3.10": "2026-10", "3.11": "2027-10", "3.12": "2028-10",
               "3.13": "2029-10", "3.14": "2030-10"}


def routes():
    """The Routes in the order in which the set-up takes them.

    Reads the index of Debian 11 at each address (75 KB), all at once, and the manifests of packed
    runtimes beside the repository; writes nothing that stays.
    """
    addresses = mirrors.machine_mirrors()
    archives = mirrors.archives_of(addresses)
    with concurrent.futures.ThreadPoolExecutor(len(addresses + archives) or 1) as pool:
        indexes = dict(zip(addresses + archives, pool.map(index, addresses + archives)))
    yield _packages("Debian packages", addresses, indexes)
    yield _packages("archive", archives, indexes)
    yield _packed()
    yield _source_build(indexes)


def index(address):
    """Text of Debian 11's index at an address, "" where there is none; no signature is checked."""
    if not os.path.exists(HELPER):
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "InRelease")
        try:
            subprocess.run([HELPER, "-q", "-o", "Acquire::Retries=0", "download-file",
                            f"{address}/dists/{debian.SUITE}/InRelease", path],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=PATIENCE)
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except (OSError, subprocess.TimeoutExpired):
            return ""


def _packages(name, addresses, indexes):
    missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if missing:
        return Route(name, False, f"no {missing[0]} on this machine")
    for address in addresses:
        if BINARIES in indexes[address]:
            return Route(name, True, f"{debian.RELEASES[debian.SUITE]} at {address}")
    if not addresses:
        return Route(name, False, "no address in this machine's apt sources")
    return Route(name, False, f"no {debian.RELEASES[debian.SUITE]} at {', '.join(addresses)}")


def _packed():
    name = "packed runtime"
    folders = (ROOT, os.path.dirname(ROOT))
    paths = [path for folder in folders
             for path in sorted(glob.glob(os.path.join(glob.escape(folder), PACKS)))]
    why = f"no {PACKS} in {' or '.join(folders)}; setup_caffe.py --pack FILE makes one"
    for path in paths:
        try:
            with open(path, "rb") as file:
                pack.read_manifest(path, file)
            return Route(name, True, f"setup_caffe.py --unpack {path}")
        except (InputError, OSError) as problem:
            why = getattr(problem, "what", None) or str(problem)
    return Route(name, False, why)


def _source_build(indexes):
    name = "source build"
    missing = source_builds.missing_programs()
    python = source_builds.building_python()
    if python is None:
        missing.append(f"Python {' or '.join(source_builds.buildable_pythons())} with its headers")
    if missing:
        return Route(name, False, f"missing: {', '.join(missing)}")
    for address, text in indexes.items():
        if SOURCES in text:
            return Route(name, True, f"by {python}, source package at {address}")
    return Route(name, False, f"no source package of {debian.RELEASES[debian.SUITE]} at any mirror "
                              "or archive")


def ends(build, today=None):
    """[(text, whether the end has passed)] for the runtime in use.

    build: folder of the source build in use, or None for the private runtime.
    today: a datetime.date, the present day by default.
    """
    today = today or datetime.date.today()
    python = (source_builds.read_record(build)["python"] if build
              else private_runtime.PYTHON.replace("python", ""))
    # a finished build needs nothing of Debian 11 any more
    suite = "bookworm" if build else debian.SUITE
    dates, found = _debian_dates(), []
    if suite in dates:
        found.append(_end(f"{debian.RELEASES[suite]}'s libraries: long-term support",
                          dates[suite], today))
    if python in PYTHON_ENDS:
        found.append(_end(f"Python {python}: security fixes", PYTHON_ENDS[python], today))
    return found


def _end(subject, end, today):
    """(sentence, whether it has passed) for an end such as "2026-08-31" or "2025-10"."""
    passed = today.isoformat()[:len(end)] > end
    return f"{subject} {'ended' if passed else 'until'} {end}", passed


def _debian_dates():
    """{suite: end of long-term support}, from the machine's own table where it has one."""
    dates = dict(KNOWN_DEBIAN_DATES)
    try:
        with open(DEBIAN_DATES, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("eol-lts"):
                    dates[row["series"]] = row["eol-lts"]
    except (OSError, KeyError, csv.Error):
        pass
    return dates
