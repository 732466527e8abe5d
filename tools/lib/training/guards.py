"""Stops a run whose numbers have become nan or infinite, before a snapshot keeps them."""
import math

import numpy as np

from data.errors import InputError

ADVICE = ("The earlier snapshots are good. Usual causes: base_lr too high, a layer without "
          "its initial weights, inputs that are not mean-free 0..255. Lower base_lr and start "
          "again, or use --weights with the last good caffemodel.")


class NotFinite(InputError):
    """The run's numbers are nan or infinite: nothing of its state may be kept."""


def check_loss(net, iteration, loss):
    """NotFinite when the loss is not finite; names where it came from.

    Called after a forward pass: parameters and blobs are those that gave the loss.
    """
    if math.isfinite(loss):
        return
    parameter = bad_parameter(net)
    if parameter is not None:
        where = "parameter %d of layer %s became so in the last update" % parameter[::-1]
    else:
        blob = bad_blob(net)
        where = ("it starts in blob %s, made by layer %s" % blob if blob is not None
                 else "every blob is finite: the sum of the losses overflows")
    raise NotFinite(f"iteration {iteration}: the loss is {loss}; {where}", ADVICE)


def check_parameters(net, iteration):
    """NotFinite when a parameter is not finite; names its layer."""
    parameter = bad_parameter(net)
    if parameter is not None:
        layer, index = parameter
        raise NotFinite(f"after {iteration} iterations parameter {index} of layer {layer} has "
                        "nan or infinite values", ADVICE)


def bad_parameter(net):
    """(layer, index) of the first parameter blob that is not finite, or None."""
    for layer, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            if not _finite(blob.data):
                return layer, index
    return None


def bad_blob(net):
    """(blob, layer that makes it) of the first blob in forward order that is not finite, or
    None."""
    for layer, tops in net.top_names.items():
        for top in tops:
            if not _finite(net.blobs[top].data):
                return top, layer
    return None


def _finite(values):
    # one BLAS pass without a temporary array; squares may overflow though the values do not
    flat = values.reshape(-1)
    return math.isfinite(np.dot(flat, flat)) or bool(np.isfinite(flat).all())
