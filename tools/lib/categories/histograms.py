"""Picture of label statistics: one histogram a class."""
import matplotlib

matplotlib.use("Agg")
import numpy as np  # noqa: E402
from matplotlib import pyplot  # noqa: E402

from data.files import write_aside  # noqa: E402

COLUMNS = 4
BINS = 30
LINES = (("alpha", "tab:blue", "--"), ("delta", "black", "-"), ("gamma", "tab:red", "--"))


def draw_histograms(occurring, statistics, palette, path):
    """Writes a picture of C arrays of fractions: each class over the images that contain it, with
    its three numbers.

    palette: (C, 3) uint8 RGB, the bars' colours.
    """
    classes = len(statistics.classes)
    rows = -(-classes // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(3.6 * COLUMNS, 2.2 * rows),
                                   squeeze=False)
    for axis in axes.flat[classes:]:
        axis.axis("off")
    for index, axis in zip(range(classes), axes.flat):
        _draw_class(axis, 100 * occurring[index], statistics, index, palette[index] / 255.0)
    axes[0, 0].legend(fontsize=7)
    figure.suptitle(
        f"{statistics.dataset} {statistics.split}, {statistics.label_space} classes: "
        "percent of an image's labelled pixels, over the images that contain the class",
        fontsize=10)
    figure.supylabel("images", fontsize=8)
    figure.tight_layout()
    with write_aside(path) as aside:
        figure.savefig(aside, dpi=100)
    pyplot.close(figure)


def _draw_class(axis, percent, statistics, index, colour):
    axis.set_title(f"{statistics.classes[index]} ({statistics.counts[index]} of "
                   f"{statistics.images} images)",
                   fontsize=8)
    axis.tick_params(labelsize=7)
    if not statistics.counts[index]:
        axis.text(0.5, 0.5, "never occurs", ha="center", va="center", transform=axis.transAxes,
                  fontsize=8)
        return
    axis.hist(percent, bins=np.linspace(0, percent.max(), BINS + 1), color=colour)
    for name, line_colour, style in LINES:
        axis.axvline(100 * getattr(statistics, name)[index], color=line_colour, linestyle=style,
                     linewidth=1, label=name)
