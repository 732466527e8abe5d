"""The dilated VGG-16 front-end (Yu and Koltun, 2016), written once as NetSpec.

Layer and blob names are those of the released Caffe models (conv1_1 ... conv5_3,
fc6, fc7, final), so that their weights load by name.

Two geometries come from the same code:

* ``margin 186``: convolutions without padding, as the released models were
  trained.  The input carries a reflected margin of 186 pixels on every side and
  ``final`` measures (input - 372) / 8: an input of 628 labels a window of 256.
* ``margin 0``: convolutions padded with zeros to keep their size; ``final`` measures
  input / 8.  For laptops and tests, where the margin would cost most of the time (an
  input of 628 has six times the pixels of its 256 window).
"""
from caffe import layers as L
from caffe import params as P

from models.shapes import CONVS_A_BLOCK, STRIDE


def _learned(frozen=False, lr_mult=1):
    """`param` of a convolution: biases have twice the rate and no weight decay."""
    if frozen:
        return [dict(lr_mult=0, decay_mult=0)] * 2
    return [dict(lr_mult=lr_mult, decay_mult=1), dict(lr_mult=2 * lr_mult, decay_mult=0)]


def convolution(bottom, channels, kernel=1, dilation=1, padded=True, frozen=False,
                lr_mult=1, std=None):
    """A convolution with the project's fillers.

    bottom (N, K, h, w) -> (N, channels, h, w) when padded, else each side shrinks by
    dilation * (kernel - 1).  `std`: gaussian filler of that deviation instead of MSRA's.
    """
    filler = dict(type="msra") if std is None else dict(type="gaussian", std=std)
    return L.Convolution(
        bottom, num_output=channels, kernel_size=kernel, dilation=dilation,
        pad=dilation * (kernel - 1) // 2 if padded else 0,
        weight_filler=filler, bias_filler=dict(type="constant", value=0),
        param=_learned(frozen, lr_mult))


def trunk(net, shape):
    """Adds conv1_1 ... relu7 over `net.data`; returns the blob R of the paper (relu7).

    data (N, 3, H, W), BGR 0..255 minus the mean -> fc7 (N, shape.fc, h, w), where
    h = (H - 2 * margin) / 8.  pool4 and pool5 are removed; conv5 is dilated by 2 and fc6
    by 4 instead (Yu and Koltun, section 4).
    """
    padded = shape.margin == 0
    bottom = net.data
    for block, (channels, convs) in enumerate(zip(shape.channels, CONVS_A_BLOCK), start=1):
        for conv in range(1, convs + 1):
            name = f"{block}_{conv}"
            net["conv" + name] = bottom = convolution(
                bottom, channels, kernel=3, dilation=2 if block == 5 else 1,
                padded=padded, frozen=block <= shape.frozen_blocks)
            net["relu" + name] = bottom = L.ReLU(bottom, in_place=True)
        if block <= 3:
            net[f"pool{block}"] = bottom = L.Pooling(
                bottom, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    net.fc6 = convolution(bottom, shape.fc, kernel=7, dilation=4, padded=padded)
    net.relu6 = L.ReLU(net.fc6, in_place=True)
    net.drop6 = L.Dropout(net.fc6, dropout_ratio=shape.dropout, in_place=True)
    net.fc7 = convolution(net.drop6, shape.fc)
    net.relu7 = L.ReLU(net.fc7, in_place=True)
    return net.relu7


def scores(net, features, shape, classes):
    """Adds drop7 and `final`: features (N, shape.fc, h, w) -> class scores (N, classes, h, w).

    drop7 has a top of its own, so that the domain classifier beside it sees relu7 itself.
    """
    net.drop7 = L.Dropout(features, dropout_ratio=shape.dropout)
    net.final = convolution(net.drop7, classes, std=0.001)  # gaussian 0.001: Yu and Koltun
    return net.final


def upsampled(bottom, classes):
    """Fixed bilinear upsampling to the label's size: (N, C, h, w) -> (N, C, 8 h, 8 w)."""
    return L.Deconvolution(
        bottom, param=[dict(lr_mult=0, decay_mult=0)],
        convolution_param=dict(num_output=classes, group=classes, kernel_size=2 * STRIDE,
                               stride=STRIDE, pad=STRIDE // 2, bias_term=False,
                               weight_filler=dict(type="bilinear")))
