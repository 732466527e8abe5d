"""Copying and scaling blobs on the GPU that they lie on: the two things a large Python layer needs
no host for.

pycaffe gives a blob's address on the GPU; what works on it are NVIDIA's own libraries, which a
Caffe for CUDA has loaded.
"""
import ctypes

import caffe

FLOAT = 4                                               # bytes
DEVICE_TO_DEVICE, LEFT_SIDE = 3, 0                      # cudaMemcpyKind, cublasSideMode_t

_current = None


def use(on):
    """Says whether Caffe computes on a GPU from now on, in this process; whoever chooses the device
    calls it."""
    global _current
    _current = GpuArrays(_library()) if on else None


def current():
    """GpuArrays, or None on the CPU and where nobody has said (stock `caffe train`): then the host
    computes."""
    return _current


def count():
    """How many GPUs this process sees."""
    found = ctypes.c_int()
    _check("cudaGetDeviceCount", _library().cudaGetDeviceCount(ctypes.byref(found)))
    return found.value


class GpuArrays:
    """library: has the functions of libcudart and libcublas. Everything is queued behind Caffe's
    own work."""

    def __init__(self, library):
        self._library, self._handle = library, ctypes.c_void_p()
        _check("cublasCreate", library.cublasCreate_v2(ctypes.byref(self._handle)))

    def synchronize(self):
        """Waits until the GPU has done all that was asked of it."""
        _check("cudaDeviceSynchronize", self._library.cudaDeviceSynchronize())

    def free_memory(self):
        """Bytes of the GPU in use that nobody has taken."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        _check("cudaMemGetInfo",
               self._library.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)))
        return free.value

    def copy(self, source, target):
        """The data of blob `source` into those of `target`, of the same size."""
        _check(
            "cudaMemcpy",
            self._library.cudaMemcpy(ctypes.c_void_p(target._gpu_data_ptr),
                                     ctypes.c_void_p(source._gpu_data_ptr),
                                     ctypes.c_size_t(FLOAT * source.count), DEVICE_TO_DEVICE))

    def scale_units(self, gradient, ratio, result):
        """result.diff (N, C, h, w) = gradient.diff (N, C, h, w) * ratio.diff (N, 1, h, w); result
        is another blob than gradient."""
        images, channels, height, width = gradient.shape
        units = height * width
        addresses = [blob._gpu_diff_ptr for blob in (gradient, ratio, result)]
        for image in range(images):
            # cuBLAS counts columns first: an image is a matrix of `units` rows, each scaled by its
            # own ratio
            factors, scales, products = (address + FLOAT * image * size for address, size in zip(
                addresses, (channels * units, units, channels * units)))
            _check(
                "cublasSdgmm",
                self._library.cublasSdgmm(self._handle, LEFT_SIDE, units, channels,
                                          ctypes.c_void_p(factors), units, ctypes.c_void_p(scales),
                                          1, ctypes.c_void_p(products), units))


def _library():
    # Caffe's own module brings the libraries of CUDA with it
    return ctypes.CDLL(caffe._caffe.__file__)


def _check(function, status):
    if status:
        raise RuntimeError(f"{function} has failed with status {status}")
