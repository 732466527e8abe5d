"""A deploy net with its weights as an ONNX model: batch, height and width stay free.

Names of inputs and outputs are those of Caffe's blobs. A blob that layers change in place has one
name a change in ONNX, and the last of them has the blob's own.
"""
import os

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from data.errors import InputError
from tools.lib.export.onnx_layers import CONVERTERS

#: The operators' version: 17 is read by ONNX Runtime 1.12 (2022) and later.
OPSET, IR_VERSION = 17, 8
#: Layers that compute nothing: they name an input of the net, or discard a blob.
NOT_COMPUTED = ("Input", "Silence")


class Graph:
    """Nodes and weights under construction.

    graph: the GraphProto that they go to at once: a copy of the weights takes half a gigabyte.
    layers: LayerParameters in the order in which they run.  ranks: {blob: number of axes}.
    """

    def __init__(self, graph, layers, ranks):
        self._graph = graph
        self._ranks, self._values, self._names = ranks, {}, set()
        self._last_writer = {top: layer.name for layer in layers for top in layer.top
                             if layer.type not in NOT_COMPUTED}

    def rank(self, blob):
        """Number of axes of a blob."""
        return self._ranks[blob]

    def read(self, layer, index=0):
        """The ONNX value that the layer's bottom `index` has now."""
        return self._values[layer.bottom[index]]

    def alias(self, blob, value):
        """Makes a blob another name of a value."""
        self._values[blob] = value

    def value(self, blob):
        """The ONNX value of a blob after the layers converted so far."""
        return self._values[blob]

    def node(self, layer, operation, inputs, output=None, **attributes):
        """Adds a node that belongs to `layer`; returns the name of its output."""
        output = output or self._free(f"{layer.name}/{operation}")
        tensors = {key: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
                   for key, value in attributes.items()}
        self._graph.node.append(helper.make_node(operation, inputs, [output], output, **tensors))
        return output

    def emit(self, layer, operation, inputs, **attributes):
        """Adds the node whose output is the layer's top."""
        top = layer.top[0]
        last = self._last_writer[top] == layer.name
        name = top if last else self._free(f"{top}/{layer.name}")
        self.alias(top, self.node(layer, operation, inputs, name, **attributes))

    def constant(self, layer, array, name=None):
        """Adds an array that belongs to `layer`; returns its name."""
        name = self._free(name or f"{layer.name}/constant")
        array = np.asarray(array)
        tensor = self._graph.initializer.add(name=name, dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
        return name

    def integers(self, layer, values):
        """Adds a list of whole numbers; returns its name."""
        return self.constant(layer, np.array(list(values), np.int64))

    def weights(self, layer, arrays):
        """Adds a layer's weights and bias under the names layer.weight and layer.bias."""
        return [self.constant(layer, array, f"{layer.name}.{kind}")
                for array, kind in zip(arrays, ("weight", "bias"))]

    def _free(self, name):
        found, number = name, 1
        while found in self._names or found in self._last_writer:
            number += 1
            found = f"{name}_{number}"
        self._names.add(found)
        return found


def convert(layers, net, model, subtract_mean=False, arg_max=False, classes=()):
    """The ONNX ModelProto of a net.

    layers: its LayerParameters in phase TEST, in order.  net: the caffe.Net that holds its weights
    and shapes.  model: the prototxt's path, for messages.  subtract_mean: the graph takes images as
    they are (BGR, 0 to 255) and subtracts the mean and applies the scale of the input's
    transform_param itself.  arg_max: the output is `labels` (batch, height, width) uint8 instead of
    scores.  classes: names of the classes for the metadata, in the order of the channels.
    Raises InputError, naming the layer, for what cannot be exported.
    """
    ranks = {name: len(blob.shape) for name, blob in net.blobs.items()}
    made = ModelProto(ir_version=IR_VERSION, producer_name="FCNs in the Wild, on Caffe")
    made.opset_import.add(domain="", version=OPSET)
    made.graph.name = os.path.basename(model)
    graph = Graph(made.graph, layers, ranks)
    inputs, preprocessing = _inputs(graph, layers, net, model, subtract_mean)
    for layer in layers:
        if layer.type in NOT_COMPUTED:
            continue
        if layer.type not in CONVERTERS:
            raise InputError(
                f"{model}: layer {layer.name} is of type {layer.type}, which cannot be exported; "
                f"these can: {', '.join(sorted(CONVERTERS))}")
        weights = [blob.data for blob in net.params.get(layer.name, ())]
        try:
            CONVERTERS[layer.type](graph, layer, weights)
        except InputError as problem:
            raise InputError(f"{model}: {problem.what}", problem.fix) from None
    made.graph.input.extend(inputs)
    made.graph.output.extend(_outputs(graph, layers, net, model, arg_max))
    helper.set_model_props(made, dict(preprocessing, classes=",".join(classes)))
    return made


def _inputs(graph, layers, net, model, subtract_mean):
    """([ValueInfoProto], metadata about the preprocessing) of the net's Input layers."""
    found, about = [], dict(channel_order="BGR", mean="", scale="1")
    for layer in layers:
        if layer.type != "Input":
            continue
        transform = layer.transform_param
        if transform.mean_file:
            raise InputError(f"{model}: layer {layer.name}: mean_file cannot be exported",
                             "give the mean as mean_value, once or for each channel")
        mean = np.array(transform.mean_value, np.float32)
        if mean.size or transform.scale != 1:
            about["mean"] = ",".join(f"{value:g}" for value in mean)
            about["scale"] = f"{transform.scale:g}"
        for top in layer.top:
            shape = list(net.blobs[top].shape)
            free = ["batch", shape[1], "height", "width"] if len(shape) == 4 else shape
            found.append(helper.make_tensor_value_info(top, TensorProto.FLOAT, free))
            graph.alias(top, top)
            if subtract_mean:
                _preprocess(graph, layer, top, mean, transform.scale)
    about["subtracted_in_graph"] = "yes" if subtract_mean else "no"
    return found, about


def _preprocess(graph, layer, top, mean, factor):
    """(image - mean) * scale, as Caffe's own data transformer computes it."""
    value = top
    if mean.size:
        value = graph.node(layer, "Sub", [value, graph.constant(layer, mean.reshape(-1, 1, 1))])
    if factor != 1:
        value = graph.node(layer, "Mul", [value, graph.constant(layer, np.float32(factor))])
    graph.alias(top, value)


def _outputs(graph, layers, net, model, arg_max):
    """[ValueInfoProto] of the blobs that no layer takes."""
    taken = {bottom for layer in layers for bottom in layer.bottom}
    made = [top for layer in layers if layer.type != "Input" for top in layer.top]
    names = [name for name in dict.fromkeys(made) if _is_output(name, taken, layers)]
    if not arg_max:
        return [_output(graph, layers[-1], name, net) for name in names]
    if len(names) != 1:
        raise InputError(f"{model} has the outputs {', '.join(names)}; --argmax needs a single one")
    best = graph.node(layers[-1], "ArgMax", [graph.value(names[0])], axis=1, keepdims=0)
    graph.node(layers[-1], "Cast", [best], output="labels", to=TensorProto.UINT8)
    return [helper.make_tensor_value_info("labels", TensorProto.UINT8,
                                          ["batch", "label_height", "label_width"])]


def _is_output(name, taken, layers):
    """True for a blob that is made and not read, apart from layers that change it in place."""
    return name not in taken or all(name in layer.top for layer in layers if name in layer.bottom)


def _output(graph, layer, name, net):
    value = graph.value(name)
    if value != name:       # the blob is the input itself, or a dropout's copy
        graph.node(layer, "Identity", [value], output=name)
    shape = list(net.blobs[name].shape)
    free = ["batch", shape[1], f"{name}_height", f"{name}_width"] if len(shape) == 4 else None
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, free)
