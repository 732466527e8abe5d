"""The line that shows how a run goes."""
import sys

from tqdm import tqdm

#: Outputs by the names that the line has room for, in its order; others are in the log only.
SHOWN = (("loss", "loss"), ("seg_loss", "seg"), ("domain_loss", "L_D"),
         ("domain_loss_inverse", "L_Dinv"), ("domain_accuracy_source", "accS"),
         ("domain_accuracy_target", "accT"), ("mil_loss", "MIL"), ("mil_present", "present"),
         ("mil_active", "active"), ("mil_relaxed", "relaxed"))

# tqdm's monitor is a thread, and training forks: for the dry run, for workers and for snapshots.
tqdm.monitor_interval = 0


class Progress:
    """A bar over the iterations: losses, rate, time left."""

    def __init__(self, name, start, end):
        self._bar = tqdm(total=end, initial=start, desc=name, unit="it", dynamic_ncols=True,
                         # a log file needs no line every tenth of a second
                         mininterval=0.1 if sys.stderr.isatty() else 10.0)

    def advance(self):
        self._bar.update(1)

    def show(self, values):
        """values: {output: number}; those of SHOWN appear."""
        parts = [f"{short} {values[name]:.3g}" for name, short in SHOWN if name in values]
        self._bar.set_postfix_str(" ".join(parts), refresh=False)

    def say(self, text):
        """Prints a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def close(self):
        self._bar.close()
