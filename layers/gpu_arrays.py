"""Copies, scales and averages blobs on the GPU that holds them, for large Python layers.

pycaffe gives a blob's address on the GPU.  The work is done by NVIDIA's own libraries, which a
Caffe for CUDA has loaded.
"""
import ctypes
import math

import caffe
import numpy as np

FLOAT = 4                                               # bytes
HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3      # cudaMemcpyKind
NOT_READY = 600                                         # cudaError_t: work is not done yet
LEFT_SIDE, NOT_TRANSPOSED = 0, 0                        # cublasSideMode_t, cublasOperation_t

_current = None


def use(on):
    """Makes current() return GpuArrays from now on, or None when `on` is False.

    The code that chooses the device calls this.  on: whether Caffe computes on a GPU.
    """
    global _current
    _current = GpuArrays(_library()) if on else None


def current():
    """GpuArrays, or None where the host is to compute: on the CPU and in stock `caffe train`."""
    return _current


def count():
    """How many GPUs this process sees."""
    found = ctypes.c_int()
    _check("cudaGetDeviceCount", _library().cudaGetDeviceCount(ctypes.byref(found)))
    return found.value


class GpuArrays:
    """Operations on arrays at GPU addresses, queued behind Caffe's own work."""

    def __init__(self, library):
        # library: has the functions of libcudart and libcublas
        self._library, self._handle = library, ctypes.c_void_p()
        self._places, self._sizes = {}, {}              # of scratch memory, by name
        _check("cublasCreate", library.cublasCreate_v2(ctypes.byref(self._handle)))

    def synchronize(self):
        """Waits until the GPU has finished all queued work."""
        _check("cudaDeviceSynchronize", self._library.cudaDeviceSynchronize())

    def idle(self):
        """Whether the GPU has finished all queued work; does not wait."""
        status = self._library.cudaStreamQuery(None)
        if status != NOT_READY:
            _check("cudaStreamQuery", status)
        return status != NOT_READY

    def card(self):
        """The address on the machine's PCI bus of the card in use, such as 0000:0F:00.0."""
        number, text = ctypes.c_int(), ctypes.create_string_buffer(32)
        _check("cudaGetDevice", self._library.cudaGetDevice(ctypes.byref(number)))
        _check("cudaDeviceGetPCIBusId",
               self._library.cudaDeviceGetPCIBusId(text, len(text), number))
        return text.value.decode()

    def free_memory(self):
        """Free bytes of the GPU in use."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        _check("cudaMemGetInfo",
               self._library.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)))
        return free.value

    def copy(self, source, target):
        """Copies the data of blob `source` to those of `target`, of the same size."""
        self._memcpy(target._gpu_data_ptr, source._gpu_data_ptr, source.count, DEVICE_TO_DEVICE)

    def multiply(self, shape, first, second, result):
        """result = first * second, number by number; GPU addresses of arrays of `shape`.

        result must not be first.
        """
        count = math.prod(shape)
        _check("cublasSdgmm", self._library.cublasSdgmm(
            self._handle, LEFT_SIDE, count, 1, _at(first), count, _at(second), 1, _at(result),
            count))

    def scale_units(self, shape, values, ratios, result):
        """result (N, C, h, w) = values (N, C, h, w) * ratios (N, 1, h, w), at GPU addresses.

        shape: (N, C, h, w).  result must not be values.
        """
        images, channels, units = _matrices(shape)
        for image in range(images):
            # cuBLAS counts columns first: an image is a matrix of `units` rows, each scaled by its
            # own ratio
            factors, scales, products = (
                _at(address, image * size) for address, size in (
                    (values, channels * units), (ratios, units), (result, channels * units)))
            _check("cublasSdgmm", self._library.cublasSdgmm(
                self._handle, LEFT_SIDE, units, channels, factors, units, scales, 1, products,
                units))

    def add_scaled_units(self, shape, values, ratios, result):
        """result += values * ratios, with the shapes of scale_units."""
        count = math.prod(shape)
        products = self._room("products", count)
        self.scale_units(shape, values, ratios, products)
        _check("cublasSaxpy", self._library.cublasSaxpy_v2(
            self._handle, count, _one(), _at(products), 1, _at(result), 1))

    def unit_mean_squares(self, shape, values):
        """unit_means of the squares of values."""
        products = self._room("products", math.prod(shape))
        self.multiply(shape, values, values, products)
        return self.unit_means(shape, products)

    def unit_means(self, shape, values):
        """Means over the channels of values (N, C, h, w) at a GPU address.

        Returns a (N, 1, h, w) float64 array on the host.
        """
        images, channels, units = _matrices(shape)
        # In two steps of about sqrt(C) numbers each: one long float32 sum would lose four digits.
        part = max(size for size in range(1, math.isqrt(channels) + 1) if channels % size == 0)
        ones = self._ones(channels // part)
        partial, sums = self._room("partial", part * units), self._room("sums", images * units)
        for image in range(images):
            self._sum_columns(part * units, channels // part, _at(values, image * channels * units),
                              ones, _at(partial))
            self._sum_columns(units, part, _at(partial), ones, _at(sums, image * units))
        found = np.empty((images, 1) + tuple(shape[2:]), np.float32)
        self._memcpy(found.ctypes.data, sums, found.size, DEVICE_TO_HOST)
        return found / np.float64(channels)

    def ratios(self, values):
        """The GPU address of a copy of the host array `values`, as float32, until the next call."""
        return self._to_gpu("ratios", np.ascontiguousarray(values, np.float32))

    def _sum_columns(self, rows, columns, matrix, ones, sums):
        _check("cublasSgemv", self._library.cublasSgemv_v2(
            self._handle, NOT_TRANSPOSED, rows, columns, _one(), matrix, rows, _at(ones), 1,
            ctypes.byref(ctypes.c_float(0)), sums, 1))

    def _ones(self, count):
        if count > self._sizes.get("ones", 0):
            self._to_gpu("ones", np.ones(count, np.float32))
        return self._places["ones"]

    def _to_gpu(self, name, values):
        place = self._room(name, values.size)
        self._memcpy(place, values.ctypes.data, values.size, HOST_TO_DEVICE)
        return place

    def _memcpy(self, target, source, count, kind):
        _check("cudaMemcpy", self._library.cudaMemcpy(
            _at(target), _at(source), ctypes.c_size_t(FLOAT * count), kind))

    def _room(self, name, count):
        """The GPU address of scratch memory for `count` floats.

        A name keeps its memory until it has to grow.
        """
        if count > self._sizes.get(name, 0):
            if name in self._places:
                _check("cudaFree", self._library.cudaFree(_at(self._places.pop(name))))
            place = ctypes.c_void_p()
            _check("cudaMalloc", self._library.cudaMalloc(ctypes.byref(place),
                                                          ctypes.c_size_t(FLOAT * count)))
            self._places[name], self._sizes[name] = place.value, count
        return self._places[name]


def _matrices(shape):
    """(images, channels, units an image) of a shape (N, C, h, w)."""
    images, channels, height, width = shape
    return images, channels, height * width


def _at(address, floats=0):
    return ctypes.c_void_p(address + FLOAT * floats)


def _one():
    return ctypes.byref(ctypes.c_float(1))


def _library():
    # importing caffe has loaded the libraries of CUDA
    return ctypes.CDLL(caffe._caffe.__file__)


def _check(function, status):
    if status:
        raise RuntimeError(f"{function} has failed with status {status}")
