"""What a net costs: parameters, multiplications and memory.  Apart from Caffe.

The memory of every net is counted here, from one LayerCost a layer.  They come from an
experiment's sizes before there is a net (`train_layers`, for its plan), from the shapes that Caffe
has made (tools/lib/checking/memory.py, before a training step), and from a deploy net's geometry
for images of any size (tools/lib/scoring/net_geometry.py, for its tiles).
"""
from collections import namedtuple

from models.shapes import CONVS_A_BLOCK, STRIDE

FLOAT = 4               # bytes
#: Numbers a parameter in a solver's history, by its type, where it is not one.
HISTORIES = {"AdaDelta": 2, "Adam": 2}

#: What one layer holds, in numbers of FLOAT bytes.  values: the blobs that it makes, in-place ones
#: and views not counted again; gradients: those of these numbers that have a gradient beside
#: them; buffer: what it needs to compute; parameters; columns: a convolution's, of one image.
LayerCost = namedtuple("LayerCost", "values gradients buffer parameters columns",
                       defaults=(0, 0, 0, 0))


def forward_bytes(layers, one_column_buffer=False):
    """Bytes of the blobs and buffers of a forward pass.

    layers: list of LayerCost; one_column_buffer: whether this Caffe's convolutions share the memory
    of their columns, as in the builds of tools/build/.
    """
    columns = [layer.columns for layer in layers]
    shared = max(columns, default=0) if one_column_buffer else sum(columns)
    return FLOAT * (shared + sum(layer.values + layer.buffer for layer in layers))


def training_bytes(layers, solver_type, one_column_buffer=False):
    """Bytes of a training step on the CPU: a forward pass, gradients, parameters and history.

    layers, one_column_buffer: as in forward_bytes(); solver_type: Caffe's name, "SGD" or "Adam".
    """
    numbers = sum(layer.gradients + (2 + _histories(solver_type)) * layer.parameters
                  for layer in layers)
    return forward_bytes(layers, one_column_buffer) + FLOAT * numbers


def snapshot_bytes(parameters, solver_type, gradients=False):
    """Bytes of a snapshot's caffemodel and solverstate, names and shapes apart.

    gradients: whether the caffemodel holds them too (the solver's snapshot_diff).
    """
    return FLOAT * parameters * (1 + _histories(solver_type) + int(gradients))


def _histories(solver_type):
    return HISTORIES.get(solver_type, 1)


def column_buffer(kernel, channels, units):
    """Numbers in the buffer where a convolution lays out one image's patches (im2col).

    kernel: taps, height x width; channels: of the blob whose patches are laid out; units: positions
    of the kernel.  A kernel of one tap needs no buffer.
    """
    return kernel * channels * units if kernel > 1 else 0


# Below: the nets of the experiments, from their sizes alone.

_Convolution = namedtuple("_Convolution", "kernel dilation inputs outputs block pooled")


def _convolutions(shape, classes):
    """The convolutions of the front-end in order.

    block: VGG's 1 to 5, then 6.  pooled: whether a pooling layer behind it halves the sides.
    """
    inputs = 3
    for block, (width, convs) in enumerate(zip(shape.channels, CONVS_A_BLOCK), start=1):
        for conv in range(convs):
            yield _Convolution(3, 2 if block == 5 else 1, inputs, width, block,
                               pooled=block <= 3 and conv == convs - 1)
            inputs = width
    yield _Convolution(7, 4, inputs, shape.fc, 6, False)
    yield _Convolution(1, 1, shape.fc, shape.fc, 6, False)
    yield _Convolution(1, 1, shape.fc, classes, 6, False)


def _sized(shape, classes, window):
    """(convolution, units of one image that it makes) in order; window: (height, width)."""
    height, width = (side + 2 * shape.margin for side in window)
    for conv in _convolutions(shape, classes):
        if shape.margin:
            height, width = (side - conv.dilation * (conv.kernel - 1) for side in (height, width))
        yield conv, height * width
        if conv.pooled:
            height, width = height // 2, width // 2


def parameters(shape, classes):
    """Learnable numbers of the front-end (the domain classifier apart)."""
    return sum((conv.kernel ** 2 * conv.inputs + 1) * conv.outputs
               for conv in _convolutions(shape, classes))


def multiply_adds(shape, classes, window):
    """Multiplications, each with its addition, of one image's forward pass."""
    return sum(conv.kernel ** 2 * conv.inputs * conv.outputs * units
               for conv, units in _sized(shape, classes, window))


def train_layers(shape, classes, window, batch, normalised):
    """[LayerCost] of an experiment's largest train net: that of the stage with all losses.

    window: (height, width) of the labelled crop in pixels; batch: images of each domain;
    normalised: whether the domain classifier has an RMSNorm layer.
    """
    images = 2 * batch
    height, width = (side + 2 * shape.margin for side in window)
    layers = [LayerCost(images * 3 * height * width + batch * window[0] * window[1])]
    for conv, units in _sized(shape, classes, window):
        learned = conv.block > shape.frozen_blocks
        layers.append(_convolution(conv.kernel, conv.inputs, conv.outputs, images, units, learned))
        if conv.pooled:
            pooled = images * conv.outputs * units // 4
            # the buffer: where each maximum was
            layers.append(LayerCost(pooled, pooled * learned, buffer=pooled))
    features = images * shape.fc * units
    layers.append(_with_gradients(features))                        # drop7
    layers.append(_with_gradients(images * classes * units))        # scores of each domain
    layers.append(_with_gradients(
        batch * classes * units * STRIDE ** 2,                      # upsampled: the source's alone
        columns=column_buffer((2 * STRIDE) ** 2, classes, units),
        parameters=classes * (2 * STRIDE) ** 2))
    layers.append(_with_gradients(features + images * units))       # gate and gradient ratio
    layers += [_with_gradients(features)] * normalised
    inputs = shape.fc
    for outputs in (*shape.hidden, 2):                              # domain classifier
        layers.append(_convolution(1, inputs, outputs, images, units, True))
        inputs = outputs
    return layers


def _convolution(kernel, inputs, outputs, images, units, learned):
    values = images * outputs * units
    return LayerCost(values, values * learned, parameters=(kernel ** 2 * inputs + 1) * outputs,
                     columns=column_buffer(kernel ** 2, inputs, units))


def _with_gradients(values, **others):
    return LayerCost(values, values, **others)
