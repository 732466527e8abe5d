"""Random scale and colours of a sample, each a function of (seed, position). Plain numpy.

Algorithm of the colours, on B, G, R from 0 to 255, with factors drawn uniformly from
[1 - a, 1 + a], one a for each key of an Augmentation:

    1. brightness   x = b x
    2. contrast     x = m + c (x - m),    m = mean grey of the window
    3. saturation   x = y + s (x - y),    y = grey of the pixel
    4. channels     x_k = g_k x_k,        one factor for each of blue, green and red
    5. values outside 0 to 255 are clipped
"""
import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

#: Random numbers drawn for one sample, whichever keys are on, so that switching a key on does not
#: change the draws of the others.
DRAWS = 7


@dataclass(frozen=True)
class Augmentation:
    """How far samples vary."""

    scale: Tuple[float, float] = (1.0, 1.0)     # smallest and largest factor on image and label
    brightness: float = 0.0     # half widths a, from 0 (off) to 1
    contrast: float = 0.0
    saturation: float = 0.0
    channels: float = 0.0

    @property
    def colours(self):
        """Whether any colour varies."""
        return any((self.brightness, self.contrast, self.saturation, self.channels))

    def draw(self, generator):
        """The Variation of one sample.

        generator: a numpy Generator of its own; only its random() is used.
        """
        draws = generator.random(DRAWS)
        least, most = map(math.log, self.scale)
        widths = np.array([self.brightness, self.contrast, self.saturation] + 3 * [self.channels])
        # scale: uniform in its logarithm, so that half and double are equally likely
        return Variation(math.exp(least + draws[0] * (most - least)),
                         *(1 + (2 * draws[1:4] - 1) * widths[:3]),
                         1 + (2 * draws[4:] - 1) * widths[3:])


@dataclass(frozen=True)
class Variation:
    """The factors drawn for one sample."""

    scale: float
    brightness: float
    contrast: float
    saturation: float
    channels: np.ndarray    # (3,): of blue, green, red

    def recoloured(self, image):
        """The window (h, w, 3), BGR 0 to 255, with these colours: float32."""
        found = image.astype(np.float32)
        found *= np.float32(self.brightness)
        mean = np.float32(_grey(found).mean(dtype=np.float64))
        found = mean + np.float32(self.contrast) * (found - mean)
        grey = _grey(found)[..., None]
        found = grey + np.float32(self.saturation) * (found - grey)
        found *= self.channels.astype(np.float32)
        return np.clip(found, 0, 255)


NONE = Augmentation()


def _grey(image):
    """(h, w) of (h, w, 3) BGR: ITU-R BT.601. Not by BLAS, whose last bits depend on the machine."""
    blue, green, red = np.moveaxis(image, -1, 0)
    return np.float32(0.114) * blue + np.float32(0.587) * green + np.float32(0.299) * red
