"""The context module (Yu and Koltun, 2016, section 3), for the released dilation10 models.

It stands behind the front-end: 3x3 convolutions of ever wider dilation, which see further without
losing resolution.  Behind the dilations 1, 1, 2, 4, 8, 16, 32, 64 and 1 a unit depends on 259 x 259
units around it.  Each layer is padded with zeros to keep its size.  Names are those of the released
Caffe models.
"""
import caffe
from caffe import layers as L

from models.adaptation import image_input
from models.frontend import convolution, scores, trunk, upsampled

# name: dilation, of the Cityscapes model, which has two layers more than that of Pascal VOC.
LAYERS = (("ctx_conv1_1", 1), ("ctx_conv1_2", 1), ("ctx_conv2_1", 2), ("ctx_conv3_1", 4),
          ("ctx_conv4_1", 8), ("ctx_conv5_1", 16), ("ctx_conv6_1", 32), ("ctx_conv7_1", 64),
          ("ctx_fc1", 1))


def context_module(net, bottom, classes):
    """Adds ctx_conv1_1 ... ctx_final: scores (N, classes, h, w) -> scores of the same shape."""
    for name, dilation in LAYERS:
        net[name] = bottom = convolution(bottom, classes, kernel=3, dilation=dilation)
        net[_relu_of(name)] = bottom = L.ReLU(bottom, in_place=True)
    net.ctx_final = convolution(bottom, classes)
    return net.ctx_final


def context_deploy_net(shape, classes, mean, window):
    """The net for prediction: data (1, 3, H, W) -> ctx_upsample (1, classes, window height, width).

    Arguments as in models.adaptation.deploy_net.  tools/test.py computes `final`
    in tiles, but the module over the whole map: its zero padding would be wrong at a tile's edges.
    """
    net = caffe.NetSpec()
    net.data = image_input(shape, mean, window)
    final = scores(net, trunk(net, shape), shape, classes)
    net.ctx_upsample = upsampled(context_module(net, final, classes), classes)
    return net.to_proto()


def _relu_of(name):
    return name.replace("conv", "relu") if "conv" in name else name + "_relu"
