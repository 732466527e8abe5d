"""Small file helpers: hashes, whole writes, progress on the terminal."""
import contextlib
import hashlib
import os
import sys

from data.errors import InputError


def sha256(path):
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def write_aside(path):
    """Gives the name of a file beside `path` to write to; it replaces `path` when the block succeeds.

    The folder is made when missing; the ending stays, because encoders go by it.  Raises
    InputError when it cannot be written.
    """
    path = os.fspath(path)
    folder, base = os.path.split(path)
    stem, ending = os.path.splitext(base)
    aside = os.path.join(folder, ".%s.%d.part%s" % (stem, os.getpid(), ending))
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as problem:
        raise InputError("cannot write %s: %s" % (path, problem.strerror or problem)) from None
    finally:
        if os.path.exists(aside):
            os.remove(aside)


def write_whole(path, text):
    """Writes `text` (UTF-8) so that a reader sees the old file or the new one, never half of it; raises as write_aside()."""
    with write_aside(path) as aside, open(aside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


class Counter:
    """Counts a known number of steps: on one moving line of a terminal, in a few lines of a log."""

    def __init__(self, label, total, stream=None):
        self.label, self.total, self.done = label, total, 0
        self.stream = stream or sys.stdout
        self.moving = self.stream.isatty()

    def step(self):
        self.done += 1
        last = self.done == self.total
        if self.moving:
            self.stream.write("\r    %s %d of %d%s" % (self.label, self.done, self.total, "\n" if last else ""))
        elif last or self.done % max(1, self.total // 4) == 0:
            self.stream.write("    %s %d of %d\n" % (self.label, self.done, self.total))
        self.stream.flush()
