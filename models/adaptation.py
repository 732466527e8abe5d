"""Builds the train nets of the stages, and the deploy net that they share.

Equation 1: L = L_seg(I_S, L_S) + L_da(I_S, I_T) + L_mi(I_T, P_LS).  One net holds all terms of its
stage.  The trunk runs once over source and target images together, which are concatenated on the
batch axis, source first.
"""
import json

import caffe
from caffe import layers as L
from caffe import params as P

from models.frontend import convolution, scores, trunk, upsampled
from models.shapes import STRIDE


def source_target_data(data, shape, target_images):
    """The Python data layer; `data` holds its keys apart from the number of target images."""
    keys = dict(data, margin=shape.margin, target_images=target_images)
    if not target_images:
        for key in ("target", "target_resize", "target_scale", "target_jitter"):
            keys.pop(key, None)
    return L.Python(module="layers.source_target_data", layer="SourceTargetData", ntop=2,
                    param_str=json.dumps(keys, sort_keys=True))


def train_net(shape, classes, data, target_images=0, domain=None, categories=None):
    """A train net as NetParameter.

    shape: models.shapes.Shape.  classes: number of scores.  data: keys of the data layer.
    domain: None, or dict(objective, weight, lr_mult, steps, normalised): adds the domain classifier
    (1x1 convolutions of `shape.hidden` channels, then 2) behind the gate, Eq. 2 to 7; steps: its
    updates an iteration; normalised: it sees each unit's features divided by their root mean
    square.
    categories: None, or dict(loss_weight, **param_str of ConstrainedMILLoss): adds Eq. 8.
    Either needs target_images > 0 (ValueError).
    """
    if (domain or categories) and not target_images:
        raise ValueError("adaptation needs target images in the batch")
    net = caffe.NetSpec()
    net.data, net.label = source_target_data(data, shape, target_images)
    features = trunk(net, shape)
    final = scores(net, features, shape, classes)
    if target_images:
        net.final_source, net.final_target = L.Slice(
            final, ntop=2, axis=0, slice_point=data["source_images"])
        final = net.final_source
    net.score = upsampled(final, classes)
    net.seg_loss = L.SoftmaxWithLoss(
        net.score, net.label, loss_weight=1,
        loss_param=dict(ignore_label=255, normalization=P.Loss.VALID))
    if domain:
        _domain_classifier(net, features, shape, data["source_images"], **domain)
    if categories:
        _constrained_mil(net, **categories)
    elif target_images:
        net.unused_target_scores = L.Silence(net.final_target, ntop=0)
    return net.to_proto()


def _domain_classifier(net, features, shape, source_images, objective, weight, lr_mult, steps,
                       normalised):
    """Adds the gate, the classifier and its loss, Eq. 2 to 7."""
    net.domain_features, net.domain_link = L.Python(
        features, module="layers.domain_gate", layer="DomainGate", ntop=2)
    bottom = net.domain_features
    if normalised:
        net.domain_normalised = bottom = L.Python(
            bottom, module="layers.rms_norm", layer="RMSNorm")
    for index, channels in enumerate(shape.hidden, start=1):
        net[f"domain_fc{index}"] = bottom = convolution(bottom, channels, lr_mult=lr_mult)
        net[f"domain_relu{index}"] = bottom = L.ReLU(bottom, in_place=True)
        net[f"domain_drop{index}"] = bottom = L.Dropout(
            bottom, dropout_ratio=shape.dropout, in_place=True)
    net.domain_score = convolution(bottom, 2, lr_mult=lr_mult, std=0.01)
    keys = dict(objective=objective, weight=weight, source_images=source_images)
    if steps > 1:       # 1 is the layer's default
        keys["classifier_steps"] = steps
    (net.domain_loss, net.domain_loss_inverse,
     net.domain_accuracy_source, net.domain_accuracy_target) = L.Python(
         net.domain_score, net.domain_link, ntop=4, loss_weight=[1, 0, 0, 0],
         module="layers.domain_adversarial_loss", layer="DomainAdversarialLoss",
         param_str=json.dumps(keys, sort_keys=True))


def _constrained_mil(net, loss_weight, **keys):
    """Adds the loss on the target's scores, Eq. 8; keys: its param_str."""
    net.mil_loss, net.mil_present, net.mil_active, net.mil_relaxed = L.Python(
        net.final_target, ntop=4, loss_weight=[loss_weight, 0, 0, 0],
        module="layers.constrained_mil_loss", layer="ConstrainedMILLoss",
        param_str=json.dumps(keys, sort_keys=True))


def deploy_net(shape, classes, mean, window):
    """The net for prediction: data (1, 3, H, W) -> score (1, classes, window height, width).

    The mean to subtract (BGR) stands in the input's transform_param, where Caffe keeps means: it
    belongs to the weights, not to the data set that they are tested on.  window: (height, width) in
    pixels, multiples of 8 (ValueError); the net may be reshaped to other windows.
    """
    net = caffe.NetSpec()
    net.data = image_input(shape, mean, window)
    net.score = upsampled(scores(net, trunk(net, shape), shape, classes), classes)
    return net.to_proto()


def image_input(shape, mean, window):
    """The input of a deploy net: one image of the window and its margin."""
    if any(side % STRIDE for side in window):
        raise ValueError(f"window {window}: sides must be multiples of {STRIDE}")
    return L.Input(
        input_param=dict(shape=dict(dim=[1, 3] + [side + 2 * shape.margin for side in window])),
        transform_param=dict(mean_value=list(mean)))
