"""The repository's folder, and files and folders that appear whole or not at all.

Uses the standard library only.
"""
import contextlib
import errno
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


def require_utf8(path, reader):
    """Raises InputError unless the path is UTF-8.

    reader: the library that would be given the path, and that fails or ends the process otherwise.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{path!r}: the path is not UTF-8, and {reader} cannot open such a file",
                         "rename the file or folder, or give a link to it") from None


@contextlib.contextmanager
def writing(path, fix=None):
    """An OSError in the block, such as a full disk, becomes an InputError that names `path`.

    fix: how to go on, for the error's message.
    """
    try:
        yield
    except OSError as problem:
        raise InputError(f"cannot write {path}: {problem.strerror or problem}", fix) from None


@contextlib.contextmanager
def write_aside(path, fix=None, only_writer=False):
    """Gives the name of a file beside `path` to write; it replaces `path` when the block succeeds.

    The folder is made when missing. The ending stays, because encoders choose their format by it.
    only_writer: True where a lock keeps other processes from writing `path`. Every process then
    uses the same name, so that files left by killed processes are written over and do not pile up.
    Raises InputError, with `fix`, when the file cannot be written.
    """
    path = os.fspath(path)
    folder, base = os.path.split(path)
    stem, ending = os.path.splitext(base)
    process = "" if only_writer else f".{os.getpid()}"
    aside = os.path.join(folder, f".{stem}{process}.part{ending}")
    with writing(path, fix):
        try:
            if folder:
                os.makedirs(folder, exist_ok=True)
            yield aside
            os.replace(aside, path)
        finally:
            if os.path.exists(aside):
                os.remove(aside)


def write_whole(path, content, fix=None, only_writer=False):
    """Writes text (UTF-8) or bytes: a reader sees the old file or the new one, never half of it.

    Names that are not UTF-8 are written with backslashes, as Python shows them.
    The file is on the disk when this returns, also after a power failure. fix, only_writer and
    errors: as write_aside().
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    with write_aside(path, fix, only_writer) as aside, open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with writing(path, fix):
        sync(os.path.dirname(path))


def sync(path):
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path or os.curdir, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        # Some network file systems cannot sync a folder.
        if problem.errno != errno.EINVAL or not os.path.isdir(path or os.curdir):
            raise
    finally:
        os.close(descriptor)


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
