"""A run's files: there whole or not at all, and a full disk is told as such."""
import contextlib
import os

from data.errors import InputError


@contextlib.contextmanager
def writing(path):
    """An OSError in the block, a full disk say, becomes an InputError that names `path` and says
    how to go on."""
    try:
        yield
    except OSError as problem:
        raise InputError(f"cannot write {path}: {problem.strerror or problem}",
                         "Make room, then give the same command with --resume.") from None


def replace_file(path, content):
    """Writes bytes beside `path`, to the disk, and puts them in its place in one step; InputError
    when it cannot."""
    # one name for all: what killed runs leave is written over, and does not pile up
    aside = path + ".partial"
    with writing(path):
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_folder(os.path.dirname(path))


def sync_file(path):
    """Waits until the file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder):
    """Waits until the folder's names are on the disk."""
    sync_file(folder or ".")
