"""The repository's folder, and files and folders that appear whole or not at all.

Uses the standard library only.
"""
import contextlib
import glob
import hashlib
import os
import shutil

from data.errors import InputError

#: The repository's folder, found from this file's own place: a moved or copied repository goes on
#: working.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def sha256(path):
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def write_aside(path):
    """Gives the name of a file beside `path` to write to; it replaces `path` when the block
    succeeds.

    The folder is made when missing; the ending stays, because encoders go by it.  Raises
    InputError when it cannot be written.
    """
    path = os.fspath(path)
    folder, base = os.path.split(path)
    stem, ending = os.path.splitext(base)
    aside = os.path.join(folder, f".{stem}.{os.getpid()}.part{ending}")
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as problem:
        raise InputError(f"cannot write {path}: {problem.strerror or problem}") from None
    finally:
        if os.path.exists(aside):
            os.remove(aside)


def write_whole(path, text):
    """Writes `text` (UTF-8) so that a reader sees the old file or the new one, never half of it;
    raises as write_aside()."""
    with write_aside(path) as aside, open(aside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def folder_aside(folder):
    """Gives the name of a folder to make and fill; it becomes `folder` when the block succeeds.

    It lies beside `folder`, and replaces what was there. When the block fails, it is removed and
    `folder` stays as it was. What a killed process has left is removed by the next call.
    """
    folder = os.path.normpath(folder)
    for left in glob.glob(glob.escape(folder) + ".*.part"):
        if not os.path.isdir(os.path.join("/proc", left.split(".")[-2])):
            shutil.rmtree(left, ignore_errors=True)
    aside = f"{folder}.{os.getpid()}.part"
    try:
        yield aside
        replace_folder(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def replace_folder(new, folder):
    """Renames the folder `new` to `folder`; what was there is removed once the new one stands."""
    os.stat(new)        # raises FileNotFoundError before anything is moved
    old = f"{folder}.{os.getpid()}.old"
    if os.path.lexists(folder):
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)
