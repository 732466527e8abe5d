"""Builds the private runtime: phases that are each done once, in a folder beside the prefix.

The prefix appears by one rename when everything in it works, so that a half-made
runtime is never seen; an interrupted set-up goes on at the phase it had reached.
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
from data.files import ROOT, write_whole
from tools.lib.outputs import make_folder
from tools.lib.runtime import debian, packages, places, wheels
from tools.lib.runtime.counter import Counter
from tools.lib.runtime.mirror import SCHEMES, machine_mirrors

#: Downloads and unpacked packages together, at the worst moment.
NEEDED_BYTES = 1.3e9
PROBE = ("import caffe, cv2, lmdb, numpy, scipy.ndimage, matplotlib, tabulate, threadpoolctl, tqdm\n"
         "caffe.Net")


def fingerprint():
    """Hash of everything that decides what a prefix holds."""
    made_of = (debian.SUITE, debian.ROOTS, debian.ALONE, packages.WRAPPER, packages.SITECUSTOMIZE)
    digest = hashlib.sha256(repr(made_of).encode())
    with open(wheels.LOCK, "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()


def is_current(folder):
    """True when `folder` holds a finished runtime that this version of the set-up would make
    again."""
    try:
        with open(os.path.join(folder, places.READY), encoding="utf-8") as file:
            return json.load(file).get("fingerprint") == fingerprint()
    except (OSError, ValueError, AttributeError):
        return False


def set_up_runtime(mirror=None, debs=None, rebuild=False, say=print):
    """Makes the private prefix, or finds it made already. Returns its folder.

    mirror: address of a Debian mirror; None reads the machine's apt sources.
    debs: folder with the .deb files; nothing is asked of a mirror then.
    rebuild: make it anew although it is there.
    say: called with each line of progress.
    """
    folder = places.prefix()
    if is_current(folder) and not rebuild:
        return folder
    _check_machine(os.path.dirname(folder))
    work = folder + "-partial"
    os.makedirs(work, exist_ok=True)
    with one_at_a_time(work):
        if is_current(folder) and not rebuild:
            return folder
        tree = _unpacked_debs(work, mirror, debs, say)
        _installed_wheels(work, tree, say)
        say("[5/5] Checking that Caffe works")
        packages.finish(tree)
        _probe(tree)
        write_whole(os.path.join(tree, places.READY),
                    json.dumps({"fingerprint": fingerprint()}) + "\n")
        _swap(tree, folder, work)
    shutil.rmtree(work, ignore_errors=True)
    return folder


def _unpacked_debs(work, mirror, debs, say):
    """Phases 1 to 3; returns the folder with the unpacked packages."""
    tree = os.path.join(work, "tree-" + fingerprint()[:12])
    if os.path.isdir(tree):
        say("[1-3/5] Debian packages: unpacked already")
        return tree
    if debs:
        say(f"[1/5] Comparing {debs} with the package list")
        files = packages.offline(debs)
    else:
        say("[1/5] Reading Debian 11's signed package index")
        apt = debian.open_apt(os.path.join(work, "apt"), mirrors(mirror))
        files = _fetched(apt, os.path.join(work, "debs"), say)
    say("[3/5] Unpacking")
    aside = tree + ".aside"
    shutil.rmtree(aside, ignore_errors=True)
    packages.unpack(files, aside, Counter("package", len(files)).step)
    os.rename(aside, tree)
    return tree


def _fetched(apt, folder, say):
    """Paths of all packages, downloaded and whole."""
    os.makedirs(folder, exist_ok=True)
    try:
        wanted = apt.closure()
        megabytes = sum(package.size for package in wanted) / 1e6
        say(f"[2/5] Downloading {len(wanted)} packages, {megabytes:.0f} MB, from {apt.mirror}")
        apt.fetch(wanted, folder, Counter("package", len(wanted)).step)
    except debian.AptFailed as problem:
        what = "has dropped packages of Debian 11" if problem.suite_is_gone(
        ) else "could not deliver"
        raise InputError(
            f"{apt.mirror} {what}: {problem.first_error()}",
            fix="run this again, it goes on where it stopped; or " + debian.OTHER_ROUTES) from None
    paths = []
    for package in wanted:
        path = os.path.join(folder, package.file)
        if not debian.is_whole(path, package):
            raise InputError(f"{path} is not what the signed index lists (SHA-256)",
                             fix="delete the file and run this again")
        paths.append(path)
    return paths


def _installed_wheels(work, tree, say):
    """Phase 4: the wheels inside `tree`."""
    target = places.site_packages(tree)
    if os.path.isdir(target):
        say("[4/5] Python packages: installed already")
        return
    say(f"[4/5] Downloading and installing {len(wheels.locked())} Python packages")
    folder, aside = os.path.join(work, "wheels"), os.path.join(work, "wheels.aside")
    wheels.download(folder, Counter("package", len(wheels.locked())).step)
    shutil.rmtree(aside, ignore_errors=True)
    wheels.install(folder, aside)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(aside, target)


def _swap(tree, folder, work):
    """Puts `tree` in the place of `folder`; an outdated prefix leaves only when the new one is
    ready."""
    if os.path.lexists(folder):
        old = os.path.join(work, "old")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(folder, old)
    os.rename(tree, folder)


def _probe(tree):
    done = subprocess.run(
        places.command(tree, places.PYTHON, ["-c", PROBE]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, env=dict(
            os.environ, GLOG_minloglevel="2", PYTHONNOUSERSITE="1", PYTHONPATH=ROOT))
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(f"the new runtime cannot load Caffe: {lines[-1]}",
                         fix=f"delete {os.path.dirname(tree)} and run this again")


def mirrors(given=None):
    """Addresses to ask, best first: the given one, otherwise those of the machine's apt sources."""
    if given is not None:
        if not given.startswith(SCHEMES) or len(given.split()) != 1:
            raise InputError("--mirror: expected an address such as file:/mnt/debian or "
                             f"http://.../debian, found '{given}'")
        return [given.rstrip("/")]
    found = machine_mirrors()
    if not found:
        raise InputError("no Debian mirror in this machine's apt sources (/etc/apt)",
                         fix=debian.OTHER_ROUTES)
    return found


def _check_machine(parent):
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise InputError(f"the private runtime is for Linux on x86_64, this is {sys.platform} on "
                         f"{platform.machine()}",
                         fix="conda env create -f environment.yml, then run the commands in that "
                             "environment")
    make_folder(parent, "CAFFE_PREFIX")
    free = shutil.disk_usage(parent).free
    if free < NEEDED_BYTES:
        raise InputError(f"{parent} has {free / 1e9:.1f} GB free, the set-up needs "
                         f"{NEEDED_BYTES / 1e9:.1f} GB (0.8 GB when it is done)",
                         fix="make room, or name a folder on another disk: "
                             "CAFFE_PREFIX=/other/disk/caffe")


@contextlib.contextmanager
def one_at_a_time(work):
    """Holds the set-up's lock, waiting for another set-up of the same prefix to end."""
    with open(work + ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Waiting for another set-up of {work}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
