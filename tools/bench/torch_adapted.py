"""The adapted net of Eq. 1 in PyTorch: front-end, domain classifier behind a gate, category loss.

The category loss is computed by layers/category_targets.py itself, in numpy on the host, as in
Caffe. The domain losses are the equations of layers/domain_confusion.py in PyTorch's operations, in
float64 as there. Needs the repository on the import path.
"""
import numpy as np
import torch
from torch.nn import functional
from torch_step import scores, segmentation_loss, trunk, upsampling

from data.label_statistics import read_statistics
from layers.category_targets import category_rule, category_targets
from layers.feature_rms import EPSILON

#: Above it softplus is linear to float64's last bit.
LINEAR = 40


class Adapted(torch.nn.Module):
    """Both adaptation losses beside the segmentation loss.

    The modules have the order of the Caffe net's parameters.
    """

    def __init__(self, spec):
        super().__init__()
        keys = spec["adaptation"]
        self.sources, self.objective = spec["labels"], keys["objective"]
        self.weight, self.mil_weight = keys["weight"], keys["mil_weight"]
        self.rule = category_rule(read_statistics(keys["statistics"]), **keys["rule"])
        self.trunk = torch.nn.Sequential(*trunk(spec))
        self.scores, self.upsampling = torch.nn.Sequential(*scores(spec)), upsampling(spec)
        self.classifier = torch.nn.Sequential(
            *[RMSNorm()] * keys["normalised"],
            *classifier(spec["fc"], keys["hidden"], spec["dropout"]))

    def forward(self, images, labels):
        """[segmentation, domain, weighted category loss], whose sum is trained on.

        images: (N, 3, H, W), source images first; labels: of the source images.
        """
        features = self.trunk(images)
        scored = self.scores(features)
        link = {}
        domain = self.classifier(Gate.apply(features, link))
        return [segmentation_loss(self.upsampling(scored[:self.sources]), labels),
                domain_loss(domain, self.sources, self.objective, self.weight, link),
                self.mil_weight * CategoryLoss.apply(scored[self.sources:], self.rule)]


def classifier(inputs, hidden, dropout):
    """1x1 convolutions: features (N, inputs, h, w) -> domain scores (N, 2, h, w).

    hidden: channels of the hidden layers.
    """
    layers = []
    for outputs in hidden:
        layers += [
            torch.nn.Conv2d(inputs, outputs, 1),
            torch.nn.ReLU(inplace=True),
            torch.nn.Dropout(dropout)
        ]
        inputs = outputs
    return layers + [torch.nn.Conv2d(inputs, 2, 1)]


class RMSNorm(torch.nn.Module):
    """Features (N, C, h, w) divided by each unit's root mean square: layers/feature_rms.py."""

    def forward(self, features):
        mean_squares = features.square().mean(dim=1, keepdim=True)
        return features * torch.rsqrt(EPSILON + mean_squares)


class Gate(torch.autograd.Function):
    """A gradient reversal layer: the identity; its gradient is multiplied by link["ratio"].

    The ratio is (N, 1, h, w), one number a unit.
    """

    @staticmethod
    def forward(ctx, features, link):
        ctx.link = link
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.link["ratio"], None


def domain_loss(domain, sources, objective, weight, link):
    """L_D of Eq. 2, 3 from domain scores (N, 2, h, w), the first `sources` of source images.

    Puts the ratio of Eq. 7 into link, where the gate finds it in the backward pass.
    """
    logit = domain[:, 1:2].double() - domain[:, 0:1].double()
    is_source = (torch.arange(len(logit), device=logit.device) < sources).reshape(-1, 1, 1, 1)
    margin = torch.where(is_source, logit, -logit)
    with torch.no_grad():
        if objective == "reversal":
            ratio = torch.full_like(logit, -weight)
        else:                               # confusion
            error = torch.sigmoid(-margin)
            ratio = weight * 0.5 * torch.tanh(0.5 * logit) / torch.where(is_source, -error, error)
        link["ratio"] = ratio.float()
    return functional.softplus(-margin, threshold=LINEAR).mean().float()


class CategoryLoss(torch.autograd.Function):
    """V of Eq. 8 from scores (N, C, h, w), the mean over the images."""

    @staticmethod
    def forward(ctx, scored, rule):
        targets = category_targets(scored.detach().cpu().numpy(), rule)
        gradients = np.stack([target.gradient for target in targets])
        ctx.gradient = torch.from_numpy(gradients) / len(targets)
        return scored.new_tensor(np.mean([target.value for target in targets]))

    @staticmethod
    def backward(ctx, gradient):
        return ctx.gradient.to(gradient.device) * gradient, None
