"""Gate and RMSNorm on blobs that lie on a GPU.

Stand-ins take the place of the blobs and of NVIDIA's functions, as their manuals describe them.
"""
import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from layers import feature_rms, gpu_arrays  # noqa: E402
from layers.domain_gate import DomainGate  # noqa: E402
from layers.rms_norm import RMSNorm  # noqa: E402


class Blob:
    """Has addresses only; the small link has host arrays too."""

    def __init__(self, data, diff, on_host=False):
        self.values = [np.ascontiguousarray(values, np.float32) for values in (data, diff)]
        self.shape, self.count = self.values[0].shape, self.values[0].size
        self._gpu_data_ptr, self._gpu_diff_ptr = (values.ctypes.data for values in self.values)
        if on_host:
            self.data, self.diff = self.values


def floats(pointer, count):
    return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (count,))


class Library:
    """Stands for CUDA's memory and cuBLAS, whose matrices are column-major.

    Sdgmm: C = diag(x) A for side 0.  Sgemv: y = alpha A x + beta y for operation 0.  Saxpy: y +=
    alpha x.
    """
    status = 0

    def __init__(self):
        self.memory = {}

    def cublasCreate_v2(self, handle):
        return self.status

    def cudaMemcpy(self, target, source, size, kind):
        assert kind in (1, 2, 3)
        ctypes.memmove(target, source, size.value)
        return self.status

    def cudaMalloc(self, place, size):
        memory = ctypes.create_string_buffer(b"\xff" * size.value, size.value)     # nan
        place._obj.value = ctypes.addressof(memory)
        self.memory[place._obj.value] = memory
        return self.status

    def cudaFree(self, place):
        del self.memory[place.value]
        return self.status

    def cublasSgemv_v2(self, handle, operation, rows, columns, alpha, a, lda, x, incx, beta, y,
                       incy):
        assert (operation, lda, incx, incy, beta._obj.value) == (0, rows, 1, 1, 0)
        matrix = floats(a, rows * columns).reshape(columns, rows).T
        floats(y, rows)[...] = alpha._obj.value * matrix @ floats(x, columns)
        return self.status

    def cublasSaxpy_v2(self, handle, count, alpha, x, incx, y, incy):
        assert incx == incy == 1
        floats(y, count)[...] += alpha._obj.value * floats(x, count)
        return self.status

    def cublasSdgmm(self, handle, side, rows, columns, a, lda, x, stride, c, ldc):
        assert side == 0 and stride == 1 and rows <= lda and rows <= ldc
        assert a.value != c.value
        matrix = floats(a, lda * columns).reshape(columns, lda).T[:rows]
        floats(c, ldc * columns).reshape(columns, ldc).T[:rows] = floats(x, rows)[:, None] * matrix
        return self.status


@pytest.fixture
def blobs(monkeypatch):
    """(features, the gate's features, link) of 2 images, 3 channels, 2 x 5 units, on a GPU."""
    monkeypatch.setattr(gpu_arrays, "_current", gpu_arrays.GpuArrays(Library()))
    draw = np.random.RandomState(1)
    big, small = (2, 3, 2, 5), (2, 1, 2, 5)
    return (Blob(draw.normal(size=big), np.zeros(big)), Blob(np.zeros(big), draw.normal(size=big)),
            Blob(np.ones(small), draw.normal(size=small), on_host=True))


def test_forwards_the_features_are_copied_where_they_lie(blobs):
    features, gated, link = blobs
    DomainGate.forward(SimpleNamespace(in_place=False), [features], [gated, link])
    assert np.array_equal(gated.values[0], features.values[0]) and not link.data.any()


def test_backwards_each_unit_of_each_image_has_its_own_ratio(blobs):
    features, gated, link = blobs
    DomainGate.backward(SimpleNamespace(in_place=False), [gated, link], [True], [features])
    assert np.allclose(features.values[1], gated.values[1] * link.diff, rtol=1e-6)


def test_features_that_want_no_gradient_get_none(blobs):
    features, gated, link = blobs
    DomainGate.backward(SimpleNamespace(in_place=False), [gated, link], [False], [features])
    assert not features.values[1].any()


@pytest.mark.parametrize("channels", [1, 3, 12, 64, 67])
def test_features_are_normalised_where_they_lie(blobs, channels):
    draw = np.random.RandomState(channels)
    layer = SimpleNamespace(epsilon=1e-3)
    for shape in ((2, channels, 2, 5), (3, channels, 4, 5)):        # the second one needs more room
        features, gradient = draw.normal(size=(2, *shape))
        bottom, top = Blob(features, np.zeros(shape)), Blob(np.zeros(shape), gradient)
        RMSNorm.forward(layer, [bottom], [top])
        RMSNorm.backward(layer, [top], [True], [bottom])
        factors = feature_rms.inverse_rms(feature_rms.unit_means(features, features))
        assert np.allclose(top.values[0], features * factors, rtol=1e-5)
        assert np.allclose(bottom.values[1], feature_rms.features_gradient(
            factors, features * factors, gradient), rtol=1e-4, atol=1e-5)


def test_a_function_that_fails_is_named(blobs, monkeypatch):
    monkeypatch.setattr(Library, "status", 7)
    with pytest.raises(RuntimeError, match="cudaMemcpy.*7"):
        gpu_arrays.current().copy(blobs[0], blobs[1])


def test_waiting_for_the_gpu_asks_cuda_and_says_when_that_fails(blobs, monkeypatch):
    monkeypatch.setattr(Library, "cudaDeviceSynchronize", lambda self: self.status, raising=False)
    gpu_arrays.current().synchronize()
    monkeypatch.setattr(Library, "status", 7)
    with pytest.raises(RuntimeError, match="cudaDeviceSynchronize.*7"):
        gpu_arrays.current().synchronize()


def test_caffes_own_libraries_come_with_it_and_the_cpu_needs_none():
    # the functions of CUDA would be found the same way
    assert ctypes.CDLL(caffe._caffe.__file__).cblas_sgemm
    gpu_arrays.use(False)
    assert gpu_arrays.current() is None
