"""Shape arithmetic of a deploy net: whether it can be computed in tiles, sizes, and memory.

Everything is read from the net's own layers (kernel, stride, pad, dilation), and so no option
gives the margin of a net.  An input of n pixels gives (n - shrink) / stride units of a blob.  Only
layers that are known to compute every unit from a window around it are accepted; whatever else a
net has makes it a net that runs whole (tools/lib/scoring/whole_net.py).
"""
from collections import namedtuple
from fractions import Fraction

from data.errors import InputError
from models.cost import LayerCost, column_buffer, forward_bytes
from tools.lib.scoring.deploy_net import layers_to
from tools.lib.scoring.label_maps import upsampling_stride

#: Layers that give every unit of their output from the same unit of their inputs, whatever their
#: parameters are.
POINTWISE = {"ReLU", "PReLU", "ELU", "TanH", "Sigmoid", "Dropout", "Power", "Eltwise", "Split",
             "Log", "Exp", "AbsVal", "BNLL"}
#: Layers that do so with these parameters only: {type: (test of the layer, what is expected)}.
POINTWISE_IF = {
    "Concat": (lambda layer: layer.concat_param.axis in (1, -3)
               and layer.concat_param.concat_dim == 1, "axis: 1"),
    "LRN": (lambda layer: layer.lrn_param.norm_region == layer.lrn_param.ACROSS_CHANNELS,
            "norm_region: ACROSS_CHANNELS"),
    "Softmax": (lambda layer: layer.softmax_param.axis in (1, -3), "axis: 1"),
    "BatchNorm": (lambda layer: not layer.batch_norm_param.HasField("use_global_stats")
                  or layer.batch_norm_param.use_global_stats, "the stored statistics"),
    "Scale": (lambda layer: _one_a_channel(layer, layer.scale_param), "one factor a channel"),
    "Bias": (lambda layer: _one_a_channel(layer, layer.bias_param), "one value a channel"),
}
#: Caffe counts the numbers of a blob and of a buffer in 31 bits.
MOST_NUMBERS = 2 ** 31 - 1

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
    layers: names of the layers that compute `tiled`.
    head: names of the layers from there to the scores.
    upsampling: name of the Deconvolution behind the scores, None where there is none; fixed
        bilinear by its parameters, its weights are not known here.
    """

    def __init__(self, layers, head, deploy, scores, axes, channels):
        self.data, self.scores, self.classes = deploy.data, scores, channels[scores]
        self.tiled = layers[-1].tops[0]
        self.channels = channels[self.tiled]
        self.layers = [layer.name for layer in layers]
        self.head = [layer.name for layer in head]
        self.upsampling = None
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
        self._require_sizes(layers + head)

    def _require_sizes(self, layers):
        """Raises InputError where a layer rounds the size of its output, or leaves none of a unit.
        """
        pixels = self.stride + 2 * self.margin
        for layer in layers:
            for top in layer.tops:
                for axis in self._axes[top]:
                    size = axis.size(pixels)
                    if size < 1:
                        raise InputError(f"layer {layer.name} leaves nothing of an input of "
                                         f"{pixels} pixels, which gives one unit of {self.scores}")
                    if size.denominator != 1:
                        raise InputError(f"layer {layer.name} rounds the size of its output "
                                         f"for inputs of a multiple of {self.stride} pixels")

    def forward_bytes(self, height, width):
        """Bytes that Caffe holds in a forward pass over one input of height x width.

        These are all blobs up to the tiled one and the buffers of their layers.  Infinite where one
        of them has more numbers than Caffe can count.
        """
        costs = [LayerCost(3 * height * width)] + [
            layer.cost(self._axes, height, width) for layer in self._layers]
        if max(max(cost.values, cost.buffer) for cost in costs) > MOST_NUMBERS:
            return float("inf")
        return forward_bytes(costs)


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


def read_geometry(deploy):
    """Geometry of a deploy_net.DeployNet that can be computed in tiles.

    The score map is the input of a Deconvolution at the net's end that is fixed bilinear
    upsampling, else the net's scores.  Raises InputError with the layer that forbids tiles.
    """
    layers, target, upsampling = deploy.layers[1:], deploy.scores, None
    if layers[-1].type == "Deconvolution":
        upsampling = layers[-1]
        target = upsampling.bottom[0]
        layers = layers_to(layers[:-1], target)
    axes, channels = {deploy.data: (Axis(), Axis())}, {deploy.data: 3}
    added = [_add_layer(layer, axes, channels) for layer in layers]
    if not added:
        raise InputError(f"blob {target} is the image itself")
    cut = _head_start(added, axes, target)
    geometry = Geometry(added[:cut], added[cut:], deploy, target, axes, channels)
    if upsampling is not None:
        down, across = _windows(upsampling.convolution_param)
        stride = upsampling_stride(upsampling, down, geometry.classes)
        if down != across or stride != geometry.stride:
            raise InputError(f"layer {upsampling.name} of type Deconvolution does not bring blob "
                             f"{target}, of stride {geometry.stride}, to the size of the image")
        geometry.upsampling = upsampling.name
    return geometry


def _head_start(layers, axes, target):
    """Number of the first layer of the head; len(layers) when there is no head.

    The head begins as late as possible where its layers read one blob only, which has the size of
    the scores and no padding before it.  A net whose scores have no padding has no head.
    """
    best, size = len(layers), _sizes(axes[target])
    if not any(axis.low or axis.high for axis in axes[target]):
        return best
    for cut in range(1, len(layers)):
        made = {top for layer in layers[:cut] for top in layer.tops}
        read = {bottom for layer in layers[cut:] for bottom in layer.bottoms}
        blob = layers[cut - 1].tops[0]
        unpadded = not any(axis.low or axis.high for axis in axes[blob])
        if (read & (made | set(layers[0].bottoms)) == {blob} and unpadded
                and _sizes(axes[blob]) == size):
            best = cut
    return best


def _sizes(axes):
    """(stride, shrink) of rows and columns: equal for blobs that are always of one size."""
    return [(axis.stride, axis.shrink) for axis in axes]


def _add_layer(layer, axes, channels):
    """Adds the tops of one layer to `axes` and `channels`; returns its Layer.

    axes: {blob: (Axis of the rows, Axis of the columns)}; channels: {blob: number}.  Raises
    InputError for a layer that mixes units over space in another way than a window.
    """
    if not layer.bottom:
        raise InputError(f"layer {layer.name} of type {layer.type} has values of its own")
    (rows, columns), width, buffer = axes[layer.bottom[0]], channels[layer.bottom[0]], 0
    if layer.type == "Convolution" and layer.convolution_param.axis in (1, -3):
        down, across = _windows(layer.convolution_param)
        made = rows.window(*down), columns.window(*across)
        buffer = column_buffer(down.kernel * across.kernel, width, 1)
        width = layer.convolution_param.num_output
    elif layer.type == "Pooling" and _moves_a_window(layer.pooling_param):
        down, across = _windows(layer.pooling_param)
        made = rows.window(*down), columns.window(*across)
        if layer.pooling_param.pool == layer.pooling_param.MAX:
            buffer = width  # the place of each maximum
    elif _is_pointwise(layer):
        made = rows, columns
        for other in layer.bottom[1:]:
            made = tuple(a.joined(b) for a, b in zip(made, axes[other]))
        if layer.type == "Concat":
            width = sum(channels[bottom] for bottom in layer.bottom)
    else:
        raise InputError(f"layer {layer.name} of type {layer.type} may read more of the image than "
                         "a window")
    for top in layer.top:
        axes[top], channels[top] = made, width
    return Layer(layer.name, list(layer.bottom), list(layer.top), width, buffer)


def _moves_a_window(param):
    return param.pool in (param.MAX, param.AVE) and not param.global_pooling


def _is_pointwise(layer):
    """True for a layer of POINTWISE or POINTWISE_IF; InputError for one with other parameters."""
    if layer.type in POINTWISE_IF:
        accepted, expected = POINTWISE_IF[layer.type]
        if not accepted(layer):
            raise InputError(f"layer {layer.name} of type {layer.type} mixes units over space; "
                             f"tiles need {expected}")
        return True
    return layer.type in POINTWISE


def _one_a_channel(layer, param):
    """Whether a Scale or Bias layer has one learnt number for each channel, or one for all."""
    return len(layer.bottom) == 1 and ((param.axis in (1, -3) and param.num_axes == 1)
                                       or param.num_axes == 0)


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
