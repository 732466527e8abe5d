"""A gradient reversal layer with one ratio a unit, before the domain classifier."""
import caffe
import numpy as np

from data.errors import InputError
from layers import gpu_arrays


class DomainGate(caffe.Layer):
    """Turns the classifier's gradient (Eq. 6) into that of the features' loss (Eq. 7).

    A gradient reversal layer (Ganin 2015) is the identity forwards, and multiplies the gradient by
    -lambda backwards.  This one multiplies it by one ratio r a unit.  So one backward pass trains
    the classifier on its loss and the features on theirs.

    bottom: features (N, C, h, w), the layer before prediction.
    tops:   features (N, C, h, w), the same values, for the domain classifier and nothing else;
            link (N, 1, h, w), zeros, for DomainAdversarialLoss and nothing else.  The diff of this
            second top carries the gradient ratio r of layers/domain_confusion.py: the loss writes
            it there, and the gate, which runs backwards after the classifier, reads it.

    The first top may have the bottom's name: in place, the gate costs nothing forwards.  On a GPU
    the features stay there unless the gate works in place (layers/gpu_arrays.py).  It takes no
    parameters.  Only layers that keep units separate may stand between gate and loss
    (layers/domain_classifier_check.py).
    """

    def setup(self, bottom, top):
        if len(bottom) != 1 or len(top) != 2:
            raise InputError("DomainGate: takes 1 bottom (features) and 2 tops (features, link), "
                             f"found {len(bottom)} and {len(top)}")
        if self.param_str:
            raise InputError(
                f"DomainGate: takes no parameters, found param_str {self.param_str[:80]!r}",
                "objective and weight belong to DomainAdversarialLoss")
        self.reshape(bottom, top)
        self.in_place = bottom[0].data.ctypes.data == top[0].data.ctypes.data

    def reshape(self, bottom, top):
        shape = list(bottom[0].shape)
        if len(shape) != 4:
            raise InputError(
                f"DomainGate: the features must have the shape (N, C, h, w), found {shape}")
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
        # d(feature loss)/dR = dL_D/dR * r, in one pass over the memory, without a copy
        on_gpu = gpu_arrays.current()
        if propagate_down[0] and on_gpu and not self.in_place:
            on_gpu.scale_units(top[0].shape, top[0]._gpu_diff_ptr, top[1]._gpu_diff_ptr,
                               bottom[0]._gpu_diff_ptr)
        elif propagate_down[0]:
            np.multiply(top[0].diff, top[1].diff, out=bottom[0].diff)
