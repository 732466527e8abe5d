"""From scores to labels: the fixed bilinear upsampling of a deploy net, one class at a time."""
import math

import cv2
import numpy as np

from data.errors import InputError


def label_map(scores, stride, image_size, size=None, last_wins=False):
    """(H, W) uint8: the class with the highest upsampled score.

    scores (C, h, w) float32, image_size and size as in `upsample`; size None: the image's.
    last_wins: whether the last of equal scores wins, and not the first.  One full-size plane of
    scores is held at a time, never all classes.
    """
    size = image_size if size is None else size
    best = np.ascontiguousarray(upsample(scores[0], stride, image_size, size))
    winner = np.zeros(best.shape, np.uint8)
    for number in range(1, scores.shape[0]):
        plane = np.ascontiguousarray(upsample(scores[number], stride, image_size, size))
        higher = cv2.compare(plane, best, cv2.CMP_GE if last_wins else cv2.CMP_GT)
        cv2.max(plane, best, best)
        np.putmask(winner, higher, number)
    return winner


def upsample(plane, stride, image_size, size):
    """One class's scores at `size` (rows, columns) from its score map plane (h, w) float32.

    Bilinear with the centre of unit i at pixel stride * (i + 1/2) - 1/2, as the net's fixed
    Deconvolution does.  At the border the nearest unit is held; the Deconvolution fades all classes
    alike there, and so the order of the classes is the same.  The map covers the image (image_size,
    rows and columns) and perhaps some rows and columns beyond, which are cut off before the scores
    are resized to a `size` that differs.
    """
    full = plane
    if stride != 1:
        full = cv2.resize(plane, (int(plane.shape[1] * stride), int(plane.shape[0] * stride)),
                          interpolation=cv2.INTER_LINEAR)
    full = full[:image_size[0], :image_size[1]]
    if tuple(size) != tuple(image_size):
        full = cv2.resize(full, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return full


def upsampling_stride(layer, window, channels):
    """The stride of a Deconvolution that can be what `upsample` computes.

    window: (kernel, stride, pad, dilation) along both axes; channels: of its input.  Raises
    InputError with the parameter that differs; the weights are `require_bilinear`'s matter.
    """
    param = layer.convolution_param
    kernel, stride, pad, dilation = window
    fixed = dict(num_output=channels, group=channels, kernel_size=2 * stride - stride % 2,
                 pad=math.ceil((stride - 1) / 2), dilation=1)
    found = dict(num_output=param.num_output, group=param.group, kernel_size=kernel, pad=pad,
                 dilation=dilation)
    for field, value in fixed.items():
        if found[field] != value:
            raise InputError(f"layer {layer.name} of type Deconvolution has {field}: "
                             f"{found[field]}; a fixed bilinear upsampling by {stride} has {value}")
    return stride


def require_bilinear(name, blobs):
    """Raises InputError unless the arrays of the Deconvolution `name` are bilinear weights.

    blobs: [weights (C, 1, k, k)], perhaps with a bias (C,), which must be 0.
    """
    kernel = blobs[0].shape[-1]
    half = (kernel + 1) // 2
    ramp = 1 - np.abs(np.arange(kernel) - (kernel - 1) / 2) / half
    if np.abs(blobs[0] - np.outer(ramp, ramp)).max() > 1e-5:
        raise InputError(f"layer {name} of type Deconvolution has weights that are not those of "
                         "bilinear upsampling")
    if len(blobs) > 1 and np.any(blobs[1]):
        raise InputError(f"layer {name} of type Deconvolution has a bias")
