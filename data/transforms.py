"""Makes a net's input from a frame: resize, random window, mirror, reflected margin, mean.

Plain numpy and OpenCV.
"""
import cv2
import numpy as np

from data.label_spaces import IGNORED

#: Smallest and largest factor by which images are resized; beyond them an image is a dot, or does
#: not fit into memory.
FACTORS = (0.01, 16)


def resize(image, factor):
    """The image (H, W, 3) uint8 at round(factor H) x round(factor W).

    Averaged when shrunk, bilinear when enlarged.  factor: within FACTORS; callers that take it from
    a user check this.
    """
    if factor == 1:
        return image
    return cv2.resize(image, _size(image, factor),
                      interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def resize_label(label, factor):
    """The label (H, W) uint8 at the size of resize(): each pixel gets the nearest id."""
    if factor == 1:
        return label
    return cv2.resize(label, _size(label, factor), interpolation=cv2.INTER_NEAREST_EXACT)


def random_window(shape, crop, generator):
    """(top, left, mirror) of a random crop (h, w) in an image of `shape` (H, W, ...).

    Always draws three numbers.  In an image smaller than the crop, top or left is 0 or negative, so
    that the image lies inside.
    """
    draws = generator.random(3)
    top, left = (_offset(size - wanted, draw) for size, wanted, draw in zip(shape, crop, draws))
    return top, left, bool(draws[2] < 0.5)


def even_windows(shape, crop):
    """[(top, left)] of windows of `crop` (h, w), spread evenly over an image of `shape` (H, W).

    The places that random_window can choose are divided into equal parts, and a window lies at the
    middle of each; on each axis there are as many as windows side by side would cover the image.
    Where the image is smaller than the window, the window lies at 0 and ends at the image's edge.
    """
    def places(size, wanted):
        parts = -(-size // wanted)
        room = max(size - wanted, 0) + 1
        return [int((part + 0.5) / parts * room) for part in range(parts)]

    rows, columns = (places(size, wanted) for size, wanted in zip(shape, crop))
    return [(top, left) for top in rows for left in columns]


def cut_image(image, window, crop, margin=0):
    """The window with a margin on every side, (h + 2 margin, w + 2 margin, 3) uint8.

    The margin holds the image's own pixels; beyond the image's edge they are reflected (edge pixel
    not repeated), as the released front-end models expect.
    """
    top, left, mirror = window
    rows = reflected(np.arange(top - margin, top + crop[0] + margin), image.shape[0])
    columns = reflected(np.arange(left - margin, left + crop[1] + margin), image.shape[1])
    return image[rows][:, columns[::-1] if mirror else columns]


def cut_label(label, window, crop):
    """The window of a label, (h, w) uint8; pixels outside the image are 255 (ignored)."""
    top, left, mirror = window
    cut = np.full(crop, IGNORED, np.uint8)
    above, before = max(-top, 0), max(-left, 0)
    inside = label[max(top, 0):top + crop[0], max(left, 0):left + crop[1]]
    cut[above:above + inside.shape[0], before:before + inside.shape[1]] = inside
    return cut[:, ::-1] if mirror else cut


def to_blob(image, mean):
    """(3, h, w) float32: channels first, BGR, minus the mean (3 numbers, BGR)."""
    return np.subtract(image.transpose(2, 0, 1),
                       np.asarray(mean, np.float32)[:, None, None], dtype=np.float32)


def reflected(positions, size):
    """Positions mirrored at the edge pixels into 0..size-1, from any distance."""
    if size == 1:
        return np.zeros_like(positions)
    folded = np.mod(positions, 2 * (size - 1))
    return np.where(folded < size, folded, 2 * (size - 1) - folded)


def _offset(room, draw):
    # Uniform over 0..room, or over room..0 when the image is smaller than the crop.
    return int(draw * (room + 1)) if room >= 0 else -int(draw * (1 - room))


def _size(image, factor):
    height, width = image.shape[:2]
    # OpenCV wants (width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))
