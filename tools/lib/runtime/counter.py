"""Progress on the terminal before any library is there."""
import sys


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
            self.stream.write(
                "\r    %s %d of %d%s" % (self.label, self.done, self.total, "\n" if last else ""))
        elif last or self.done % max(1, self.total // 4) == 0:
            self.stream.write(f"    {self.label} {self.done} of {self.total}\n")
        self.stream.flush()
