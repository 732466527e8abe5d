"""The project's changes to Caffe's source: the files of patches/, each with its reason on top.

patches/NNN-name.patch is a reason, a line `Variants: cpu, cuda` with the variants that need the
patch, and a unified diff. Patches are applied in the order of their numbers; each sees what the
earlier ones wrote. patches/*.hpp are new files for Caffe's source.
"""
import collections
import glob
import os
import shutil
import subprocess

from data.errors import InputError

VARIANTS = ("cpu", "cuda")
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "patches")
#: The project's own headers, and the variants that need them; their folder in Caffe's source.
HEADERS = {"project_math_mode.hpp": ("cuda",)}
HEADER_FOLDER = "include/caffe/util"
FIX = "the source package is not the one that tools/build/patches/ was written for"

#: name: file name.  path: the file.  reason: one line of text.  variants: those that need it.
Patch = collections.namedtuple("Patch", "name path reason variants")


def patches_for(variant, folder=FOLDER):
    """The patches that `variant` needs, in the order in which they are applied."""
    every = [read_patch(path) for path in sorted(glob.glob(os.path.join(folder, "*.patch")))]
    return [patch for patch in every if variant in patch.variants]


def read_patch(path):
    """Patch of a file; InputError when the reason or the variants are missing."""
    with open(path, encoding="utf-8") as file:
        head = file.read().split("--- a/", 1)[0]
    reason, _, variants = head.partition("Variants: ")
    variants = tuple(word.strip() for word in variants.split(","))
    if not reason.strip() or not set(variants) <= set(VARIANTS):
        raise InputError(f"{path} does not begin with a reason and a line such as "
                         f"'Variants: {', '.join(VARIANTS)}'")
    return Patch(os.path.basename(path), path, " ".join(reason.split()), variants)


def headers_for(variant, folder=FOLDER):
    """Paths of the project's own headers that `variant` needs."""
    return [os.path.join(folder, name) for name, variants in HEADERS.items() if variant in variants]


def apply_patch(tree, patch):
    """Applies a patch to the folder `tree`; InputError, with nothing written, if it does not fit.

    git must be installed; `tree` need not be a repository, and may lie inside one.
    """
    # settings of the user and of a surrounding repository must not choose files or change bytes
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env["GIT_CEILING_DIRECTORIES"] = os.path.dirname(os.path.realpath(tree))
    command = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn"]
    for check in (["--check"], []):
        done = subprocess.run(command + check + [patch.path], cwd=tree, env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
            why = (lines or [f"exit code {done.returncode}"])[0].replace("error: ", "", 1)
            raise InputError(f"{patch.name} does not apply to {tree}: {why}", fix=FIX)


def add_header(tree, path):
    """Copies a header of the project into Caffe's source; InputError if it is there already."""
    target = os.path.join(tree, HEADER_FOLDER, os.path.basename(path))
    if os.path.exists(target):
        raise InputError(f"{os.path.basename(path)} is in {os.path.dirname(target)} already",
                         fix=FIX)
    shutil.copyfile(path, target)
