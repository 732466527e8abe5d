"""The domain-adversarial loss of every unit: Eq. 2-7 in one forward and one backward pass."""
import caffe
import numpy as np

from data.errors import InputError
from data.params import choice, integer, number, parse_params
from layers import domain_confusion

# r reaches weight / domain_confusion.FLOOR; float32 holds it up to this weight, with room for the
# classifier's factors.
LARGEST_WEIGHT = 1e6
REQUIRED = {"weight": number(0, LARGEST_WEIGHT), "source_images": integer(minimum=1)}
OPTIONAL = {
    "objective": (choice(*domain_confusion.OBJECTIVES), "confusion"),
    "ramp_passes": (integer(minimum=0), 0),
    "classifier_steps": (integer(minimum=1, maximum=1000), 1),
}


class DomainAdversarialLoss(caffe.Layer):
    """Trains the domain classifier on L_D and gives the DomainGate the features' gradient ratio.

    bottoms: domain scores (N, 2, h, w), channel 0 target, channel 1 source, from 1x1 convolutions
             behind a DomainGate;
             link (N, 1, h, w), the second top of that gate: its diff carries the gradient ratio.
    tops:    L_D, L_Dinv (nats a unit), accuracy on source, accuracy on target (0 to 1), one number
             each.  L_D is the loss: give `loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight:
             0`.  The first weight scales the gradients of the classifier and of the features.  The
             other three tops are for the log; a gradient on them is an error.

    param_str, for example {"objective": "confusion", "weight": 0.1, "source_images": 1}:
        weight         lambda >= 0, weight of the features' loss; the classifier always gets all of
                       L_D
        source_images  number of source images, the first of the batch; the others are target
                       images; there must be some of both
        objective      "confusion" (default; Eq. 7), "reversal" (Ganin) or "inverse" (swapped label
                       on target units only): equations in layers/domain_confusion.py
        ramp_passes    0 (default): lambda is `weight` from the start.  Else it rises from 0 over
                       about that many forward passes in training, lambda_k = weight (2 / (1 +
                       exp(-10 k / ramp_passes)) - 1) (Ganin 2015).  One solver iteration has
                       iter_size passes in each of the processes that train together.
                       tools/train.py sets the number of every pass (set_position); stock
                       `caffe train` counts from 0 in every new process, so after a resume the ramp
                       starts again.
        classifier_steps   updates of the classifier an iteration, 1 (default) to 1000.  The layer
                       itself does nothing with it: tools/train.py makes those beyond the first, of
                       the classifier alone, on the features of the same passes
                       (tools/lib/training/classifier_steps.py); stock `caffe train` makes one.
    """

    def setup(self, bottom, top):
        if len(bottom) != 2 or len(top) != 4:
            raise InputError(
                "DomainAdversarialLoss: takes 2 bottoms (domain scores, link) and 4 tops (L_D, "
                f"L_Dinv, accuracy source, accuracy target), found {len(bottom)} and {len(top)}")
        params = parse_params("DomainAdversarialLoss", self.param_str, REQUIRED, OPTIONAL)
        self.objective, self.full_weight = params["objective"], params["weight"]
        self.source_images, self.ramp_passes = params["source_images"], params["ramp_passes"]
        #: Read by tools/train.py; the layer itself does not use it.
        self.classifier_steps = params["classifier_steps"]
        self.position = 0

    def set_position(self, position):
        """Sets the number of the next training pass (from 0), on which the ramp depends."""
        self.position = position

    def reshape(self, bottom, top):
        scores, link = list(bottom[0].shape), list(bottom[1].shape)
        if len(scores) != 4 or scores[1] != 2:
            raise InputError(
                "DomainAdversarialLoss: the domain scores must have the shape (N, 2, h, w), found "
                f"{scores}", "end the classifier in a 1x1 Convolution with num_output: 2")
        expected = [scores[0], 1] + scores[2:]
        if link != expected:
            raise InputError(
                f"DomainAdversarialLoss: the link has the shape {link}, expected {expected}, one "
                "number for each unit of the domain scores",
                "the second bottom must be the DomainGate's second top, and between gate and loss "
                "only 1x1 convolutions of stride 1 without padding may stand")
        if scores[0] <= self.source_images:
            raise InputError(
                f"DomainAdversarialLoss: source_images is {self.source_images}, but the batch "
                f"holds {scores[0]} images: no target image is left",
                "put the target images after the source images, or lower source_images")
        self.is_source = (np.arange(scores[0]) < self.source_images).reshape(-1, 1, 1, 1)
        # Caffe's list of blobs can be indexed but not iterated
        for index in range(len(top)):
            top[index].reshape(1)

    def forward(self, bottom, top):
        # 1. domain logit s of every unit, in float64
        # 2. L_D and L_Dinv: mean cross entropies with the right and with the swapped labels
        # 3. accuracies
        # 4. lambda of this pass
        scores = bottom[0].data             # N, 2, h, w
        self.logit = np.subtract(           # N, 1, h, w
            scores[:, 1:2], scores[:, 0:1], dtype=np.float64)
        top[0].data[...], top[1].data[...] = domain_confusion.domain_losses(
            self.logit, self.is_source)
        top[2].data[...], top[3].data[...] = domain_confusion.domain_accuracies(
            self.logit, self.is_source)
        self.weight = domain_confusion.ramped_weight(self.full_weight, self.position,
                                                     self.ramp_passes)
        if self.phase == caffe.TRAIN:
            self.position += 1

    def backward(self, top, propagate_down, bottom):
        # 1. dL_D/ds = (p - y) / M to the scores: + for source, - for target
        # 2. the gradient ratio r to the gate, in the link's diff
        if any(top[index].diff.any() for index in range(1, len(top))):
            raise InputError(
                "DomainAdversarialLoss: only the first top (L_D) is a loss; the others are for the "
                "log and have no gradient",
                "write loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_weight: 0, and build no "
                "loss upon those tops")
        if propagate_down[0]:
            gradient = domain_confusion.probability_minus_label(self.logit, self.is_source)
            gradient *= float(top[0].diff[0]) / self.logit.size
            bottom[0].diff[:, 1:2] = gradient
            bottom[0].diff[:, 0:1] = -gradient
        if propagate_down[1]:
            bottom[1].diff[...] = domain_confusion.feature_ratio(
                self.logit, self.is_source, self.objective, self.weight)
