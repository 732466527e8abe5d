"""Small file helpers of the set-up: hashes, whole writes, progress on the terminal."""
import hashlib
import os
import sys


def sha256(path):
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path, text):
    """Writes `text` to `path` so that a reader sees the old file or the new one, never half of it."""
    aside = "%s.%d.tmp" % (path, os.getpid())
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


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
