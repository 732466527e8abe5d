"""Checks at the start of a command that its output can be written, not after hours of work."""
import os
import tempfile

from data.errors import InputError


def require_file(path, flag):
    """InputError, naming `flag`, unless a file can be written at `path`.

    The folder may be missing if it can be made. Writes nothing. None, an option that was not given,
    passes.
    """
    if path is None:
        return
    if os.path.isdir(path) or not os.path.basename(path):
        raise InputError(f"{flag} {path}: expected the name of a file, found a folder",
                         f"name a file with {flag}")
    _require_room(os.path.dirname(os.path.abspath(path)), path, flag)


def require_folder(path, flag):
    """InputError, naming `flag`, unless one can write into the folder `path` or make it.

    None, an option that was not given, passes.
    """
    if path is not None:
        _require_room(os.path.abspath(path), path, flag)


def make_folder(path, flag):
    """Makes a folder and those above it; InputError, naming `flag`, when it cannot be written."""
    require_folder(path, flag)
    os.makedirs(path, exist_ok=True)


def _require_room(folder, path, flag):
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    try:
        # A file is made, because permissions are not enough: they allow root to write in /proc.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise InputError(f"{flag} {path} cannot be written: no file can be made in {folder} "
                         f"({problem.strerror})",
                         f"name another place with {flag}") from None


def folder_name(title):
    """The name of one folder for a title: a title such as ../x must not lead to another folder."""
    parts = [part for part in title.split(os.sep) if part not in ("", os.curdir, os.pardir)]
    return "_".join(parts) or "_"


def require_empty(folder, flag):
    """InputError, naming `flag`, when the folder cannot be written or is not empty.

    The files of two runs must not mix in one folder.
    """
    require_folder(folder, flag)
    if os.path.isdir(folder) and os.listdir(folder):
        raise InputError(f"{flag} {folder} is not an empty folder", "remove it or name another")
