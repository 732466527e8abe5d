"""The gate between the features and the domain classifier: identity forwards, one ratio a unit
backwards."""
import caffe
import numpy as np

from data.errors import InputError
from layers import gpu_arrays


class DomainGate(caffe.Layer):
    """Turns the classifier's gradient (Eq. 6) into that of the features' own loss (Eq. 7), in the
    one backward pass.

    bottom: features (N, C, h, w), the layer before prediction.
    tops:   features (N, C, h, w), the same values, for the domain classifier and nothing else;
            link (N, 1, h, w), zeros, for DomainAdversarialLoss and nothing else. Its diff carries
            the ratio r of layers/domain_confusion.py from the loss to the gate, which runs
            backwards after the classifier.
    The first top may have the bottom's name: working in place, the gate costs nothing forwards. On
    a GPU the features
    stay there unless it works in place: layers/gpu_arrays.py.
    It takes no parameters. Between gate and loss only 1x1 convolutions are right:
    layers/domain_classifier_check.py.
    """

    def setup(self, bottom, top):
        if len(bottom) != 1 or len(top) != 2:
            raise InputError("DomainGate: takes 1 bottom (features) and 2 tops (features, link), "
                             "found {} and {}".format(
                len(bottom), len(top)))
        if self.param_str:
            raise InputError(
                "DomainGate: takes no parameters, found param_str {!r}".format(self.param_str[:80]),
                "objective and weight belong to DomainAdversarialLoss")
        self.reshape(bottom, top)
        self.in_place = bottom[0].data.ctypes.data == top[0].data.ctypes.data

    def reshape(self, bottom, top):
        shape = list(bottom[0].shape)
        if len(shape) != 4:
            raise InputError(
                "DomainGate: the features must have the shape (N, C, h, w), found {}".format(shape))
        top[0].reshape(*shape)                              # N, C, h, w
        top[1].reshape(shape[0], 1, shape[2], shape[3])     # N, 1, h, w

    def forward(self, bottom, top):
        on_gpu = gpu_arrays.current()
        if on_gpu and not self.in_place:
            on_gpu.copy(bottom[0], top[0])
        elif not self.in_place:
            top[0].data[...] = bottom[0].data
        top[1].data[...] = 0

    def backward(self, top, propagate_down, bottom):
        # d(feature loss)/dR = dL_D/dR * r: one pass over the memory, no copy between.
        on_gpu = gpu_arrays.current()
        if propagate_down[0] and on_gpu and not self.in_place:
            on_gpu.scale_units(top[0].shape, top[0]._gpu_diff_ptr, top[1]._gpu_diff_ptr,
                               bottom[0]._gpu_diff_ptr)
        elif propagate_down[0]:
            np.multiply(top[0].diff, top[1].diff, out=bottom[0].diff)
