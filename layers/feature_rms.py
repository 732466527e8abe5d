"""Root-mean-square normalisation of each unit's features in numpy (RMSNorm; Zhang, Sennrich 2019).

A unit is one place (image n, row h, column w) with the features R = R_1 ... R_C. With g = dL/dy::

    y = f R,    f = 1 / sqrt(epsilon + mean_c R_c^2)        (one factor f a unit)
    dL/dR = f (g - y mean_c(g_c y_c))

So y has mean square 1 where R is large against epsilon, and a unit whose features are all 0 stays
0. Factors and sums are float64: a float32 sum over 4096 equal channels, taken one after the other,
is wrong by 1e-4 (Caffe's LRN layer takes it so).
"""
import numpy as np

EPSILON = 1e-3


def unit_means(first, second):
    """mean_c of first * second, arrays (N, C, h, w): (N, 1, h, w) float64."""
    # image by image: the sum's inner loop runs along the units, which lie side by side in memory
    sums = [np.einsum("chw,chw->hw", a, b, dtype=np.float64) for a, b in zip(first, second)]
    return np.stack(sums)[:, None] / first.shape[1]


def inverse_rms(mean_squares, epsilon=EPSILON):
    """The factor f of every unit from its mean_c R_c^2, any shape, float64."""
    return 1.0 / np.sqrt(epsilon + mean_squares)


def features_gradient(factors, normalised, gradient):
    """dL/dR (N, C, h, w) from f (N, 1, h, w), y and dL/dy (N, C, h, w), in the type of dL/dy."""
    along = unit_means(gradient, normalised)
    found = np.multiply(normalised, (-along).astype(gradient.dtype))
    found += gradient
    found *= factors.astype(gradient.dtype)
    return found
