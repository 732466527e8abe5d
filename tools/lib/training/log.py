"""The output of a run while it trains: log.jsonl, the plot of its curves, the progress line."""
import functools
import json
import logging
import math
import os
import re
import sys

from data.child_process import run_in_child
from data.files import write_aside, writing
from data.progress import progress_bar
from tools.lib.training.solver import MAKE_ROOM, write_run_file

#: Names in the output folder.
LOG, PLOT = "log.jsonl", "plot.png"
#: Names of the event files of --tensorboard: when each was begun, in seconds with three decimals.
EVENTS = re.compile(r"events\.out\.tfevents\.[0-9]+\.[0-9]{3}")
#: Seconds after which drawing the plot counts as hanging.
SLOWEST_PLOT = 120
#: Panels: title, and the outputs drawn in it where the log has them.
PANELS = (
    ("losses", ("loss", "seg_loss", "domain_loss", "classifier_loss", "domain_loss_inverse",
                "mil_loss")),
    ("domain classifier's accuracy", ("domain_accuracy_source", "domain_accuracy_target")),
    ("length of a unit's features", ("feature_norm_source", "feature_norm_target")),
    ("gradients on the features", ("domain_gradient_ratio", "mil_gradient_ratio",
                                   "domain_target_share")),
    ("constrained MIL", ("mil_present", "mil_active", "mil_relaxed")),
    ("presence of classes on the source", ("mil_precision", "mil_recall")),
)
#: Outputs on the progress line, in its order, with short names; the log has all outputs.
SHOWN = (("loss", "loss"), ("seg_loss", "seg"), ("domain_loss", "L_D"),
         ("domain_loss_inverse", "L_Dinv"), ("domain_accuracy_source", "accS"),
         ("domain_accuracy_target", "accT"), ("mil_loss", "MIL"), ("mil_present", "present"),
         ("mil_active", "active"), ("mil_relaxed", "relaxed"),
         ("domain_gradient_ratio", "dom/seg"), ("mil_precision", "prec"), ("mil_recall", "rec"))


class Log:
    """log.jsonl: one JSON object a line; a line is in the file before write() returns.

    Every line has "kind" ("train", "test", "snapshot" or "note") and "iteration"; the other keys
    depend on the kind.
    """

    def __init__(self, path, from_iteration):
        """Drops the lines of iterations from `from_iteration` on.

        A run that was killed after its last snapshot wrote them, and the run that goes on from the
        snapshot writes them again.
        """
        kept = [entry for entry in read_log(path) if entry["iteration"] < from_iteration
                or (entry["iteration"] == from_iteration and entry["kind"] == "snapshot")]
        write_run_file(path, "".join(_line(entry) for entry in kept))
        self._path, self._receivers = path, []

    def also(self, receive):
        """Calls receive(entry) with every line that is written from now on."""
        self._receivers.append(receive)

    def write(self, kind, iteration, **values):
        """Appends a line; InputError when the disk does not take it."""
        entry = dict(kind=kind, iteration=iteration, **values)
        # Opened for each line: after a full disk, closing a file left open would fail once more.
        with writing(self._path, MAKE_ROOM), open(self._path, "a", encoding="utf-8") as file:
            file.write(_line(entry))
        for receive in self._receivers:
            receive(entry)


def read_log(path):
    """The log's entries as dicts; a last line that a kill cut off is left out."""
    if not os.path.exists(path):
        return []
    entries = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                entry = json.loads(line, parse_int=_number)
            except ValueError:
                continue
            if (isinstance(entry, dict) and isinstance(entry.get("iteration"), int)
                    and "kind" in entry):
                entries.append(entry)
    return entries


def _number(digits):
    """A JSON integer: an int, or a float where numpy has no such int."""
    return int(digits) if len(digits) < 16 else float(digits)


def _line(entry):
    return json.dumps(entry) + "\n"


def iteration_seconds(path):
    """Seconds an iteration, from every line of a run's log that has a rate."""
    rates = [entry.get("iterations_per_second") for entry in read_log(path)]
    return [1 / rate for rate in rates if type(rate) in (int, float) and 0 < rate < math.inf]


def plot_in_child(log_path, path, title, also):
    """Draws a log file in a child process, so that matplotlib's memory is freed with the child.

    also(): draws what else needs matplotlib, in the same child.

    A plot that fails is only a warning, because the run matters more.
    """
    outcome = run_in_child(functools.partial(_plot_file, log_path, path, title, also), SLOWEST_PLOT)
    failure = outcome.error or outcome.exception
    if failure or outcome.signal or outcome.timeout:
        logging.getLogger(__name__).warning("%s could not be drawn: %s", path,
                                            failure or "it hung or died")


def _plot_file(log_path, path, title, also):
    plot_log(read_log(log_path), path, title)
    also()


def plot_log(entries, path, title):
    """Draws the train and test values over the iterations into a PNG.

    entries: as read_log() returns them. A panel without a value is left out; a log without train
    entries makes no picture.
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    train = [entry for entry in entries if entry["kind"] == "train"]
    panels = [(name, outputs) for name, outputs in PANELS
              if any(output in entry["values"] for entry in train for output in outputs)]
    if not panels:
        return
    figure, axes = pyplot.subplots(len(panels), 1, squeeze=False, sharex=True,
                                   figsize=(8, 1 + 2.6 * len(panels)))
    for axis, (name, outputs) in zip(axes[:, 0], panels):
        for output in outputs:
            _draw(axis, train, output, output)
        for net in sorted({entry["net"] for entry in entries if entry["kind"] == "test"}):
            tests = [e for e in entries if e["kind"] == "test" and e["net"] == net]
            for output in outputs:
                _draw(axis, tests, output, f"test {net}: {output}", marker="o", linestyle=":")
        axis.set_title(name, fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axes[-1, 0].set_xlabel("iteration")
    figure.suptitle(title)
    figure.tight_layout()
    with write_aside(path, only_writer=True) as aside:
        figure.savefig(aside, dpi=100)
    pyplot.close(figure)


def _draw(axis, entries, output, label, **style):
    points = [(e["iteration"], e["values"][output]) for e in entries if output in e["values"]]
    if points:
        axis.plot(*zip(*points), label=label, **style)


class Progress:
    """A bar over the iterations: losses, rate, time left."""

    def __init__(self, name, start, end):
        self._bar = progress_bar(total=end, initial=start, desc=name, unit="it",
                                 leave=True)

    def advance(self):
        self._bar.update(1)

    def show(self, values):
        """Shows those of the values {output: number} that SHOWN names."""
        parts = [f"{short} {values[name]:.3g}" for name, short in SHOWN if name in values]
        self._bar.set_postfix_str(" ".join(parts), refresh=False)

    def write(self, text):
        """Prints a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def close(self):
        self._bar.close()
