"""The repository's folder, and files that are written whole or not at all. Standard library
only."""
import contextlib
import hashlib
import os

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
