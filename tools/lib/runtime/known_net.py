"""A net with known numbers, run once forwards and backwards: whether Caffe computes right."""
import os

import caffe

#: A dilated convolution, then a Python layer.
DILATED_THEN_PYTHON = """
force_backward: true
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 1 kernel_size: 3 pad: 2 dilation: 2
                            weight_filler { type: "constant" value: 1 } } }
layer { name: "twice" type: "Python" bottom: "conv" top: "twice"
        python_param { module: "tools.lib.runtime.known_net" layer: "Twice" } }
"""


class Twice(caffe.Layer):
    """The smallest Python layer: top = 2 bottom, any shape."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff


def passes_of_ones(text, output, folder):
    """The net after one pass forward and one backward, from ones.

    Its blob `data` is filled with ones, and so is the gradient of the blob `output`.

    text: a net prototxt.  folder: where the text is written for Caffe to read.
    """
    path = os.path.join(folder, "known.prototxt")
    with open(path, "w") as file:
        file.write(text)
    net = caffe.Net(path, caffe.TRAIN)
    net.blobs["data"].data[...] = 1
    net.forward()
    net.blobs[output].diff[...] = 1
    net.backward()
    return net


def python_layers_work(folder):
    """True when DILATED_THEN_PYTHON gives the right numbers in both directions."""
    net = passes_of_ones(DILATED_THEN_PYTHON, "twice", folder)
    # nine taps over two channels of ones, doubled; nine outputs read the input at the centre
    return bool(net.blobs["twice"].data[0, 0, 2, 2] == 36
                and net.blobs["data"].diff[0, 0, 2, 2] == 18)
