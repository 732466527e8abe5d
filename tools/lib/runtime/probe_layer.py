"""The smallest Python layer: the doctor runs it to see that Caffe finds and calls such layers."""
import caffe


class Twice(caffe.Layer):
    """top = 2 bottom, any shape."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff
