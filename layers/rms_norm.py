"""Normalises the features that the domain classifier sees, each unit by itself."""
import caffe
import numpy as np

from data.errors import InputError
from data.params import number, parse_params
from layers import feature_rms, gpu_arrays

OPTIONAL = {"epsilon": (number(1e-12, 1e12), feature_rms.EPSILON)}


class RMSNorm(caffe.Layer):
    """Divides each unit's features by the root of their mean square over the channels.

    The first layer of a domain classifier, behind the DomainGate. With it the classifier sees only
    the features' direction, and they cannot satisfy Eq. 7 by shrinking. Each unit's output depends
    on that unit alone, so the gate's ratio stays exact. Formula, gradient: layers/feature_rms.py.

    bottom: features (N, C, h, w).
    top:    features (N, C, h, w) with mean square 1 over the channels of each unit, 0 where all
            are 0. A blob of its own: the layer does not work in place.

    param_str, optional, for example {"epsilon": 0.001}:
        epsilon   is added to the mean square before the root (default 0.001)
    """

    def setup(self, bottom, top):
        if len(bottom) != 1 or len(top) != 1:
            raise InputError("RMSNorm: takes 1 bottom (features) and 1 top, found "
                             f"{len(bottom)} and {len(top)}")
        self.epsilon = parse_params("RMSNorm", self.param_str, {}, OPTIONAL)["epsilon"]
        self.reshape(bottom, top)
        if bottom[0].data.ctypes.data == top[0].data.ctypes.data:
            raise InputError("RMSNorm: does not work in place",
                             "give its top another name than its bottom")

    def reshape(self, bottom, top):
        shape = list(bottom[0].shape)
        if len(shape) != 4:
            raise InputError(
                f"RMSNorm: the features must have the shape (N, C, h, w), found {shape}")
        top[0].reshape(*shape)                              # N, C, h, w

    def forward(self, bottom, top):
        # 1. mean square of every unit    2. factor f, (N, 1, h, w), float64    3. y = f R
        on_gpu = gpu_arrays.current()
        if on_gpu:
            shape, features, normalised = _addresses(bottom[0].shape, bottom[0], top[0], "data")
            self.factors = feature_rms.inverse_rms(on_gpu.unit_mean_squares(shape, features),
                                                   self.epsilon)
            on_gpu.scale_units(shape, features, on_gpu.ratios(self.factors), normalised)
        else:
            features = bottom[0].data
            self.factors = feature_rms.inverse_rms(feature_rms.unit_means(features, features),
                                                   self.epsilon)
            np.multiply(features, self.factors.astype(np.float32), out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        # dL/dR = f g - y f mean_c(g_c y_c)
        if not propagate_down[0]:
            return
        on_gpu = gpu_arrays.current()
        if on_gpu:
            shape, gradient, found = _addresses(top[0].shape, top[0], bottom[0], "diff")
            normalised = top[0]._gpu_data_ptr
            on_gpu.multiply(shape, gradient, normalised, found)
            along = on_gpu.unit_means(shape, found)
            on_gpu.scale_units(shape, gradient, on_gpu.ratios(self.factors), found)
            on_gpu.add_scaled_units(shape, normalised, on_gpu.ratios(-self.factors * along), found)
        else:
            bottom[0].diff[...] = feature_rms.features_gradient(self.factors, top[0].data,
                                                                top[0].diff)


def _addresses(shape, first, second, part):
    return list(shape), *(getattr(blob, f"_gpu_{part}_ptr") for blob in (first, second))
