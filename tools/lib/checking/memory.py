"""Checks that a net fits the memory: Caffe aborts in the middle of a run when it does not."""
import math

from data.errors import InputError
from models.cost import LayerCost, column_buffer, training_bytes

#: Layers whose tops are views of their bottoms.
_VIEWS = ("Split", "Reshape", "Flatten")


def check_memory(layers, shapes, name, have, solver_type, one_column_buffer=False):
    """InputError when one training step of the net needs more memory than there is.

    layers: the running layers, in order (`net.check_net`); shapes: NetShapes of the built net;
    have: bytes that this process may take where Caffe computes (`device.device_memory`);
    solver_type, one_column_buffer: as in `models.cost.training_bytes`.
    """
    need = training_bytes(layer_costs(layers, shapes), solver_type, one_column_buffer)
    if need > have:
        raise InputError(f"{name}: a training step needs at least {need / 1e9:.1f} GB of memory; "
                         f"this process may have {have / 1e9:.1f} GB",
                         "use fewer images a batch or a smaller crop (iter_size makes up for the "
                         "batch)")


def layer_costs(layers, shapes):
    """[models.cost.LayerCost] of the running layers of a built net."""
    learned = learned_blobs(layers, shapes)
    costs = []
    for layer in layers:
        made = set(layer.top) - set(layer.bottom) if layer.type not in _VIEWS else ()
        counts = {blob: math.prod(shapes.blobs[blob]) for blob in made}
        costs.append(LayerCost(
            values=sum(counts.values()),
            gradients=sum(count for blob, count in counts.items() if blob in learned),
            buffer=_maxima(layer, shapes),
            parameters=sum(map(math.prod, shapes.parameters[layer.name])),
            columns=_columns(layer, shapes)))
    return costs


def learned_blobs(layers, shapes):
    """Names of the blobs that have a gradient: learnt parameters made them, or a bottom did."""
    learned = set()
    for layer in layers:
        rates = [layer.param[index].lr_mult if index < len(layer.param) else 1
                 for index in range(len(shapes.parameters[layer.name]))]
        if any(rates) or learned.intersection(layer.bottom):
            learned.update(layer.top)
    return learned


def _maxima(layer, shapes):
    """Numbers that a pooling layer needs for the places of its maxima; 0 for other layers."""
    pools = layer.type == "Pooling" and layer.pooling_param.pool == layer.pooling_param.MAX
    return math.prod(shapes.blobs[layer.top[0]]) if pools else 0


def _columns(layer, shapes):
    """Numbers in a convolution's patches of one image; 0 for other layers."""
    own = shapes.parameters[layer.name]
    if layer.type not in ("Convolution", "Deconvolution") or not own:
        return 0
    wide, small = ((layer.bottom, layer.top) if layer.type == "Convolution"
                   else (layer.top, layer.bottom))
    return column_buffer(math.prod(own[0][2:]), shapes.blobs[wide[0]][1],
                         math.prod(shapes.blobs[small[0]][2:]))
