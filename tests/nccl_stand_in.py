"""Stand-ins for NVIDIA's libraries and for blobs on a GPU, which lie in the host's memory here.

They check what is called with what, as nccl.h and the manual of CUDA's runtime describe it.
"""
import ctypes

import numpy as np

ID = bytes(range(1, 128)) + b"\0"
HANDLE = 4711


class Blob:
    """Has a number of floats and addresses only."""

    def __init__(self, values):
        self.values = np.ascontiguousarray(values, np.float32)
        self.count, self._gpu_diff_ptr = self.values.size, self.values.ctypes.data


class Net:
    """params: {layer: [Blob]}."""

    def __init__(self, **params):
        self.params = params


class Gpu:
    """Has the functions of CUDA's runtime and of cuBLAS that the exchange needs.

    looks: how often the GPU says that it is not ready; card: its address on the bus.
    """

    def __init__(self, looks=0, card=b"0000:0F:00.0"):
        self.looks, self._card, self.waited = looks, card, 0

    def cublasCreate_v2(self, handle):
        return 0

    def cudaDeviceSynchronize(self):
        self.waited += 1
        return 0

    def cudaStreamQuery(self, stream):
        assert stream is None
        self.looks -= 1
        return 600 if self.looks >= 0 else 0

    def cudaGetDevice(self, number):
        number._obj.value = 3
        return 0

    def cudaDeviceGetPCIBusId(self, text, size, number):
        assert number.value == 3 and size > len(self._card)
        text.value = self._card
        return 0


class Nccl:
    """Has the functions of NCCL. send: called with the arrays of a group, to average in place.

    failing: {function: status} of those that fail.
    """

    def __init__(self, send, failing=()):
        self._send, self._failing = send, dict(failing)
        self._group, self.calls, self.place = None, [], None

    def _called(self, function):
        self.calls.append(function)
        return self._failing.get(function, 0)

    def ncclGetErrorString(self, status):
        return b"text of %d" % status

    def ncclGetUniqueId(self, unique):
        assert ctypes.sizeof(unique._obj) == 128
        ctypes.memmove(ctypes.byref(unique._obj), ID, 128)
        return self._called("ncclGetUniqueId")

    def ncclCommInitRank(self, handle, size, unique, rank):
        assert bytes(unique) == ID and isinstance(unique, ctypes.Structure)
        self.place = rank.value, size.value
        handle._obj.value = HANDLE
        return self._called("ncclCommInitRank")

    def ncclGroupStart(self):
        assert self._group is None
        self._group = []
        return self._called("ncclGroupStart")

    def ncclAllReduce(self, source, target, count, kind, operation, communicator, stream):
        # ncclFloat32, ncclAvg, in place, on Caffe's stream
        assert (kind, operation, communicator.value, stream) == (7, 4, HANDLE, None)
        assert source.value == target.value and isinstance(count, ctypes.c_size_t)
        pointer = ctypes.cast(target, ctypes.POINTER(ctypes.c_float))
        self._group.append(np.ctypeslib.as_array(pointer, (count.value,)))
        return self._called("ncclAllReduce")

    def ncclGroupEnd(self):
        arrays, self._group = self._group, None
        self._send(arrays)
        return self._called("ncclGroupEnd")

    def ncclCommGetAsyncError(self, communicator, status):
        assert communicator.value == HANDLE
        status._obj.value = self._called("ncclCommGetAsyncError")
        return 0
