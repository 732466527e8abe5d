"""Stops a run whose numbers are nan or infinite, and warns about curves that mean trouble.

A guard stops the run before a snapshot keeps the bad numbers. A monitor returns a warning: about
a first loss that is too high or too low, a domain classifier that has won or collapsed, or a domain
loss that shrinks the features.
"""
import math

import numpy as np

from data.errors import InputError

ADVICE = ("The earlier snapshots are good. Usual causes: base_lr too high, a layer without "
          "its initial weights, inputs that are not mean-free 0..255. Lower base_lr and start "
          "again, or use --weights with the last good caffemodel.")
#: Iterations over which the classifier's accuracy is averaged; no warning comes before them.
AVERAGED = 200
#: From this average accuracy on, the classifier hardly makes a mistake to learn from.
CERTAIN = 0.98
#: Probes (one a display) over which FeatureMonitor averages, at the start of a run and again later.
PROBES = 5
#: Below this share of the domain gradient's square on target units it acts on the source. Measured
#: on the toy (two seeds): 0.08 and 0.11 where Eq. 7 failed, 0.73 to 0.87 where adaptation worked.
ACTS_ON_SOURCE = 0.3
#: A source unit's features have become shorter by more than chance: 0.74 and 0.80 of their first
#: length where Eq. 7 failed, 0.97 to 1.07 elsewhere.
SHRUNK = 0.87
#: The first loss of a net with random predictions is about ln(classes); within this factor of it
#: the start counts as healthy.
FIRST_LOSS_FACTOR = 1.5


class NotFinite(InputError):
    """Numbers of the run are nan or infinite; its present state must not be kept."""


def check_loss(net, iteration, loss):
    """NotFinite when the loss is not finite; its message names the place where this began.

    Called after a forward pass: the net still holds the parameters and blobs that gave the loss.
    """
    if math.isfinite(loss):
        return
    parameter, blob = bad_parameter(net), bad_blob(net)
    if parameter is not None:
        layer, index = parameter
        where = f"parameter {index} of layer {layer} became so in the last update"
    elif blob is not None:
        name, layer = blob
        where = f"it starts in blob {name}, made by layer {layer}"
    else:
        where = "every blob is finite: the sum of the losses overflows"
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
    """(blob, the layer that makes it) of the first blob in forward order that is not finite.

    None when all are finite.
    """
    for layer, tops in net.top_names.items():
        for top in tops:
            if not _finite(net.blobs[top].data):
                return top, layer
    return None


def _finite(values):
    # The sum of squares is one BLAS pass without a temporary array. It may overflow although the
    # values are finite; only then are they looked at one by one.
    flat = values.reshape(-1)
    with np.errstate(over="ignore"):
        squares = np.dot(flat, flat)
    return math.isfinite(squares) or bool(np.isfinite(flat).all())


class FirstLossMonitor:
    """Warns when the first segmentation loss is far from ln(classes).

    For a net whose prediction layer starts from small random values, so that its first predictions
    are nearly uniform. classes: their number.
    """

    def __init__(self, classes):
        self._classes = classes

    def check(self, iteration, values):
        """values: {output: number} of one iteration; returns a warning or None."""
        loss, expected = values.get("seg_loss"), math.log(self._classes)
        if iteration != 0 or loss is None:
            return None
        if expected / FIRST_LOSS_FACTOR <= loss <= FIRST_LOSS_FACTOR * expected:
            return None
        healthy = (f"a healthy start with {self._classes} classes has about ln({self._classes}) = "
                   f"{expected:.2f}")
        if loss < expected:
            return (f"the first loss is only {loss:.3g}; {healthy}. Likely causes: the "
                    "prediction layer is not new but comes from initial weights under another "
                    "name, or the labels have one class only.")
        return (f"the first loss is {loss:.3g}; {healthy}. Likely causes: the prediction layer's "
                "initialisation is too large (gaussian 0.001 expected), the mean is not "
                "subtracted or is not that of the initial weights, channels are RGB instead of "
                "BGR, or a layer before it has no initial weights.")


class ClassifierMonitor:
    """Warns when the domain classifier has won or collapsed; again only after it has recovered.

    won        for long it has separated both domains nearly without error: its gradient carries
               little, and the features do not become alike
    collapsed  it calls everything source, or everything target
    """

    def __init__(self):
        self._source = self._target = 0.5
        self._count = 0
        self._state = None

    def check(self, _iteration, values):
        """values: {output: number} of one iteration; returns a warning or None."""
        source = values.get("domain_accuracy_source", math.nan)
        target = values.get("domain_accuracy_target", math.nan)
        if not (math.isfinite(source) and math.isfinite(target)):
            return None
        self._count += 1
        self._source += (source - self._source) / min(self._count, AVERAGED)
        self._target += (target - self._target) / min(self._count, AVERAGED)
        before, self._state = self._state, self._judge() if self._count >= AVERAGED else None
        return self._warning() if self._state not in (None, before) else None

    def _judge(self):
        low, high = sorted((self._source, self._target))
        if low >= CERTAIN:
            return "won"
        if low <= 1 - CERTAIN and high >= CERTAIN:
            return "collapsed"
        return None

    def _warning(self):
        numbers = (f"accuracy {self._source:.2f} on source, {self._target:.2f} on target, "
                   f"averaged over about {AVERAGED} iterations")
        if self._state == "won":
            return (f"the domain classifier has won ({numbers}): it tells the domains apart nearly "
                    "without error and the features hardly get a useful gradient. A larger weight "
                    "of the domain loss, a smaller lr_mult of the classifier or more dropout in it "
                    "give the features a chance.")
        side = "source" if self._source > 0.5 else "target"
        return (f"the domain classifier has collapsed ({numbers}): it calls every unit {side}. A "
                "smaller weight of the domain loss, a larger lr_mult of the classifier or a lower "
                "base_lr lets it recover.")


class FeatureMonitor:
    """Warns, once, when the domain loss shrinks the features instead of moving the target's.

    Eq. 7 holds no domain label: 1/2 (L_D + L_Dinv) falls when every logit shrinks towards 0,
    and every logit shrinks when the features do.

    entries: the log's entries from before a resume.
    """

    def __init__(self, entries=()):
        self._norms, self._shares, self._warned = [], [], False
        for entry in entries:
            if entry["kind"] == "train":
                self.check(entry["iteration"], entry["values"])

    def check(self, _iteration, values):
        """values: {output or probe: number, None or nan}; returns a warning or None."""
        norm, share = (values.get(name) for name in ("feature_norm_source", "domain_target_share"))
        if self._warned or not (norm and share) or not math.isfinite(norm + share):
            return None
        self._norms.append(norm)
        self._shares.append(share)
        if len(self._norms) < 2 * PROBES:
            return None
        share = sum(self._shares[-PROBES:]) / PROBES
        length = sum(self._norms[-PROBES:]) / sum(self._norms[:PROBES])
        self._warned = share < ACTS_ON_SOURCE and length < SHRUNK
        if not self._warned:
            return None
        return (f"the domain loss shrinks the features: {1 - share:.0%} of its gradient's square "
                "falls on source units, which the labels hold in place, and a source unit's "
                f"features are {length:.2f} times as long as at the start of the run. That lowers "
                "the loss and brings the domains no closer. Let the classifier see normalised "
                "features (RMSNorm behind the gate; `normalised` of an experiment), or use the "
                "objective reversal.")
