"""Refuses layers that would abort Caffe in a step: without code for the CPU, or without gradient.

Caffe builds such nets, and so the dry run passes; the first forward or backward pass then aborts.
"""
from caffe.proto import caffe_pb2

from data.errors import InputError
from tools.lib.checking.memory import learned_blobs

#: Layers whose backward pass Caffe does not have.
_WITHOUT_GRADIENT = ("ArgMax", "Threshold", "Accuracy")
#: Losses that abort when their labels (the second bottom, and what follows it) need a gradient.
_LABELLED = ("SoftmaxWithLoss", "MultinomialLogisticLoss", "InfogainLoss", "HingeLoss",
             "SigmoidCrossEntropyLoss")


def refuse_gpu_only(layers, name):
    """Raises InputError for a layer that Caffe computes on a GPU alone.

    layers: the running layers (`net.running_layers`); name: the net's file.
    """
    stochastic = caffe_pb2.PoolingParameter.STOCHASTIC
    for layer in layers:
        pools = {"Pooling": layer.pooling_param, "SPP": layer.spp_param}.get(layer.type)
        if pools is not None and pools.pool == stochastic:
            raise InputError(f'{name}: layer "{layer.name}": pool: STOCHASTIC is not computed on '
                             "the CPU by Caffe", "use pool: MAX or AVE, or a GPU")


def check_gradients(layers, shapes, name):
    """Raises InputError for a layer that has to pass a gradient on and cannot.

    layers: the running layers of a train net, in order; shapes: NetShapes; name: the net's file.
    """
    learned, under_loss = learned_blobs(layers, shapes), _blobs_under_loss(layers)
    for layer in layers:
        where = f'{name}: layer "{layer.name}"'
        down = list(layer.propagate_down) or [True] * len(layer.bottom)
        # Caffe calls the layer's backward pass whatever its own propagate_down says
        if (layer.type in _WITHOUT_GRADIENT and learned.intersection(layer.bottom)
                and under_loss.intersection(layer.top)):
            raise InputError(f"{where}: a loss behind it needs a gradient, and Caffe has none for "
                             f"the type {layer.type}",
                             "give the layer behind it propagate_down: false, one a bottom")
        labels = [bottom for bottom, passes in zip(layer.bottom[1:], down[1:])
                  if passes and bottom in learned]
        if layer.type in _LABELLED and labels and _is_loss(layer):
            raise InputError(f'{where}: its labels "{labels[0]}" come from learned layers; Caffe '
                             "has no gradient for labels",
                             "propagate_down: true and propagate_down: false, one a bottom")


def _blobs_under_loss(layers):
    """Names of the blobs on whose values a loss depends."""
    under = set()
    for layer in reversed(layers):
        if _is_loss(layer) or under.intersection(layer.top):
            down = list(layer.propagate_down) or [True] * len(layer.bottom)
            under.update(bottom for bottom, passes in zip(layer.bottom, down) if passes)
    return under


def _is_loss(layer):
    """Whether a top of the layer counts in the sum of the losses."""
    if layer.loss_weight:
        return any(layer.loss_weight)
    return layer.type.endswith("Loss")
