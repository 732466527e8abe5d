"""Is the domain classifier of a net one for which the DomainGate is right?

The gate multiplies the classifier's gradient by one ratio for each unit. That equals the gradient
of the features' loss only if a unit's domain logit depends on the features of that unit alone (Eq.
2-5: p(R_hw)), so between gate and loss nothing may mix units: 1x1 convolutions, elementwise layers
and normalisation over all channels of a unit only. A layer cannot see the net around it; this looks
at the net.
"""
from data.errors import InputError

GATE, LOSS, NORM = "DomainGate", "DomainAdversarialLoss", "RMSNorm"
ELEMENTWISE = ("ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "Dropout", "Split", "Silence")
WHY = ("the gradient ratio of the gate is one number a unit, right only if each unit's domain "
       "logit depends on the "
       "features of that unit alone (Eq. 2-5)")
ALLOWED = (f"allowed are Convolution with kernel 1, stride 1, pad 0, the Python layer {NORM}, LRN "
           "across all channels, and " + ", ".join(ELEMENTWISE))


def check_classifier(layers, phase=0):
    """Raises InputError, naming the layer, unless every DomainGate of the net has a classifier that
    keeps units separate.

    layers: list of the caffe LayerParameters that run in the phase, in running order as Caffe
    demands. phase: 0 TRAIN, 1 TEST. Also refused: a gate without a loss, a loss without a gate, a
    link with any other consumer and, in training, loss weights that leave L_D out. A net with
    neither gate nor loss passes.
    """
    linked = set()
    for index, layer in enumerate(layers):
        if _python_class(layer) == GATE:
            linked.add(id(_follow(layers, index, trained=phase == 0)))
    for layer in layers:
        if _python_class(layer) == LOSS and id(layer) not in linked:
            raise InputError(
                "layer {}: no {} stands before this {}".format(_name(layer), GATE, LOSS),
                "put the gate between the features and the classifier, and give its "
                "second top to the loss")


def _follow(layers, index, trained):
    """The loss layer that the classifier of the gate layers[index] ends in, after checking
    everything between them."""
    gate, later = layers[index], layers[index + 1:]
    if len(gate.bottom) != 1 or len(gate.top) != 2:
        raise InputError("layer {}: a {} takes 1 bottom and 2 tops (features, link), found {} and "
                         "{}".format(
            _name(gate), GATE, len(gate.bottom), len(gate.top)))
    features, link = gate.top
    units = {features}              # blobs that descend from the gate's features
    loss = None
    for layer in later:
        if link in layer.bottom and _python_class(layer) != LOSS:
            raise InputError("layer {}: the link {!r} of a {} may go to a {} only".format(
                _name(layer), link, GATE, LOSS))
        if not units.intersection(layer.bottom) and link not in layer.bottom:
            continue
        if _python_class(layer) == LOSS:
            if loss is not None:
                raise InputError(
                    "layer {}: layer {} uses the same gate already; one {} a gate".format(
                        _name(layer), _name(loss), LOSS))
            _check_loss(layer, units, link, trained)
            loss = layer
            continue
        _check_per_unit(layer, layers)
        if features in layer.top and features in gate.bottom:
            raise InputError(
                "layer {}: works in place on {!r}, the features that a gate working in place "
                "shares with the rest of the "
                "net".format(_name(layer), features), "give it a top of its own")
        units.update(layer.top)
    if loss is None:
        raise InputError("layer {}: nothing behind this {} ends in a {}".format(
            _name(gate), GATE, LOSS))
    return loss


def _check_per_unit(layer, layers):
    if layer.type in ELEMENTWISE or _python_class(layer) == NORM:
        return
    if layer.type == "LRN":
        found = _partial_normalisation(layer, layers)
        if found is None:
            return
    elif layer.type != "Convolution":
        found = "{} {}".format(layer.type, _python_class(layer)).strip()
    else:
        p = layer.convolution_param
        kernel = [p.kernel_h, p.kernel_w
                  ] if p.HasField("kernel_h") or p.HasField("kernel_w") else list(p.kernel_size)
        stride = [p.stride_h, p.stride_w
                  ] if p.HasField("stride_h") or p.HasField("stride_w") else list(p.stride)
        pad = [p.pad_h, p.pad_w] if p.HasField("pad_h") or p.HasField("pad_w") else list(p.pad)
        if set(kernel) == {1} and set(stride) <= {1} and set(pad) <= {0} and p.axis == 1:
            return
        found = "Convolution with " + ", ".join("{} {}".format(word, "x".join(map(str, values)))
                                                for word, values in (("kernel", kernel),
                                                                     ("stride", stride or [1]),
                                                                     ("pad", pad or [0])))
        if p.axis != 1:
            found += ", axis {}".format(p.axis)
    raise InputError(
        "layer {}: {} cannot stand between a {} and its loss: {}".format(
            _name(layer), found, GATE, WHY), ALLOWED)


def _partial_normalisation(layer, layers):
    """What an LRN layer does instead of normalising over all channels of a unit, or None."""
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
    """Channels of a blob by the num_output of the Convolution that it comes from, or None."""
    for layer in reversed(before):
        if blob not in layer.top:
            continue
        if layer.type == "Convolution":
            return layer.convolution_param.num_output
        if layer.type not in ELEMENTWISE and _python_class(layer) not in (GATE, NORM):
            return None
        blob = layer.bottom[0]
    return None


def _check_loss(layer, units, link, trained):
    if len(layer.bottom) != 2 or layer.bottom[0] not in units or layer.bottom[1] != link:
        raise InputError("layer {}: the bottoms of a {} are the domain scores behind the gate and "
                         "the gate's second top {!r}, "
                         "found {}".format(_name(layer), LOSS, link,
                                           ", ".join(map(repr, layer.bottom)) or "none"))
    weights = list(layer.loss_weight)
    if trained and (len(weights) != 4 or not weights[0] or any(weights[1:])):
        raise InputError("layer {}: loss_weight must be given once for each of the 4 tops, the "
                         "first not 0, the others 0, "
                         "found {}".format(_name(layer), weights or "none, so nothing would be "
                                                                    "trained"),
                         "loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0")


def _python_class(layer):
    return layer.python_param.layer if layer.type == "Python" else ""


def _name(layer):
    return repr(layer.name)
