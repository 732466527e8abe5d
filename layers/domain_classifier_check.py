"""Checks that the domain classifier of a net keeps units separate, as the DomainGate requires.

The gate multiplies the classifier's gradient by one ratio for each unit.  The product is the
gradient of the features' loss only if a unit's domain logit depends on the features of that unit
alone (Eq. 2-5: p(R_hw)).  So only 1x1 convolutions, elementwise layers and normalisation over all
channels of a unit may stand between gate and loss.  A layer cannot see the net around it; this
module reads the whole net.
"""
from data.errors import InputError

GATE, LOSS, NORM = "DomainGate", "DomainAdversarialLoss", "RMSNorm"
ELEMENTWISE = ("ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "Dropout", "Split", "Silence")
WHY = ("the gradient ratio of the gate is one number a unit, right only if each unit's domain "
       "logit depends on the features of that unit alone (Eq. 2-5)")
ALLOWED = (f"allowed are Convolution with kernel 1, stride 1, pad 0, the Python layer {NORM}, LRN "
           "across all channels, and " + ", ".join(ELEMENTWISE))


def check_classifier(layers, phase=0):
    """Raises InputError, naming the layer, unless every gate's classifier keeps units separate.

    layers: list of the caffe LayerParameters that run in the phase, in running order.  phase: 0
    TRAIN, 1 TEST.  Also refused: a gate without a loss, a loss without a gate, a link with any
    other consumer and, in training, loss weights that leave L_D out.  A net with neither gate nor
    loss passes.
    """
    linked = set()
    for index, layer in enumerate(layers):
        if python_class(layer) == GATE:
            linked.add(id(_loss_of(layers, index, trained=phase == 0)))
    for layer in layers:
        if python_class(layer) == LOSS and id(layer) not in linked:
            raise InputError(
                f"layer {_name(layer)}: no {GATE} stands before this {LOSS}",
                "put the gate between the features and the classifier, and give its second top to "
                "the loss")


def _loss_of(layers, index, trained):
    """The loss layer of the gate layers[index]; checks every layer between them."""
    gate, later = layers[index], layers[index + 1:]
    if len(gate.bottom) != 1 or len(gate.top) != 2:
        raise InputError(f"layer {_name(gate)}: a {GATE} takes 1 bottom and 2 tops (features, "
                         f"link), found {len(gate.bottom)} and {len(gate.top)}")
    features, link = gate.top
    units = {features}              # blobs that descend from the gate's features
    loss = None
    for layer in later:
        if link in layer.bottom and python_class(layer) != LOSS:
            raise InputError(f"layer {_name(layer)}: the link {link!r} of a {GATE} may go to a "
                             f"{LOSS} only")
        if not units.intersection(layer.bottom) and link not in layer.bottom:
            continue
        if python_class(layer) == LOSS:
            if loss is not None:
                raise InputError(f"layer {_name(layer)}: layer {_name(loss)} uses the same gate "
                                 f"already; one {LOSS} a gate")
            _check_loss(layer, units, link, trained)
            loss = layer
            continue
        _check_per_unit(layer, layers)
        if features in layer.top and features in gate.bottom:
            raise InputError(
                f"layer {_name(layer)}: works in place on {features!r}, the features that a gate "
                "working in place shares with the rest of the net", "give it a top of its own")
        units.update(layer.top)
    if loss is None:
        raise InputError(f"layer {_name(gate)}: nothing behind this {GATE} ends in a {LOSS}")
    return loss


def _check_per_unit(layer, layers):
    """Raises InputError unless the layer keeps units separate."""
    if layer.type in ELEMENTWISE or python_class(layer) == NORM:
        return
    if layer.type == "LRN":
        found = _partial_normalisation(layer, layers)
    elif layer.type == "Convolution":
        found = _wide_convolution(layer.convolution_param)
    else:
        found = f"{layer.type} {python_class(layer)}".strip()
    if found is not None:
        raise InputError(f"layer {_name(layer)}: {found} cannot stand between a {GATE} and its "
                         f"loss: {WHY}", ALLOWED)


def _wide_convolution(param):
    """Describes a convolution that is not 1x1, of stride 1 and unpadded; None for one that is."""
    def values(name, both):
        sides = [getattr(param, f"{name}_h"), getattr(param, f"{name}_w")]
        return sides if param.HasField(f"{name}_h") or param.HasField(f"{name}_w") else list(both)

    kernel = values("kernel", param.kernel_size)
    stride = values("stride", param.stride) or [1]
    pad = values("pad", param.pad) or [0]
    if set(kernel) == {1} and set(stride) == {1} and set(pad) == {0} and param.axis == 1:
        return None
    sizes = ", ".join(f"{word} {'x'.join(map(str, sides))}" for word, sides in (
        ("kernel", kernel), ("stride", stride), ("pad", pad)))
    axis = f", axis {param.axis}" if param.axis != 1 else ""
    return f"Convolution with {sizes}{axis}"


def _partial_normalisation(layer, layers):
    """Describes an LRN layer that leaves out channels of a unit; None for one over all of them."""
    lrn = layer.lrn_param
    if lrn.norm_region != lrn.ACROSS_CHANNELS:
        return "LRN within a channel"
    channels = _channels(layer.bottom[0], layers[:layers.index(layer)])
    if channels is None:
        return "LRN across channels whose number no Convolution before it tells"
    if lrn.local_size < 2 * channels - 1:
        return (f"LRN with local_size {lrn.local_size}, less than the {2 * channels - 1} that "
                f"cover all {channels} channels from each of them,")
    return None


def _channels(blob, before):
    """Channels of a blob: num_output of the Convolution before it; None where there is none."""
    for layer in reversed(before):
        if blob not in layer.top:
            continue
        if layer.type == "Convolution":
            return layer.convolution_param.num_output
        if layer.type not in ELEMENTWISE and python_class(layer) not in (GATE, NORM):
            return None
        blob = layer.bottom[0]
    return None


def _check_loss(layer, units, link, trained):
    if len(layer.bottom) != 2 or layer.bottom[0] not in units or layer.bottom[1] != link:
        raise InputError(f"layer {_name(layer)}: the bottoms of a {LOSS} are the domain scores "
                         f"behind the gate and the gate's second top {link!r}, found "
                         f"{', '.join(map(repr, layer.bottom)) or 'none'}")
    weights = list(layer.loss_weight)
    if trained and (len(weights) != 4 or not weights[0] or any(weights[1:])):
        raise InputError(f"layer {_name(layer)}: loss_weight must be given once for each of the 4 "
                         "tops, the first not 0, the others 0, found "
                         f"{weights or 'none, so nothing would be trained'}",
                         "loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0")


def python_class(layer):
    """The class of a Python layer (LayerParameter); "" for a layer of Caffe's own."""
    return layer.python_param.layer if layer.type == "Python" else ""


def _name(layer):
    return repr(layer.name)
