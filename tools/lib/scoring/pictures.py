"""Label maps as colours, overlays, legends and comparison grids."""
import os

import cv2
import numpy as np

from data.errors import InputError
from data.files import write_aside
from data.label_spaces import IGNORED

#: Colour (RGB) of pixels without a class.
NO_CLASS = (0, 0, 0)
#: Inches of width below which a legend is set in small type.
NARROW = 4


def colours(palette):
    """(256, 3) uint8 RGB: the palette (C, 3), then NO_CLASS for every other value."""
    table = np.tile(np.array(NO_CLASS, np.uint8), (256, 1))
    table[:len(palette)] = palette
    return table


def colour(labels, palette):
    """Label map (H, W) uint8 -> (H, W, 3) uint8 BGR in the palette (C, 3) RGB; 255 is black."""
    return colours(palette)[:, ::-1][labels]


def overlay(image, labels, palette, opacity=0.5):
    """The image (H, W, 3) uint8 BGR under the colours of its labels (H, W) uint8.

    palette: (C, 3) RGB.  Pixels without a class (255) stay as they are.  opacity: 0 shows the
    image alone, 1 the colours alone.
    """
    mixed = cv2.addWeighted(colour(labels, palette), opacity, image, 1.0 - opacity, 0.0)
    mixed[labels == IGNORED] = image[labels == IGNORED]
    return mixed


class Painter:
    """Paints label maps by `kind`: "overlay", "colour" or "labels" (the map itself).

    legend: whether a strip with the classes is under every picture; it is drawn once for each
    width.
    """

    def __init__(self, space, kind="overlay", opacity=0.5, legend=True):
        self.space, self.kind, self.opacity = space, kind, opacity
        self.legend = legend and kind != "labels"
        self._strips = {}

    def __call__(self, image, labels):
        """image (H, W, 3) uint8 BGR and labels (H, W) uint8 -> the picture to write."""
        if self.kind == "labels":
            return labels
        picture = (overlay(image, labels, self.space.palette, self.opacity)
                   if self.kind == "overlay" else colour(labels, self.space.palette))
        return np.concatenate([picture, self._strip(picture.shape[1])]) if self.legend else picture

    def _strip(self, width):
        if width not in self._strips:
            self._strips[width] = legend_strip(self.space, width)
        return self._strips[width]


def legend_strip(space, width):
    """(h, width, 3) uint8 BGR: a strip with colour and name of every class of a LabelSpace."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = 100
    figure = Figure(figsize=(width / dpi, 4), dpi=dpi, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    box = _legend(figure, list(zip(space.classes, space.palette)), width / dpi, loc="upper left")
    canvas.draw()
    height = int(np.ceil(box.get_window_extent(canvas.get_renderer()).height)) + 8
    pixels = np.asarray(canvas.buffer_rgba())[:height, :, 2::-1]
    strip = np.full((pixels.shape[0], width, 3), 255, np.uint8)
    strip[:, :pixels.shape[1]] = pixels[:, :width]
    return strip


def _legend(figure, entries, inches, **place):
    from matplotlib.patches import Patch
    handles = [Patch(facecolor=np.asarray(rgb) / 255.0, edgecolor="0.4", linewidth=0.5, label=name)
               for name, rgb in entries]
    return figure.legend(handles=handles, ncol=_columns(entries, inches), frameon=False,
                         handlelength=1.2, fontsize=9 if inches >= NARROW else 7, columnspacing=1.2,
                         borderaxespad=0.2, **place)


def _columns(entries, inches):
    """Number of legend columns that fit into so many inches."""
    # inches of a letter in the font's size, and of the patch with its gaps
    letter, patch = (0.075, 0.55) if inches >= NARROW else (0.058, 0.4)
    longest = max(len(name) for name, _ in entries)
    return max(1, min(len(entries), int(inches / (letter * longest + patch))))


def write_grid(path, titles, rows, space, panel_inches=3.2):
    """Writes a PNG: one row of panels for each frame, titles above, class legend below.

    titles: column titles; rows: list of (row name, list of (H, W, 3) uint8 BGR panels), as many
    panels as titles.  The file appears whole or not at all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [panel_inches * panels[0].shape[0] / panels[0].shape[1] for _, panels in rows]
    name_inches, title_inches, gap = 0.5, 0.3, 0.06
    width = name_inches + len(titles) * (panel_inches + gap)
    entries = list(zip(space.classes, space.palette)) + [("no label", NO_CLASS)]
    legend_inches = 0.15 + 0.22 * -(-len(entries) // _columns(entries, width))
    height = title_inches + sum(heights) + gap * len(rows) + legend_inches
    figure = Figure(figsize=(width, height), facecolor="white")
    canvas = FigureCanvasAgg(figure)
    top = height - title_inches
    for (name, panels), tall in zip(rows, heights):
        for number, panel in enumerate(panels):
            left = name_inches + number * (panel_inches + gap)
            axes = figure.add_axes(
                [left / width, (top - tall) / height, panel_inches / width, tall / height])
            axes.imshow(panel[:, :, ::-1], interpolation="antialiased", aspect="auto")
            axes.set_xticks([])
            axes.set_yticks([])
            if top == height - title_inches:
                axes.set_title(titles[number], fontsize=11, pad=4)
            if number == 0:
                axes.set_ylabel(name, fontsize=7)
        top -= tall + gap
    _legend(figure, entries, width, loc="lower center")
    with write_aside(path) as aside:
        canvas.print_figure(aside, dpi=120, format="png")


def write_image(path, image):
    """Writes an image (uint8, grey or BGR) in the format of the path's ending.

    The file appears whole or not at all.  Raises InputError when the image cannot be encoded.
    """
    ending = os.path.splitext(path)[1]
    done, encoded = cv2.imencode(ending, image)
    if not done:
        raise InputError(f"cannot encode {path}")
    with write_aside(path) as aside, open(aside, "wb") as stream:
        stream.write(encoded.tobytes())
