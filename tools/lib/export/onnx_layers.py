"""Layers of Caffe as ONNX nodes that compute the same numbers, one function a layer type.

Each function takes the graph (tools.lib.export.onnx_graph.Graph), the layer's parameters
(caffe_pb2.LayerParameter) and its weights, a list of float32 arrays, and adds nodes to the graph.
CONVERTERS names them by layer type. A layer that cannot be expressed raises InputError by its name.
"""
import numpy as np

from data.errors import InputError


def convolution(graph, layer, weights):
    """Convolution: weights (outputs, inputs / group, kh, kw), bias (outputs,)."""
    graph.emit(layer, "Conv", [graph.read(layer), *graph.weights(layer, weights)],
               **_window(layer, weights))


def deconvolution(graph, layer, weights):
    """Deconvolution: weights (inputs, outputs / group, kh, kw), bias (outputs,)."""
    graph.emit(layer, "ConvTranspose", [graph.read(layer), *graph.weights(layer, weights)],
               **_window(layer, weights))


def _window(layer, weights):
    """The attributes of a convolution: pads are those of both sides, as in Caffe."""
    p = layer.convolution_param
    if p.axis != 1 or weights[0].ndim != 4:
        raise InputError(f"layer {layer.name}: a convolution over {weights[0].ndim - 2} axes from "
                         f"axis {p.axis} cannot be exported; expected two axes from axis 1")
    pads = _two(p.pad, p.pad_h, p.pad_w, 0)
    return dict(kernel_shape=list(weights[0].shape[2:]), pads=pads * 2, group=p.group,
                strides=_two(p.stride, p.stride_h, p.stride_w, 1),
                dilations=_two(p.dilation, 0, 0, 1))


def _two(repeated, height, width, default):
    """(height, width) of a field of Caffe that is given once, twice, or as _h and _w."""
    if height or width:
        return [height, width]
    values = list(repeated) or [default]
    return values * 2 if len(values) == 1 else values


def pooling(graph, layer, _):
    """Max or average pooling with Caffe's rounding up, which ONNX's ceil_mode is not.

    Caffe has min(ceil((H + 2 p - k) / s) + 1, ceil((H + p) / s)) windows along an axis of H units
    (the second bound holds where p > 0: the last window starts inside the image or its padding).
    Rounding down with e = min(p + s - 1, k - 1) units of padding at the end gives as many.
    """
    p = layer.pooling_param
    operation = {p.MAX: "Max", p.AVE: "Average"}[p.pool]  # open_net has refused STOCHASTIC
    bottom = graph.read(layer)
    if p.global_pooling:
        graph.emit(layer, f"Global{operation}Pool", [bottom])
        return
    kernel, stride, pads = _pooling_window(p)
    if any(s > k for s, k in zip(stride, kernel)):
        raise InputError(f"layer {layer.name}: stride {stride} is larger than the kernel {kernel}; "
                         "such pooling cannot be exported")
    if p.round_mode == p.FLOOR:
        ends = [min(pad, k - 1) for pad, k in zip(pads, kernel)]
    else:
        ends = [min(pad + s - 1, k - 1) for pad, s, k in zip(pads, stride, kernel)]
    window = dict(kernel_shape=kernel, strides=stride)
    if operation == "Max":
        graph.emit(layer, "MaxPool", [bottom], pads=pads + ends, **window)
    elif not any(ends):
        graph.emit(layer, "AveragePool", [bottom], **window)
    else:
        # Caffe divides by the units of a window that lie in the image or its padding, not by those
        # of the padding at the end: the share of them is an average over ones.
        total = graph.node(layer, "AveragePool", [bottom], pads=pads + ends, count_include_pad=1,
                           **window)
        ones = _padded_ones(graph, layer, bottom, pads)
        rest = [end - pad for end, pad in zip(ends, pads)]
        share = graph.node(layer, "AveragePool", [ones], pads=[0, 0] + rest, count_include_pad=1,
                           **window)
        graph.emit(layer, "Div", [total, share])


def _pooling_window(p):
    """(kernel, stride, pads) of a PoolingParameter, each [height, width]."""
    return ([p.kernel_h, p.kernel_w] if p.kernel_h else [p.kernel_size] * 2,
            [p.stride_h, p.stride_w] if p.stride_h else [p.stride] * 2,
            [p.pad_h, p.pad_w] if p.pad_h or p.pad_w else [p.pad] * 2)


def _padded_ones(graph, layer, bottom, pads):
    """A map (1, 1, H + 2 p, W + 2 p) of ones; H, W: those of `bottom` when the graph runs."""
    shape = graph.node(layer, "Shape", [bottom])
    sides = graph.node(layer, "Slice", [shape, graph.integers(layer, [2]),
                                        graph.integers(layer, [4])])
    padded = graph.node(layer, "Add", [sides, graph.integers(layer, [2 * pad for pad in pads])])
    whole = graph.node(layer, "Concat", [graph.integers(layer, [1, 1]), padded], axis=0)
    return graph.node(layer, "ConstantOfShape", [whole], value=np.ones(1, np.float32))


def relu(graph, layer, _):
    """ReLU, leaky where negative_slope is not 0."""
    slope = layer.relu_param.negative_slope
    if slope:
        graph.emit(layer, "LeakyRelu", [graph.read(layer)], alpha=slope)
    else:
        graph.emit(layer, "Relu", [graph.read(layer)])


def prelu(graph, layer, weights):
    """PReLU: one slope a channel, or one for all."""
    slopes = weights[0].reshape(-1, 1, 1)
    graph.emit(layer, "PRelu", [graph.read(layer), graph.constant(layer, slopes)])


def lrn(graph, layer, _):
    """Local response normalisation across channels: x / (k + alpha / n sum x^2)^beta."""
    p = layer.lrn_param
    if p.norm_region != p.ACROSS_CHANNELS:
        raise InputError(f"layer {layer.name}: norm_region: WITHIN_CHANNEL cannot be exported")
    graph.emit(layer, "LRN", [graph.read(layer)], size=p.local_size, alpha=p.alpha, beta=p.beta,
               bias=p.k)


def batch_norm(graph, layer, weights):
    """BatchNorm with its stored statistics; the third blob is what they are divided by."""
    p = layer.batch_norm_param
    if p.HasField("use_global_stats") and not p.use_global_stats:
        raise InputError(f"layer {layer.name}: use_global_stats: false takes statistics of each "
                         "batch, which cannot be exported",
                         "leave the field out, or set it to true")
    factor = 1 / weights[2].item() if weights[2].item() else 0
    mean, variance = (np.asarray(blob * factor, np.float32) for blob in weights[:2])
    ones = np.ones_like(mean)
    graph.emit(layer, "BatchNormalization",
               [graph.read(layer)] + [graph.constant(layer, array) for array in
                                      (ones, 0 * ones, mean, variance)], epsilon=p.eps)


def scale(graph, layer, weights):
    """Scale by learned factors, with a bias where there is one, or by a second bottom."""
    p = layer.scale_param
    axis = p.axis % graph.rank(layer.bottom[0])
    if len(layer.bottom) == 2:
        factor, biases = _aligned(graph, layer, axis), weights
    else:
        factor = graph.constant(layer, _broadcast(graph, layer, weights[0], axis))
        biases = weights[1:]
    inputs = [graph.read(layer), factor]
    if not p.bias_term:
        graph.emit(layer, "Mul", inputs)
        return
    product = graph.node(layer, "Mul", inputs)
    bias = graph.constant(layer, _broadcast(graph, layer, biases[0], axis))
    graph.emit(layer, "Add", [product, bias])


def _broadcast(graph, layer, array, axis):
    """An array that starts at `axis` of the layer's bottom, with axes of 1 behind it."""
    return array.reshape(array.shape + (1,) * (graph.rank(layer.bottom[0]) - axis - array.ndim))


def _aligned(graph, layer, axis):
    """The second bottom, which starts at `axis` of the first, with axes of 1 behind it."""
    second = graph.rank(layer.bottom[1])
    behind = graph.rank(layer.bottom[0]) - axis - second
    value = graph.read(layer, 1)
    if behind:
        axes = graph.integers(layer, range(second, second + behind))
        value = graph.node(layer, "Unsqueeze", [value, axes])
    return value


def eltwise(graph, layer, _):
    """Product, maximum, or sum with coefficients of several bottoms of one shape."""
    p = layer.eltwise_param
    bottoms = [graph.read(layer, index) for index in range(len(layer.bottom))]
    if p.operation == p.SUM:
        terms = [bottom if factor == 1 else
                 graph.node(layer, "Mul", [bottom, graph.constant(layer, np.float32(factor))])
                 for bottom, factor in zip(bottoms, list(p.coeff) or [1.0] * len(bottoms))]
        graph.emit(layer, "Sum", terms)
    elif p.operation == p.MAX:
        graph.emit(layer, "Max", bottoms)
    else:
        product = bottoms[0]
        for bottom in bottoms[1:-1]:
            product = graph.node(layer, "Mul", [product, bottom])
        graph.emit(layer, "Mul", [product, bottoms[-1]])


def concat(graph, layer, _):
    """Several bottoms behind each other along one axis."""
    p = layer.concat_param
    axis = p.concat_dim if p.HasField("concat_dim") else p.axis
    graph.emit(layer, "Concat", [graph.read(layer, index) for index in range(len(layer.bottom))],
               axis=axis)


def crop(graph, layer, _):
    """The part of the first bottom that has the second one's size, from `axis` on, at `offset`."""
    p = layer.crop_param
    rank = graph.rank(layer.bottom[0])
    axes = list(range(p.axis % rank, rank))
    offsets = list(p.offset) or [0]
    starts = graph.integers(layer, offsets * len(axes) if len(offsets) == 1 else offsets)
    wanted = graph.node(layer, "Shape", [graph.read(layer, 1)])
    sizes = graph.node(layer, "Gather", [wanted, graph.integers(layer, axes)])
    ends = graph.node(layer, "Add", [starts, sizes])
    graph.emit(layer, "Slice", [graph.read(layer), starts, ends, graph.integers(layer, axes)])


def softmax(graph, layer, _):
    """Softmax over one axis, the classes."""
    graph.emit(layer, "Softmax", [graph.read(layer)], axis=layer.softmax_param.axis)


def sigmoid(graph, layer, _):
    """Logistic function."""
    graph.emit(layer, "Sigmoid", [graph.read(layer)])


def identity(graph, layer, _):
    """The identity: Dropout, which acts in training only, and layers that copy."""
    for top in layer.top:
        graph.alias(top, graph.read(layer))


CONVERTERS = {
    "Convolution": convolution, "Deconvolution": deconvolution, "Pooling": pooling, "ReLU": relu,
    "PReLU": prelu, "LRN": lrn, "BatchNorm": batch_norm, "Scale": scale, "Eltwise": eltwise,
    "Concat": concat, "Crop": crop, "Softmax": softmax, "Sigmoid": sigmoid, "Dropout": identity,
    "Split": identity,
}
