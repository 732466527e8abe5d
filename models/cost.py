"""What a train net costs, from its shape alone: parameters, activations, bytes.

Apart from Caffe.
"""
from models.shapes import CONVS_A_BLOCK, STRIDE

FLOAT = 4               # bytes


def _convolutions(shape, classes):
    """(kernel, dilation, inputs, outputs, pooled after) of every convolution in order."""
    inputs = 3
    for block, (width, convs) in enumerate(zip(shape.channels, CONVS_A_BLOCK), start=1):
        for conv in range(convs):
            yield 3, 2 if block == 5 else 1, inputs, width, block <= 3 and conv == convs - 1
            inputs = width
    yield 7, 4, inputs, shape.fc, False
    yield 1, 1, shape.fc, shape.fc, False
    yield 1, 1, shape.fc, classes, False


def parameters(shape, classes):
    """Learnable numbers of the front-end (the domain classifier apart)."""
    return sum(kernel ** 2 * inputs * outputs + outputs
               for kernel, _, inputs, outputs, _ in _convolutions(shape, classes))


def activations(shape, classes, window):
    """Numbers in the blobs of one image, its im2col buffer included; window (height, width)."""
    height, width = (side + 2 * shape.margin for side in window)
    total, buffer = 3 * height * width, 0
    for kernel, dilation, inputs, outputs, pooled in _convolutions(shape, classes):
        if shape.margin:
            height, width = (side - dilation * (kernel - 1) for side in (height, width))
        buffer = max(buffer, kernel ** 2 * inputs * height * width if kernel > 1 else 0)
        total += outputs * height * width
        if pooled:
            height, width = height // 2, width // 2
            total += outputs * height * width
    return total + buffer + classes * height * width * STRIDE ** 2


def multiply_adds(shape, classes, window):
    """Multiplications (each with its addition) of one image's forward pass through the
    convolutions."""
    height, width = (side + 2 * shape.margin for side in window)
    total = 0
    for kernel, dilation, inputs, outputs, pooled in _convolutions(shape, classes):
        if shape.margin:
            height, width = (side - dilation * (kernel - 1) for side in (height, width))
        total += kernel ** 2 * inputs * outputs * height * width
        if pooled:
            height, width = height // 2, width // 2
    return total


def training_bytes(shape, classes, window, images):
    """About what training takes in memory: data and diff of every blob, and the solver's
    history."""
    return FLOAT * (3 * parameters(shape, classes)
                    + 2 * images * activations(shape, classes, window))


def snapshot_bytes(shape, classes, histories=1):
    """Size of one snapshot: the weights, and the solver's histories (Adam has two) in the
    solverstate."""
    return (1 + histories) * FLOAT * parameters(shape, classes)
