"""Shape arithmetic of a deploy net: what input size gives what score map, and what it costs.

Everything is read from the net's own layers (kernel, stride, pad, dilation); no flag says
which margin a net wants.  For a blob, an input of n pixels gives (n - shrink) / stride units.
"""
from collections import OrderedDict
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


class Axis:
    """One axis (0 rows, 1 columns) of a blob: stride, shrink and the units spoilt at a cut edge.

    low, high: how many units at either end would change if the input went on beyond that
    end instead of being padded with zeros there; 0 for nets without padding.
    """

    def __init__(self, stride=Fraction(1), shrink=Fraction(0), low=0, high=0):
        self.stride, self.shrink, self.low, self.high = stride, shrink, low, high

    def size(self, pixels):
        """Units that an input of `pixels` gives; a whole number for the sizes the net takes."""
        return (pixels - self.shrink) / self.stride

    def window(self, kernel, stride, pad, dilation):
        """The axis behind a convolution or pooling window."""
        reach = dilation * (kernel - 1) + 1
        return Axis(self.stride * stride, self.shrink + self.stride * (reach - stride - 2 * pad),
                    _ceil(self.low + pad, stride), _ceil(self.high + pad, stride))

    def transposed(self, kernel, stride, pad):
        """The axis behind a deconvolution: (size - 1) * stride + kernel - 2 * pad."""
        extra = Fraction(kernel - stride - 2 * pad, stride)
        spoilt = [max(0, units * stride + kernel - 1 - pad) for units in (self.low, self.high)]
        return Axis(self.stride / stride, self.shrink - self.stride * extra, *spoilt)

    def joined(self, other):
        """The axis of a blob made from two blobs of the same size."""
        return Axis(self.stride, self.shrink, max(self.low, other.low), max(self.high, other.high))


class Geometry:
    """What a net does to sizes.

    data, scores: names of the input blob and of the score map before upsampling; classes;
    stride, margin: an input of n pixels gives (n - 2 * margin) / stride units, where margin
    is what every side of the image must carry besides.
    tiled: the blob that is computed in tiles, with so many channels; overlap: its units at a
    cut edge of a tile that zero padding spoils.  It is the score map itself, or what a padded
    context module behind an unpadded front-end reads.
    layers: names of the layers that make `tiled`, the input's first; head: of those from there to
    the scores.
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
        """Bytes Caffe holds in a forward pass over one input of height x width.

        Every blob up to the tiled one, and what each layer needs beside its blobs.
        """
        return forward_bytes([LayerCost(3 * height * width)] + [
            layer.cost(self._axes, height, width) for layer in self._layers])


class Layer:
    """One layer on the way to the scores: what it reads, makes and holds.

    channels, buffer: numbers of a unit in its tops, and those that it needs beside them.
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
    """Geometry of a deploy net given as a caffe NetParameter (current format) with one image input.

    The score map is what the last Deconvolution upsamples, else the net's output (before a
    Softmax).  Raises InputError, naming `name` and the layer, for a net that is not such a net.
    """
    data, data_layer = _input_blob(net, name)
    target = _score_blob(net, data, name)
    axes, channels = {data: (Axis(), Axis())}, {data: 3}
    layers = []
    for layer in net.layer:
        if layer.type in INPUTS or not set(layer.bottom) <= set(axes):
            continue
        made = _add_layer(layer, axes, channels, name)
        layers.append(made)
        if target in layer.top and not _comes_in_place(net, layer, target):
            needed = _needed(layers, target)
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


def _comes_in_place(net, layer, target):
    """True when a later layer still changes the blob in place."""
    later = list(net.layer)[[other.name for other in net.layer].index(layer.name) + 1:]
    return any(target in other.bottom and target in other.top for other in later)


def _needed(layers, target):
    wanted, needed = {target}, []
    for layer in reversed(layers):
        if wanted & set(layer.tops):
            needed.insert(0, layer)
            wanted |= set(layer.bottoms)
    return needed


def _head_start(layers, axes, target):
    """Number of the first layer of the head: where the net narrows to one blob, without padding so
    far, at the scores' stride; the number of layers when there is no such place before the end."""
    best = len(layers)
    if not any(axis.low or axis.high for axis in axes[target]):
        return best
    for cut in range(1, len(layers)):
        made = {top for layer in layers[:cut] for top in layer.tops}
        read = {bottom
                for layer in layers[cut:]
                for bottom in layer.bottoms} & (made | set(layers[0].bottoms))
        blob = layers[cut - 1].tops[0]
        plain = not any(axis.low or axis.high for axis in axes[blob])
        if read == {blob} and plain and axes[blob][0].stride == axes[target][0].stride:
            best = cut
    return best


def _add_layer(layer, axes, channels, name):
    """Enters the tops of one layer into `axes` and `channels`; returns its Layer."""
    bottoms = [axes[b] for b in layer.bottom]
    width = channels[layer.bottom[0]]
    buffer = 0
    if layer.type in ("Convolution", "Deconvolution"):
        kernels, strides, pads, dilations = _window(layer.convolution_param)
        width = layer.convolution_param.num_output
        if layer.type == "Convolution":
            made = tuple(axis.window(*values) for axis, values
                         in zip(bottoms[0], zip(kernels, strides, pads, dilations)))
            buffer = column_buffer(kernels[0] * kernels[1], channels[layer.bottom[0]], 1)
        else:
            made = tuple(axis.transposed(*values) for axis, values
                         in zip(bottoms[0], zip(kernels, strides, pads)))
    elif layer.type == "Pooling":
        kernels, strides, pads, dilations = _window(layer.pooling_param)
        made = tuple(axis.window(*values) for axis, values
                     in zip(bottoms[0], zip(kernels, strides, pads, dilations)))
        if layer.pooling_param.pool == layer.pooling_param.MAX:
            buffer = width  # the place of each maximum
    elif layer.type in POINTWISE:
        made = bottoms[0]
        for other in bottoms[1:]:
            made = tuple(a.joined(b) for a, b in zip(made, other))
        if layer.type == "Concat":
            width = sum(channels[b] for b in layer.bottom)
    else:
        raise InputError(f"{name}: layer {layer.name} of type {layer.type}: its effect on sizes is "
                         "not known here")
    result = OrderedDict((top, made) for top in layer.top)
    axes.update(result)
    channels.update((top, width) for top in layer.top)
    return Layer(layer.name, list(layer.bottom), list(layer.top), width, buffer)


def _window(param):
    """((kernel), (stride), (pad), (dilation)), each (rows, columns), of a layer's parameters."""
    pooling = param.DESCRIPTOR.name == "PoolingParameter"

    def pair(key, default):
        plain = {"kernel": "kernel_size"}.get(key, key)
        by_axis = [getattr(param, f"{key}_{side}", 0)
                   for side in "hw"] if key != "dilation" else [0, 0]
        if any(by_axis):
            return tuple(by_axis)
        value = getattr(param, plain)
        values = [value] if pooling else list(value)
        values = values or [default]
        return (values[0], values[-1])

    return (pair("kernel", 1), pair("stride", 1), pair("pad", 0),
            (1, 1) if pooling else pair("dilation", 1))


def _ceil(value, divisor):
    return -(-value // divisor)
