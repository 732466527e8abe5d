"""Shapes of a net's blobs and parameters, as Caffe made them."""
from collections import namedtuple

#: blobs: {blob name: shape};  parameters: {layer name: [shape, ...]} of every layer,
#: [] without parameters;  fixed: names of the layers whose fillers make their right values
#: and that never learn (bilinear upsampling).  Shapes are tuples of ints.
NetShapes = namedtuple("NetShapes", "blobs parameters fixed")


def shapes_of(net, net_parameter=None):
    """NetShapes of a caffe.Net.  net_parameter: its NetParameter, for `fixed`."""
    return NetShapes(
        {name: tuple(blob.shape) for name, blob in net.blobs.items()},
        {name: [tuple(b.shape) for b in layer.blobs]
         for name, layer in zip(net._layer_names, net.layers)},
        fixed_layers(net_parameter) if net_parameter is not None else [])


def fixed_layers(net_parameter):
    """Names of the layers with lr_mult 0 and the bilinear filler: they need no weights from a
    file."""
    return [layer.name for layer in net_parameter.layer
            if layer.convolution_param.weight_filler.type == "bilinear"
            and layer.param and not any(spec.lr_mult for spec in layer.param)]


def to_json(shapes):
    """NetShapes as nested lists, for a pipe or a record."""
    return [shapes.blobs, shapes.parameters, shapes.fixed]


def from_json(content):
    """The inverse of to_json."""
    blobs, parameters, fixed = content
    return NetShapes({name: tuple(s) for name, s in blobs.items()},
                     {name: [tuple(s) for s in own] for name, own in parameters.items()}, fixed)
