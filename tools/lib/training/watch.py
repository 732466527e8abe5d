"""Words for curves that mean trouble: a first loss that is too high or too low, a classifier that
has won or collapsed."""
import math

#: Iterations over which the classifier's accuracy is averaged, and the shortest "for long".
LONG = 200
#: Average accuracy from which the classifier makes no mistake worth learning from.
CERTAIN = 0.98
#: A healthy first loss is ln(classes) and a little; method.md section 2.
FIRST_LOSS_FACTOR = 1.5


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
