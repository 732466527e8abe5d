"""Whether what an option asks for can be written: asked at the start of a command, not after hours
of work."""
import os
import tempfile

from data.errors import InputError


def require_file(path, flag):
    """Raises InputError, naming `flag`, unless a file can be written at `path`; None, an option not
    given, passes.

    Its folder may be missing when it can be made; nothing is left behind.
    """
    if path is None:
        return
    if os.path.isdir(path) or not os.path.basename(path):
        raise InputError(f"{flag} {path}: expected the name of a file, found a folder",
                         f"name a file with {flag}")
    _require_room(os.path.dirname(os.path.abspath(path)), path, flag)


def require_folder(path, flag):
    """Raises InputError, naming `flag`, unless `path` is a folder to write to or can become one;
    None passes."""
    if path is not None:
        _require_room(os.path.abspath(path), path, flag)


def make_folder(path, flag):
    """Makes a folder with those above it; raises InputError, naming `flag`, when it cannot be made
    or written to."""
    require_folder(path, flag)
    os.makedirs(path, exist_ok=True)


def _require_room(folder, path, flag):
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    try:
        # by trying: root may write anywhere as far as permissions say, but not in /proc
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise InputError(f"{flag} {path} cannot be written: no file can be made in {folder} "
                         f"({problem.strerror})",
                         f"name another place with {flag}") from None


def folder_name(title):
    """A title as the name of one folder: a title that is a path, or ../x, must not lead out of the
    folder it is kept in."""
    parts = [part for part in title.split(os.sep) if part not in ("", os.curdir, os.pardir)]
    return "_".join(parts) or "_"


def require_empty(folder, flag):
    """Raises InputError, naming `flag`, when the folder cannot be written to or holds something:
    two runs must not mix in it."""
    require_folder(folder, flag)
    if os.path.isdir(folder) and os.listdir(folder):
        raise InputError(f"{flag} {folder} is not an empty folder", "remove it or name another")
