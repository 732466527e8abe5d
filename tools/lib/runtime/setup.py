"""Makes the private runtime: five phases that are each done once, in a folder beside the prefix.

The prefix appears by one rename when everything in it works, so nobody sees a half-made runtime.
An interrupted set-up goes on at the phase that it had reached.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys

from data.errors import InputError
from data.files import ROOT, folder_aside, replace_folder, write_whole
from tools.lib.outputs import make_folder
from tools.lib.runtime import debian, last_resort, mirrors, private_runtime, wheels

#: Bytes of downloads and unpacked packages together, at the worst moment.
NEEDED_BYTES = 1.3e9
PROBE = """
import caffe, cv2, jinja2, lmdb, numpy, scipy.ndimage, matplotlib, tabulate, tensorboardX
import threadpoolctl, tqdm
caffe.Net
"""


class Counter:
    """Counts steps up to `total`: on one moving line of a terminal, in a few lines of a log."""

    def __init__(self, label, total, stream=None):
        self.label, self.total, self.done = label, total, 0
        self.stream = stream or sys.stdout
        self.moving = self.stream.isatty()

    def step(self):
        """Counts one more step."""
        self.done += 1
        last = self.done == self.total
        text = f"    {self.label} {self.done} of {self.total}"
        if self.moving:
            self.stream.write("\r" + text + ("\n" if last else ""))
        elif last or self.done % max(1, self.total // 4) == 0:
            self.stream.write(text + "\n")
        self.stream.flush()


def fingerprint():
    """Hash of everything that decides what a prefix holds."""
    made_of = (debian.SUITE, debian.ROOTS, debian.ALONE, private_runtime.starter("loader"),
               private_runtime.SITECUSTOMIZE, sorted(wheels.locked().items()))
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def is_current(folder):
    """True when `folder` holds the finished runtime that this version of the set-up makes."""
    try:
        with open(os.path.join(folder, private_runtime.READY), encoding="utf-8") as file:
            return json.load(file).get("fingerprint") == fingerprint()
    except (OSError, ValueError, AttributeError):
        return False


def set_up_runtime(mirror=None, debs=None, rebuild=False, report=print):
    """Makes the private runtime unless it is there. Returns its folder.

    Where Debian 11's packages are gone and only their source is left, Caffe is compiled instead,
    the commands use that build, and its folder is returned.

    mirror: address of a Debian mirror; None reads the machine's apt sources.
    debs: folder with the .deb files; no mirror is asked then.
    rebuild: make it anew although it is there.
    report: called with each line of progress.
    Raises InputError on another kind of machine, on a full disk, and for a failed download.
    """
    folder = private_runtime.prefix_folder()
    if is_current(folder) and not rebuild:
        return folder
    check_machine(os.path.dirname(folder), NEEDED_BYTES)
    work = folder + "-partial"
    with one_at_a_time(work):
        if is_current(folder) and not rebuild:
            return folder
        # made and removed under the lock: another set-up may be waiting for it
        os.makedirs(work, exist_ok=True)
        try:
            tree = _unpacked_debs(work, mirror, debs, report)
        except debian.NoPackages as problem:
            source = last_resort.source_mirror(os.path.join(work, "apt-source"),
                                               mirrors.mirrors_to_ask(mirror))
            if source is None:
                raise
            return last_resort.build(source, problem, report)
        _install_wheels(work, tree, report)
        report("[5/5] Checking that Caffe works")
        put_in_place(tree, folder)
        shutil.rmtree(work, ignore_errors=True)
    return folder


def put_in_place(tree, folder):
    """Checks that Caffe works in the unpacked `tree`, which then becomes the runtime `folder`."""
    if private_runtime.loader(tree) is None:
        raise InputError(f"the dynamic loader is missing among the unpacked files in {tree}",
                         fix=f"delete {os.path.dirname(tree)} and run this again")
    private_runtime.write_starter(tree)
    _probe(tree)
    write_whole(os.path.join(tree, private_runtime.READY),
                json.dumps({"fingerprint": fingerprint()}) + "\n")
    replace_folder(tree, folder)


def _unpacked_debs(work, mirror, debs, report):
    """Phases 1 to 3; returns the folder with the unpacked packages."""
    tree = os.path.join(work, "tree-" + fingerprint()[:12])
    if os.path.isdir(tree):
        report("[1-3/5] Debian packages: unpacked already")
        return tree
    if debs:
        report(f"[1/5] Comparing {debs} with the package list")
        files = debian.offline_packages(debs)
    else:
        report("[1/5] Reading Debian 11's signed package index")
        apt = debian.open_apt(os.path.join(work, "apt"), mirrors.mirrors_to_ask(mirror))
        files = _fetched(apt, os.path.join(work, "debs"), report)
    report("[3/5] Unpacking")
    with folder_aside(tree) as aside:
        debian.unpack(files, aside, Counter("package", len(files)).step)
    return tree


def _fetched(apt, folder, report):
    """Paths of all packages, downloaded and whole."""
    os.makedirs(folder, exist_ok=True)
    try:
        wanted = apt.closure()
        megabytes = sum(package.size for package in wanted) / 1e6
        source = f"the archive of retired releases, {apt.mirror}" if apt.retired else apt.mirror
        report(f"[2/5] Downloading {len(wanted)} packages, {megabytes:.0f} MB, from {source}")
        apt.fetch(wanted, folder, Counter("package", len(wanted)).step)
    except debian.AptFailed as problem:
        fix = f"run this again, it goes on where it stopped; or {mirrors.OTHER_ROUTES}"
        if problem.suite_is_gone():
            raise debian.NoPackages(f"{apt.mirror} has dropped packages of Debian 11: "
                                    f"{problem.first_error()}", fix) from None
        raise InputError(f"{apt.mirror} could not deliver: {problem.first_error()}", fix) from None
    paths = []
    for package in wanted:
        path = os.path.join(folder, package.file)
        if not debian.is_whole(path, package):
            raise InputError(f"{path} is not what the signed index lists (SHA-256)",
                             fix="delete the file and run this again")
        paths.append(path)
    return paths


def _install_wheels(work, tree, report):
    """Phase 4: the wheels inside `tree`."""
    target = private_runtime.site_packages(tree)
    if os.path.isdir(target):
        report("[4/5] Python packages: installed already")
        return
    report(f"[4/5] Downloading and installing {len(wheels.locked())} Python packages")
    folder = os.path.join(work, "wheels")
    wheels.download(folder, Counter("package", len(wheels.locked())).step)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with folder_aside(target) as aside:
        wheels.install(folder, aside)


def _probe(tree):
    """Imports Caffe and its companions in the new runtime; raises InputError when that fails."""
    done = subprocess.run(
        private_runtime.command(tree, private_runtime.PYTHON, ["-c", PROBE]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=dict(os.environ, GLOG_minloglevel="2", PYTHONNOUSERSITE="1", PYTHONPATH=ROOT))
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(f"the new runtime cannot load Caffe: {lines[-1]}",
                         fix=f"delete {os.path.dirname(tree)} and run this again")


def check_machine(parent, needed):
    """Raises InputError unless the runtime runs here and `parent` has room for `needed` bytes."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise InputError(f"the private runtime is for Linux on x86_64, this is {sys.platform} on "
                         f"{platform.machine()}",
                         fix="conda env create -f environment.yml, then run the commands in that "
                             "environment")
    make_folder(parent, "CAFFE_PREFIX")
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise InputError(f"{parent} has {free / 1e9:.1f} GB free, the set-up needs "
                         f"{needed / 1e9:.1f} GB (0.8 GB when it is done)",
                         fix="make room, or name a folder on another disk: "
                             "CAFFE_PREFIX=/other/disk/caffe")


@contextlib.contextmanager
def one_at_a_time(work):
    """Holds the lock of the folder `work`, waiting for another set-up in it to end."""
    with open(work + ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Waiting for another set-up of {work}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
