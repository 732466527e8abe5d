"""The constrained multiple-instance loss of Eq. 8 on the target's scores."""
import os

import caffe
import numpy as np

from data.errors import InputError
from data.files import ROOT
from data.label_statistics import read_statistics
from data.params import choice, number, parse_params, text
from layers.category_targets import BOUNDS, PRESENCE_FACTOR, category_rule, category_targets

REQUIRED = {"statistics": text()}
OPTIONAL = {"slack": (number(0, 1e6), 2.0), "presence_factor": (number(0, 1e6), PRESENCE_FACTOR),
            "down_weight_threshold": (number(0, 1), 0.1), "down_weight_factor": (number(0, 1), 0.1),
            "bounds": (choice(*BOUNDS), "both")}


class ConstrainedMILLoss(caffe.Layer):
    """Moves the class sizes of target images into the bounds of the source's label statistics.

    No label of the target is needed.  Equations: layers/category_targets.py.

    bottom: target scores (N, C, h, w), before any softmax, at the net's own resolution (1/8 of the
            image).
    tops:   V, mean over the images, in nats a pixel: the loss; give `loss_weight: W loss_weight: 0
            loss_weight: 0 loss_weight: 0`.  Then for the log, without gradients: present classes an
            image and active bounds an image (means over the batch), and the number of images whose
            upper bounds could not be met and were scaled up.

    param_str, for example {"statistics": "data/statistics/toy_windows.json", "slack": 2.0}:
        statistics             file of tools/label_stats.py, with the net's classes in the net's
                               order, over windows of the crop's size where the net is trained on
                               crops (--window).  A relative path starts at the repository's root
                               and must stay inside; files elsewhere need an absolute path
        slack                  price of a unit of mass below the lower bound (default 2, as in
                               Pathak et al. 2015)
        presence_factor        class c is present when its share of the prediction exceeds this
                               times alpha_c (default 0.1)
        down_weight_threshold  classes with alpha_c above this (default 0.1) have their channel's
                               gradient scaled
        down_weight_factor     by this (default 0.1; 1 scales nothing)
        bounds                 which of delta_c and gamma_c are used: "both" (default), "lower",
                               "upper" or "none"
    """

    def setup(self, bottom, top):
        if len(bottom) != 1 or len(top) != 4:
            raise InputError("ConstrainedMILLoss: takes 1 bottom (target scores) and 4 tops (loss, "
                             "present classes, active bounds, relaxed images), found "
                             f"{len(bottom)} and {len(top)}")
        params = parse_params("ConstrainedMILLoss", self.param_str, REQUIRED, OPTIONAL)
        self.statistics = read_statistics(inside_repository(params.pop("statistics")))
        self.rule = category_rule(self.statistics, **params)

    def reshape(self, bottom, top):
        shape, classes = list(bottom[0].shape), self.statistics.classes
        if len(shape) != 4 or shape[1] != len(classes):
            raise InputError(
                f"ConstrainedMILLoss: the statistics are of {len(classes)} classes "
                f"({self.statistics.label_space}), but the target scores have the shape {shape}",
                "give the net the source's label space, or make statistics in the net's: python3 "
                "tools/label_stats.py")
        # Caffe's list of blobs can be indexed but not iterated
        for index in range(len(top)):
            top[index].reshape(1)

    def forward(self, bottom, top):
        # of each image:
        #   1. which classes are present
        #   2. nearest distribution within the bounds
        #   3. dV/dscores
        targets = category_targets(bottom[0].data, self.rule)           # of scores N, C, h, w
        self.gradients = [target.gradient for target in targets]        # N times C, h, w
        top[0].data[...] = np.mean([target.value for target in targets])
        top[1].data[...] = np.mean([target.present for target in targets])
        top[2].data[...] = np.mean([target.active for target in targets])
        top[3].data[...] = np.sum([target.relaxed for target in targets])

    def backward(self, top, propagate_down, bottom):
        if any(top[index].diff.any() for index in range(1, len(top))):
            raise InputError(
                "ConstrainedMILLoss: only the first top is a loss; the others are for the log and "
                "have no gradient",
                "write loss_weight: W loss_weight: 0 loss_weight: 0 loss_weight: 0, and build no "
                "loss upon those tops")
        if propagate_down[0]:
            weight = np.float32(top[0].diff[0] / len(self.gradients))
            for index, gradient in enumerate(self.gradients):
                np.multiply(gradient, weight, out=bottom[0].diff[index])


def inside_repository(path):
    """A path given in a net, as an absolute one.

    Raises InputError when a relative path leads out of the repository.
    """
    if os.path.isabs(path):
        return path
    full = os.path.join(ROOT, path)
    if not os.path.realpath(full).startswith(os.path.realpath(ROOT) + os.sep):
        raise InputError(
            f'ConstrainedMILLoss: "statistics" is {path!r}, which leaves the repository',
            "relative paths start at the repository's root; give an absolute path for a file "
            "elsewhere")
    return full
