"""Numbers on adaptation for the log, beside the outputs of the net.

DomainProbe measures features and gradients at every `display`: they show whether the domain loss
brings the domains together or only shrinks the features. PresenceProbe counts, on the source, whose
labels are known, how often the category loss is right about the classes that an image holds.
"""
import numpy as np

from layers import feature_rms, gpu_arrays
from layers.category_targets import CategoryRule, predicted_shares
from layers.domain_adversarial_loss import DomainAdversarialLoss
from layers.domain_gate import DomainGate

#: Blobs of the nets of models/adaptation.py: scores of the source images, and their labels.
SOURCE_SCORES, LABEL = "final_source", "label"


class DomainProbe:
    """Norms of the features and gradients at the DomainGate; nothing for a net without one.

    The features R are where the losses meet: Caffe's Split gives every reader of R a blob of its
    own, and keeps the domain loss's gradient apart from that of the scores' losses until the
    Split's backward adds them. So the losses can be compared without another pass.
    """

    def __init__(self, net):
        classes = [type(layer) for layer in net.layers]
        #: The layer before whose backward add() has to be called: by then all gradients are there.
        self.maker = None
        if DomainGate not in classes or DomainAdversarialLoss not in classes:
            return
        names = list(net._layer_names)
        bottom = net.bottom_names[names[classes.index(DomainGate)]][0]
        maker = [name for name in names[:classes.index(DomainGate)]
                 if bottom in net.top_names[name]][-1]
        self.maker = names.index(maker)
        self._features = net.blobs[bottom]
        self._others = [net.blobs[top] for top in net.top_names[maker] if top != bottom]
        self._sources = net.layers[classes.index(DomainAdversarialLoss)].source_images
        self._sums = np.zeros(6)

    def add(self):
        """Adds the numbers of the pass whose backward has reached the layer `maker`."""
        norms = np.sqrt(_unit_mean_squares(self._features, "data") * self._features.shape[1])
        gate = _unit_mean_squares(self._features, "diff")
        scores = sum(_unit_mean_squares(blob, "diff") for blob in self._others) + 0 * gate
        source, target = slice(None, self._sources), slice(self._sources, None)
        self._sums += (norms[source].mean(), norms[target].mean(), gate[source].sum(),
                       gate[target].sum(), scores[source].sum(), scores[target].sum())

    def take(self):
        """The sums over the passes added since the last call, (6,) float64; None for other nets."""
        if self.maker is None:
            return None
        sums, self._sums = self._sums, np.zeros(6)
        return sums

    @staticmethod
    def values(sums, passes):
        """The values to log, of the sums over so many passes. A ratio of or to 0 is left out.

        feature_norm_source, feature_norm_target   mean length of a unit's features
        domain_target_share    share of the domain gradient's square that falls on target units
        domain_gradient_ratio  norm of the domain gradient over that of the segmentation gradient
        mil_gradient_ratio     norm of the category gradient (on target units) over the same
        """
        norm_source, norm_target, gate_source, gate_target, scores_source, scores_target = sums
        gate = gate_source + gate_target
        found = {"feature_norm_source": float(norm_source / passes),
                 "feature_norm_target": float(norm_target / passes)}
        for name, part, whole, power in (
                ("domain_target_share", gate_target, gate, 1),
                ("domain_gradient_ratio", gate, scores_source, 0.5),
                ("mil_gradient_ratio", scores_target, scores_source, 0.5)):
            if part > 0 and whole > 0:
                found[name] = float((part / whole) ** power)
        return found


def _unit_mean_squares(blob, part):
    """Mean over the channels of the squared data or diff of a blob: (N, 1, h, w) float64."""
    on_gpu = gpu_arrays.current()
    if on_gpu:
        return on_gpu.unit_mean_squares(list(blob.shape), getattr(blob, f"_gpu_{part}_ptr"))
    values = getattr(blob, part)
    return feature_rms.unit_means(values, values)


class PresenceProbe:
    """Counts the source images that hold a class: by ConstrainedMILLoss's rule, and by the label.

    Over the forward passes since the last take(); nothing for a net without the loss.

    The rule is applied to the source's scores as the loss applies it to the target's: class c is
    present where the share of the pixels that are predicted c exceeds presence_factor alpha_c. By
    the label, c is present where one pixel is c.
    """

    def __init__(self, net):
        self._net = net
        losses = [layer for layer in net.layers if isinstance(getattr(layer, "rule", None),
                                                              CategoryRule)]
        self._loss = losses[0] if losses and {SOURCE_SCORES, LABEL} <= set(net.blobs) else None
        if self._loss is not None:
            self.classes = self._loss.statistics.classes
            self._counts = np.zeros((3, len(self.classes)))

    def count(self):
        """Counts the images of the pass that has just run forwards."""
        if self._loss is None:
            return
        for scores, label in zip(self._net.blobs[SOURCE_SCORES].data, self._net.blobs[LABEL].data):
            if np.isfinite(scores).all():
                predicted = predicted_shares(scores) > self._loss.rule.least_share
                held = np.isin(np.arange(len(predicted)), np.unique(label))
                self._counts += predicted & held, predicted, held

    def take(self):
        """Images of each class since the last call; None for a net without the loss.

        (3, classes) float64: rows right, predicted, held.
        """
        if self._loss is None:
            return None
        counts, self._counts = self._counts, np.zeros_like(self._counts)
        return counts


def presence_values(counts):
    """{"mil_precision", "mil_recall"} of a PresenceProbe's counts, over all classes together."""
    right, predicted, held = counts.sum(axis=1)
    return {name: float(right / whole)
            for name, whole in (("mil_precision", predicted), ("mil_recall", held)) if whole}


def presence_by_class(classes, counts):
    """{class: {"precision", "recall"}}; None where the class was never predicted, or never held.

    Classes that were neither are left out.
    """
    return {name: {"precision": right / predicted if predicted else None,
                   "recall": right / held if held else None}
            for name, right, predicted, held in zip(classes, *counts) if predicted or held}
