"""Progress bars of all commands: a moving line on a terminal, a line a minute in a file."""
import sys
import time

from tqdm import tqdm

#: Seconds between two lines where standard error is not a terminal; work that is shorter has none.
SECONDS = 60
#: Such a line: without a bar, which only a terminal can move.
LINE = ("{desc}{percentage:.0f}%, {n_fmt} of {total_fmt} "
        "[{elapsed}<{remaining}, {rate_fmt}{postfix}]")
#: The same where the number of all items is not known.
OPEN_LINE = "{desc}{n_fmt} [{elapsed}, {rate_fmt}{postfix}]"

# tqdm's monitor is a thread, and commands fork.
tqdm.monitor_interval = 0


def progress_bar(items=None, desc="progress", total=None, **options):
    """A tqdm bar on standard error; items, desc, total and options are tqdm's.

    Where standard error is a file or a pipe, the bar is a line a minute there, without carriage
    returns.
    """
    options.setdefault("leave", False)
    if sys.stderr.isatty():
        return tqdm(items, desc, total, dynamic_ncols=True, **options)
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    options.update(mininterval=min(1, SECONDS), miniters=1)
    return tqdm(items, f"{desc}: ", total, file=LineFile(sys.stderr),
                bar_format=OPEN_LINE if total is None else LINE, **options)


class LineFile:
    """Turns what tqdm writes on a terminal into a line every SECONDS, the first after SECONDS."""

    def __init__(self, stream):
        self._stream, self._last = stream, time.monotonic()

    def write(self, text):
        text = text.replace("\r", "").strip()
        if text and time.monotonic() - self._last >= SECONDS:
            self._last = time.monotonic()
            self._stream.write(text + "\n")

    def flush(self):
        self._stream.flush()
