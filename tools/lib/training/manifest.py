"""The list of a run's complete snapshots: snapshots.json, with sizes and hashes.

    {"snapshots": [{"iteration": 400,
                    "model": {"name": "toy_iter_400.caffemodel", "bytes": 1, "sha256": "..."},
                    "state": {"name": "toy_iter_400.solverstate", "bytes": 1, "sha256": "..."}}]}

A snapshot counts once it is listed; what is not listed was never finished.
"""
import json
import os

from data.errors import InputError
from data.files import sha256
from tools.lib.training.files import replace_file

NAME = "snapshots.json"


def read_manifest(folder):
    """The listed snapshots, oldest first; [] when there is no list yet.

    InputError when the file is not such a list: it is not guessed around.
    """
    path = os.path.join(folder, NAME)
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)["snapshots"]
        for entry in entries:
            _check_entry(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as problem:
        raise InputError(f"{path} is not a list of snapshots: {problem}",
                         "Move it away to start the run again; the snapshots themselves stay "
                         "usable with --weights.") from None
    return sorted(entries, key=lambda entry: entry["iteration"])


def write_manifest(folder, entries):
    """Puts the list in place of the old one, whole or not at all."""
    text = json.dumps({"snapshots": entries}, indent=1) + "\n"
    replace_file(os.path.join(folder, NAME), text.encode())


def describe(path):
    """{"name", "bytes", "sha256"} of a file."""
    return {"name": os.path.basename(path), "bytes": os.path.getsize(path), "sha256": sha256(path)}


def fault(folder, entry):
    """What is wrong with a listed snapshot's files, in words, or None."""
    for part in ("model", "state"):
        listed = entry[part]
        path = os.path.join(folder, listed["name"])
        if not os.path.isfile(path):
            return f"{listed['name']} is missing"
        size = os.path.getsize(path)
        if size != listed["bytes"]:
            return f"{listed['name']} has {size} bytes instead of {listed['bytes']}"
        if sha256(path) != listed["sha256"]:
            return f"{listed['name']} has been altered: its SHA-256 is not the listed one"
    return None


def newest_complete(folder, tell):
    """The newest listed snapshot whose files are as listed, or None.

    tell(text) is told about every one that is passed over.
    """
    for entry in reversed(read_manifest(folder)):
        problem = fault(folder, entry)
        if problem is None:
            return entry
        tell(f"passing over the snapshot of iteration {entry['iteration']}: {problem}")
    return None


def _check_entry(entry):
    if type(entry["iteration"]) is not int or entry["iteration"] < 0:
        raise ValueError(f"iteration is {entry['iteration']!r}")
    for part in ("model", "state"):
        name = entry[part]["name"]
        if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", ".."):
            raise ValueError(f"{name!r} is not the name of a file in this folder")
        if type(entry[part]["bytes"]) is not int or not isinstance(entry[part]["sha256"], str):
            raise ValueError(f"bytes or sha256 of {name} are missing")
