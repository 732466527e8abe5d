"""Scores of a net that is computed whole, image by image, because tiles would be wrong.

Its layers may be of any kind.  Caffe therefore builds the net for inputs of several sizes, in a
child process; this shows which sizes the net takes and how large its output is.  The rules:

1. An input of n pixels gives (n - 2 margin) / stride units of the output, along both axes.
2. Every side of an image is continued by `margin` pixels, and its right and bottom side by as many
   more as the net needs for a size that it takes, by reflection.
3. Of the output, the units that lie over the image are kept.
"""
from collections import namedtuple
from fractions import Fraction

import numpy as np

from data.errors import InputError
from data.machine_memory import machine_memory
from data.transforms import cut_image
from models.cost import forward_bytes
from tools.lib.checking.device import device_memory
from tools.lib.checking.memory import layer_costs
from tools.lib.scoring.deploy_net import CHANNELS
from tools.lib.scoring.tiled_net import forward

#: The step between sizes that a net takes, the product of all its strides, divides one of these.
PERIODS = (256, 240)
#: Pixels by which an input is larger that shows whether a stride is 30, 32 or 33.
FAR = 1200


class Sizes(namedtuple("Sizes", "stride margin step remainders")):
    """Which sizes a net takes.

    stride: Fraction, pixels a unit of the output; margin: pixels on every side; step, remainders
    (rows, columns): the net takes inputs of k * step + remainder pixels.
    """

    def padded(self, size):
        """(rows, columns) of the smallest input that holds an image of `size` and the margins."""
        return tuple(side + 2 * self.margin + (rest - side - 2 * self.margin) % self.step
                     for side, rest in zip(size, self.remainders))

    def units(self, size):
        """(rows, columns) of the units that lie over an image of `size`."""
        return tuple(int(-(-side // self.stride)) for side in size)


class WholeNet:
    """A net that is computed whole.

    geometry: Sizes; reason: why it cannot be computed in tiles.
    """

    def __init__(self, deploy, net, transform, budget, reason):
        """deploy: deploy_net.DeployNet; net: its caffe.Net, with weights.

        budget: bytes that one forward pass may hold, None for all of the memory.
        """
        self._deploy, self._net, self._transform, self._budget = deploy, net, transform, budget
        self.reason = reason
        self.geometry = find_sizes(deploy)
        self._accepted = set()

    def scores(self, image):
        """(C, h, w) float32 scores of an image (H, W, 3) uint8 BGR; h = ceil(H / stride)."""
        size, margin = image.shape[:2], self.geometry.margin
        padded = self.geometry.padded(size)
        if padded not in self._accepted:
            self._require_memory(size, padded)
            self._accepted.add(padded)
        values = cut_image(image, (0, 0, False), tuple(side - 2 * margin for side in padded),
                           margin)
        result = forward(self._net, self._deploy.data, self._transform(values),
                         self._deploy.scores)
        expected = self.geometry.units(tuple(side - 2 * margin for side in padded))
        if result.shape[1:] != expected:
            raise InputError(f"{self._deploy.name}: the output {self._deploy.scores} is "
                             f"{_by(result.shape[1:])} for an input of {_by(padded)}; expected "
                             f"{_by(expected)}, as for smaller inputs")
        rows, columns = self.geometry.units(size)
        return np.array(result[:, :rows, :columns])

    def _require_memory(self, size, padded):
        """Raises InputError where Caffe refuses an input of that size or it does not fit."""
        copies = CHANNELS * padded[0] * (padded[1] + size[1])   # as cut_image makes them
        if copies > machine_memory():
            self._refuse(size, copies, machine_memory())
        shapes = self._shapes(size, padded)
        need = forward_bytes(layer_costs(self._deploy.parameter().layer, shapes))
        have = device_memory() if self._budget is None else self._budget
        if need > have:
            self._refuse(size, need, have)

    def _shapes(self, size, padded):
        """NetShapes for an input `padded`; InputError where it cannot be computed."""
        try:
            shapes = self._deploy.shapes(padded)
            empty = [blob for blob, shape in shapes.blobs.items() if 0 in shape]
            if empty:       # Caffe would end the process in the forward pass
                raise InputError(f"{self._deploy.name}: nothing is left in blob {empty[0]}")
            return shapes
        except InputError as error:
            raise InputError(f"an image of {_by(size)} pixels cannot be computed: {error.what}",
                             "resize the image: --resize") from None

    def _refuse(self, size, need, have):
        raise InputError(
            f"{self._deploy.name}: an image of {size[0]} x {size[1]} pixels needs at least "
            f"{need / 1e9:.2g} GB of memory for a forward pass, which may take {have / 1e9:.2g} "
            f"GB; this net cannot be computed in tiles: {self.reason}",
            "make the images smaller (--resize), or allow more (--memory)")


def find_sizes(deploy):
    """The Sizes of a deploy_net.DeployNet, by asking Caffe.

    Sizes that differ from the prototxt's own by multiples of a step are tried first, then multiples
    of the step, for the steps 1, 2, 4, ... of each period.  Raises InputError where none follows
    the rules above.
    """
    base, strides = deploy.size, []
    for period in PERIODS:
        small, stride = _score_size(deploy, period)
        # a stride such as 256/255 was measured over a growth that the step does not divide
        if stride in strides or 1 not in (stride.numerator, stride.denominator):
            continue
        strides.append(stride)
        for step in (step for step in range(1, period + 1) if period % step == 0):
            for remainders in dict.fromkeys((tuple(side % step for side in base), (0, 0))):
                shrink = _shrink(deploy, stride, step, remainders)
                if _is_margin(shrink):
                    remainders, shrink = _tightest(deploy, stride, step, remainders, shrink)
                    return Sizes(stride, int(shrink) // 2, step, remainders)
    why = ("it does not lie over the image with the same margin on every side" if strides else
           f"the product of its strides divides neither {' nor '.join(map(str, PERIODS))}")
    raise InputError(f"{deploy.name}: the output {deploy.scores} is {_by(small)} for an input of "
                     f"{_by(base)}: {why}, and so its place in the image is unknown",
                     "end the net with a Crop layer that has the input as its second bottom")


def _score_size(deploy, period):
    """((rows, columns) of the output for the prototxt's size, pixels a unit of it, a Fraction).

    period: pixels by which the input grows to find the stride.  Raises InputError where the output
    does not grow with the image.
    """
    base = deploy.size
    larger = tuple(side + period for side in base)
    try:
        small, large = deploy.score_sizes([base, larger])
    except InputError as error:
        raise InputError(f"{deploy.name}: the net cannot be computed for images of any size: for "
                         f"an input of {larger[0]} x {larger[1]} pixels, {error.what}") from None
    grown = [after - before for before, after in zip(small, large)]
    if min(grown) < 1 or grown[0] != grown[1]:
        raise InputError(f"{deploy.name}: the output {deploy.scores} is {_by(small)} for an input "
                         f"of {_by(base)} and {_by(large)} for {_by(larger)}; expected a map that "
                         "grows with the image, alike in both directions")
    return small, Fraction(period, grown[0])


def _tightest(deploy, stride, step, remainders, shrink):
    """(remainders, shrink) of the smallest inputs that give outputs as large as these.

    Layers that round down leave pixels out at the right and bottom of larger ones; a shrink with
    these pixels would move the output.
    """
    size = _sizes(deploy, step, remainders)[1]
    for less in (2 ** k for k in reversed(range(8)) if 2 ** k < min(step, shrink + 1)):
        smaller = tuple(side - less for side in size)
        try:
            whole, same = deploy.score_sizes([size, smaller])
        except InputError:
            continue
        if same == whole:
            size = smaller
    for more in (0, 1):     # a margin of half a pixel is rounded up
        found = tuple((side + more) % step for side in size)
        tighter = _shrink(deploy, stride, step, found)
        if _is_margin(tighter) and tighter < shrink:
            return found, tighter
    return remainders, shrink


def _is_margin(shrink):
    """Whether inputs that are larger than the output by so many pixels have a whole margin."""
    return shrink is not None and shrink >= 0 and shrink % 2 == 0


def _shrink(deploy, stride, step, remainders):
    """Pixels by which the output is smaller than inputs of k * step + remainder, or None.

    None: Caffe refuses such a size, or the difference is not always the same.
    """
    near = _sizes(deploy, step, remainders)
    far = [tuple(side + -(-FAR // step) * step for side in near[0])]
    shrinks = set()
    for sizes in (near, far):
        try:
            found = deploy.score_sizes(sizes)
        except InputError:
            if sizes is near:
                return None
            break       # too large for Caffe
        shrinks.update(side - units * stride for size, score in zip(sizes, found)
                       for side, units in zip(size, score))
        if len(shrinks) > 1:
            return None
    return shrinks.pop()


def _sizes(deploy, step, remainders):
    """The four smallest (rows, columns) of k * step + remainder from the prototxt's size on."""
    first = [side + (rest - side) % step for side, rest in zip(deploy.size, remainders)]
    return [tuple(side + k * step for side in first) for k in range(4)]


def _by(size):
    return f"{size[0]} x {size[1]}"
