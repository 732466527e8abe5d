"""Shape arithmetic of a deploy net: size of the score map for an input, and its memory.

Everything is read from the net's own layers (kernel, stride, pad, dilation), and so no option
gives the margin of a net.  An input of n pixels gives (n - shrink) / stride units of a blob.
"""
from collections import namedtuple
from fractions import Fraction

from data.errors import InputError
from models.cost import LayerCost, column_buffer, forward_bytes

#: Layers that give every unit of their output from the same unit of their inputs.
POINTWISE = {
    "ReLU", "PReLU", "ELU", "TanH", "Sigmoid", "Dropout", "Scale", "BatchNorm", "Bias", "Power",
    "Eltwise", "Concat", "Split", "LRN", "Softmax", "Log", "Exp", "AbsVal", "BNLL"
}
#: Layers that hold inputs and have no geometry of their own.
INPUTS = {"Input"}

#: A convolution or pooling window along one axis.
Window = namedtuple("Window", "kernel stride pad dilation")


class Axis:
    """Rows or columns of a blob: stride, shrink and the units that are wrong at a cut edge.

    stride, shrink: in pixels, Fractions.  low, high: number of units at the beginning and at the
    end that would change if the input continued there instead of being padded with zeros; 0 for
    nets without padding.
    """

    def __init__(self, stride=Fraction(1), shrink=Fraction(0), low=0, high=0):
        self.stride, self.shrink, self.low, self.high = stride, shrink, low, high

    def size(self, pixels):
        """Units for an input of `pixels`, a Fraction: whole for the sizes that the net takes."""
        return (pixels - self.shrink) / self.stride

    def window(self, kernel, stride, pad, dilation):
        """The Axis of the output of a convolution or pooling layer."""
        reach = dilation * (kernel - 1) + 1
        return Axis(self.stride * stride, self.shrink + self.stride * (reach - stride - 2 * pad),
                    _ceil(self.low + pad, stride), _ceil(self.high + pad, stride))

    def transposed(self, kernel, stride, pad):
        """The Axis of the output of a deconvolution: (size - 1) * stride + kernel - 2 * pad."""
        extra = Fraction(kernel - stride - 2 * pad, stride)
        wrong = [max(0, units * stride + kernel - 1 - pad) for units in (self.low, self.high)]
        return Axis(self.stride / stride, self.shrink - self.stride * extra, *wrong)

    def joined(self, other):
        """The Axis of a blob that is computed from two blobs of the same size."""
        return Axis(self.stride, self.shrink, max(self.low, other.low), max(self.high, other.high))


class Geometry:
    """Sizes of a net's blobs, and the blob that is computed in tiles.

    data, scores: names of the input blob and of the score map before upsampling.
    classes: channels of the score map.
    stride, margin: an input of n pixels gives (n - 2 * margin) / stride units; every side of an
        image gets `margin` more pixels.
    tiled: name of the blob that is computed in tiles: the score map, or the input of a padded
        context module behind an unpadded front-end.
    channels: of `tiled`.
    overlap: number of units of `tiled` that zero padding makes wrong at a cut edge of a tile.
    layers: names of the layers that compute `tiled`, the input's first.
    head: names of the layers from there to the scores.
    """

    def __init__(self, layers, head, data, scores, axes, channels, data_layer):
        self.data, self.scores, self.classes = data, scores, channels[scores]
        self.tiled = layers[-1].tops[0]
        self.channels = channels[self.tiled]
        self.layers = [data_layer] + [layer.name for layer in layers]
        self.head = [layer.name for layer in head]
        self._layers, self._axes = layers, axes
        rows, columns = axes[self.tiled]
        if (rows.stride, rows.shrink) != (columns.stride, columns.shrink):
            raise InputError(f"blob {scores} treats rows and columns differently; square windows "
                             "are expected")
        if rows.stride.denominator != 1 or rows.shrink < 0 or rows.shrink % 2:
            raise InputError(f"blob {scores} measures (input - {rows.shrink}) / {rows.stride}; "
                             "expected an even margin and a whole stride")
        self.stride, self.margin = int(rows.stride), int(rows.shrink) // 2
        self.overlap = max(rows.low, rows.high, columns.low, columns.high)

    def forward_bytes(self, height, width):
        """Bytes that Caffe holds in a forward pass over one input of height x width.

        These are all blobs up to the tiled one and the buffers of their layers.
        """
        return forward_bytes([LayerCost(3 * height * width)] + [
            layer.cost(self._axes, height, width) for layer in self._layers])


class Layer:
    """One layer on the way to the scores, with the floats that it holds for each unit.

    channels: floats in its tops; buffer: further floats, for its own computation.
    """

    def __init__(self, name, bottoms, tops, channels, buffer):
        self.name, self.bottoms, self.tops = name, bottoms, tops
        self.channels, self.buffer = channels, buffer

    def cost(self, axes, height, width):
        """models.cost.LayerCost of the blobs that this layer adds to an input of height x width."""
        units = 0
        for top in set(self.tops) - set(self.bottoms):
            rows, columns = axes[top]
            units += max(0, rows.size(height)) * max(0, columns.size(width))
        return LayerCost(int(units * self.channels), buffer=int(units * self.buffer))


def read_geometry(net, name="the net"):
    """Geometry of a deploy net: a caffe NetParameter in the current format with one image input.

    The score map is the input of the last Deconvolution, or without one the net's output (before a
    Softmax).  Raises InputError, naming `name` and the layer, when sizes cannot be read from the
    net.
    """
    data, data_layer = _input_blob(net, name)
    target = _score_blob(net, data, name)
    axes, channels = {data: (Axis(), Axis())}, {data: 3}
    layers = []
    for layer in net.layer:
        if layer.type in INPUTS or not set(layer.bottom) <= set(axes):
            continue
        layers.append(_add_layer(layer, axes, channels, name))
        if target in layer.top and not _changed_later(net, layer, target):
            needed = _layers_to(target, layers)
            cut = _head_start(needed, axes, target)
            return Geometry(needed[:cut], needed[cut:], data, target, axes, channels, data_layer)
    raise InputError(f"{name}: blob {target} cannot be traced back to the input {data}")


def _input_blob(net, name):
    inputs = [(top, layer.name) for layer in net.layer if layer.type in INPUTS for top in layer.top]
    if len(inputs) != 1:
        raise InputError(f"{name} has the inputs {', '.join(top for top, _ in inputs) or 'none'}; "
                         "a deploy net has exactly one, the image", "use a deploy.prototxt")
    return inputs[0]


def _score_blob(net, data, name):
    upsampling = [layer for layer in net.layer if layer.type == "Deconvolution"]
    if upsampling:
        return upsampling[-1].bottom[0]
    used = {bottom for layer in net.layer for bottom in layer.bottom if bottom not in layer.top}
    outputs = [(layer, top) for layer in net.layer for top in layer.top
               if top not in used and top != data]
    if not outputs:
        raise InputError(f"{name} has no layer that makes scores")
    layer, top = outputs[-1]
    return layer.bottom[0] if layer.type == "Softmax" else top


def _changed_later(net, layer, target):
    """True when a layer behind this one changes the blob `target` in place."""
    later = list(net.layer)[[other.name for other in net.layer].index(layer.name) + 1:]
    return any(target in other.bottom and target in other.top for other in later)


def _layers_to(target, layers):
    """The Layers among `layers` that the blob `target` depends on, in order."""
    wanted, needed = {target}, []
    for layer in reversed(layers):
        if wanted & set(layer.tops):
            needed.insert(0, layer)
            wanted |= set(layer.bottoms)
    return needed


def _head_start(layers, axes, target):
    """Number of the first layer of the head; len(layers) when there is no head.

    The head begins as late as possible where its layers read one blob only, which has the stride of
    the scores and no padding before it.  A net whose scores have no padding has no head.
    """
    best = len(layers)
    if not any(axis.low or axis.high for axis in axes[target]):
        return best
    for cut in range(1, len(layers)):
        made = {top for layer in layers[:cut] for top in layer.tops}
        read = {bottom for layer in layers[cut:] for bottom in layer.bottoms}
        blob = layers[cut - 1].tops[0]
        unpadded = not any(axis.low or axis.high for axis in axes[blob])
        if (read & (made | set(layers[0].bottoms)) == {blob} and unpadded
                and axes[blob][0].stride == axes[target][0].stride):
            best = cut
    return best


def _add_layer(layer, axes, channels, name):
    """Adds the tops of one layer to `axes` and `channels`; returns its Layer.

    axes: {blob: (Axis of the rows, Axis of the columns)}; channels: {blob: number}.
    """
    (rows, columns), width, buffer = axes[layer.bottom[0]], channels[layer.bottom[0]], 0
    if layer.type == "Convolution":
        down, across = _windows(layer.convolution_param)
        made = rows.window(*down), columns.window(*across)
        buffer = column_buffer(down.kernel * across.kernel, width, 1)
        width = layer.convolution_param.num_output
    elif layer.type == "Deconvolution":
        down, across = _windows(layer.convolution_param)
        made = rows.transposed(*down[:3]), columns.transposed(*across[:3])
        width = layer.convolution_param.num_output
    elif layer.type == "Pooling":
        down, across = _windows(layer.pooling_param)
        made = rows.window(*down), columns.window(*across)
        if layer.pooling_param.pool == layer.pooling_param.MAX:
            buffer = width  # the place of each maximum
    elif layer.type in POINTWISE:
        made = rows, columns
        for other in layer.bottom[1:]:
            made = tuple(a.joined(b) for a, b in zip(made, axes[other]))
        if layer.type == "Concat":
            width = sum(channels[bottom] for bottom in layer.bottom)
    else:
        raise InputError(f"{name}: layer {layer.name} of type {layer.type}: its effect on sizes is "
                         "not known here")
    for top in layer.top:
        axes[top], channels[top] = made, width
    return Layer(layer.name, list(layer.bottom), list(layer.top), width, buffer)


def _windows(param):
    """(Window of the rows, Window of the columns) of a ConvolutionParameter or PoolingParameter."""
    def both(key, default, plain=None):
        by_axis = [getattr(param, f"{key}_{side}", 0) for side in "hw"]
        if any(by_axis):
            return by_axis
        value = getattr(param, plain or key, default)
        values = [value] if isinstance(value, int) else list(value) or [default]
        return values[0], values[-1]

    settings = both("kernel", 1, "kernel_size"), both("stride", 1), both("pad", 0)
    return tuple(Window(*values) for values in zip(*settings, both("dilation", 1)))


def _ceil(value, divisor):
    return -(-value // divisor)
