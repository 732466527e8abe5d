"""The run's curves as a picture, from its log."""
import logging
import os

from tools.lib.checking.child import run_in_child
from tools.lib.training.log import read_log

#: Seconds after which drawing counts as hanging.
SLOWEST_PLOT = 120

#: Panels: title, and the outputs drawn in it where the log has them.
PANELS = (
    ("losses", ("loss", "seg_loss", "domain_loss", "domain_loss_inverse", "mil_loss")),
    ("domain classifier's accuracy", ("domain_accuracy_source", "domain_accuracy_target")),
    ("constrained MIL", ("mil_present", "mil_active", "mil_relaxed")),
)


def plot_apart(log_path, path, title):
    """plot_log() of a log file in a forked child, whose memory for matplotlib ends with it.

    A picture that cannot be drawn is a warning: the run matters more.
    """
    outcome = run_in_child(lambda: plot_log(read_log(log_path), path, title), SLOWEST_PLOT)
    if outcome.exception or outcome.signal or outcome.timeout:
        logging.getLogger(__name__).warning("%s could not be drawn: %s", path, outcome.exception
                                            or "it hung or died")


def plot_log(entries, path, title):
    """Draws the log's train and test values over the iterations into a PNG.

    entries: what read_log returns.  Panels without a value are left out; a log without
    train entries makes no picture.
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
    aside = path + ".partial"
    figure.savefig(aside, format="png", dpi=100)
    os.replace(aside, path)
    pyplot.close(figure)


def _draw(axis, entries, output, label, **style):
    points = [(e["iteration"], e["values"][output]) for e in entries if output in e["values"]]
    if points:
        axis.plot(*zip(*points), label=label, **style)
