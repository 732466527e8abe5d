"""Stops a run whose numbers have become nan or infinite, and warns when its curves mean trouble.

A guard ends the run before a snapshot keeps bad numbers. A warning is a line of text: a first loss
that is too high or too low, a domain classifier that has won or collapsed.
"""
import math

import numpy as np

from data.errors import InputError

ADVICE = ("The earlier snapshots are good. Usual causes: base_lr too high, a layer without "
          "its initial weights, inputs that are not mean-free 0..255. Lower base_lr and start "
          "again, or use --weights with the last good caffemodel.")
#: Iterations over which the classifier's accuracy is averaged, and the shortest "for long".
LONG = 200
#: Average accuracy from which the classifier makes no mistake worth learning from.
CERTAIN = 0.98
#: A healthy first loss is ln(classes) and a little; method.md section 2.
FIRST_LOSS_FACTOR = 1.5


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


class FirstLossWatch:
    """Warns when the first segmentation loss is far from ln(classes).

    Only for a net whose prediction layer starts from small random values: its first
    predictions are then nearly uniform.  classes: their number.
    """

    def __init__(self, classes):
        self._classes = classes

    def see(self, iteration, values):
        """values: one iteration's outputs; returns a warning or None."""
        loss = values.get("seg_loss")
        expected = math.log(self._classes)
        if iteration != 0 or loss is None or expected / FIRST_LOSS_FACTOR <= loss <= FIRST_LOSS_FACTOR * expected:
            return None
        if loss < expected:
            return (f"the first loss is only {loss:.3g}; a healthy start with {self._classes} "
                    f"classes has about ln({self._classes}) = {expected:.2f}. Likely causes: the "
                    "prediction layer is not new but comes from initial weights under another "
                    "name, or the labels have one class "
                    "only.")
        return (f"the first loss is {loss:.3g}; a healthy start with {self._classes} classes has "
                f"about ln({self._classes}) = {expected:.2f}. "
                "Likely causes: the prediction layer's initialisation is too large (gaussian 0.001 "
                "expected), the mean is not subtracted or is not that of the initial weights, "
                "channels are RGB instead of BGR, or a layer before it has no initial weights.")


class ClassifierWatch:
    """Warns, once an episode, when the domain classifier has won or collapsed.

    won        it tells both domains apart nearly without error for long: its gradient
               carries little and the features do not become alike
    collapsed  it calls everything source, or everything target
    """

    def __init__(self):
        self._source = self._target = 0.5
        self._said = None
        self._count = 0

    def see(self, _iteration, values):
        """values: one iteration's outputs; returns a warning or None."""
        if "domain_accuracy_source" not in values or "domain_accuracy_target" not in values:
            return None
        source, target = values["domain_accuracy_source"], values["domain_accuracy_target"]
        if not (math.isfinite(source) and math.isfinite(target)):
            return None
        self._count += 1
        self._source += (source - self._source) / min(self._count, LONG)
        self._target += (target - self._target) / min(self._count, LONG)
        state = self._state() if self._count >= LONG else None
        new, self._said = state is not None and state != self._said, state
        return self._words(state) if new else None

    def _state(self):
        low, high = sorted((self._source, self._target))
        if low >= CERTAIN:
            return "won"
        if low <= 1 - CERTAIN and high >= CERTAIN:
            return "collapsed"
        return None

    def _words(self, state):
        numbers = f"accuracy {self._source:.2f} on source, {self._target:.2f} on target, averaged over about {LONG} iterations"
        if state == "won":
            return (f"the domain classifier has won ({numbers}): it tells the domains apart nearly "
                    "without "
                    "error and the features hardly get a useful gradient. A larger weight "
                    "of the domain loss, a smaller lr_mult of the classifier or more dropout in it "
                    "give the features a chance.")
        return ("the domain classifier has collapsed (%s): it calls every unit %s. A smaller "
                "weight of the domain loss, a larger lr_mult of the classifier or a lower base_lr "
                "lets it recover." % (numbers, "source" if self._source > 0.5 else "target"))
