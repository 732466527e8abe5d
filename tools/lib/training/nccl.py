"""Means of gradients over the GPUs of several processes, by NVIDIA's NCCL.

NCCL reads and writes the gradients at their addresses on the GPU. MPI starts the processes and
distributes the id of their communicator; after that, gradients do not pass through the host.
NCCL is called through ctypes, with the names and numbers of its nccl.h.
"""
import ctypes
import os
import platform
import time

from layers import gpu_arrays
from tools.lib.runtime import source_builds

LIBRARY = "libnccl.so.2"
#: Version 2.10 as ncclGetVersion counts: the first that takes means.
OLDEST = 21000
FLOAT32, MEAN = 7, 4                    # ncclDataType_t, ncclRedOp_t
DEFAULT_STREAM = None                   # Caffe's: what follows waits for the exchange
#: Seconds between two looks at a running exchange.
PAUSE = 5e-5


class UniqueId(ctypes.Structure):
    """ncclUniqueId: NCCL takes it by value."""

    _fields_ = [("bytes", ctypes.c_ubyte * 128)]


def connect(communicator):
    """(GpuMeans, None) in every process, or (None, reason) in every process.

    communicator: of mpi4py; every process calls this with its GPU in use. The reason is why NCCL
    cannot be used, such as a library that is missing on one machine. Raises RuntimeError when NCCL
    itself fails.
    """
    library, card, unique, reason = None, None, b"", None
    try:
        library = load()
        card = platform.node(), gpu_arrays.current().card()
        if communicator.rank == 0:
            unique = new_id(library)
    except RuntimeError as problem:
        reason = str(problem)
    reasons, cards, ids = zip(*communicator.allgather((reason, card, unique)))
    for rank, found in enumerate(reasons):
        if found:
            return None, f"{found} (process {rank})"
    if len(set(cards)) < len(cards):
        return None, "two processes use the same card"
    return GpuMeans(library, communicator.rank, communicator.size, ids[0]), None


def load():
    """NCCL's library, of the build of Caffe in use or of the system. RuntimeError without one."""
    build = source_builds.selected()
    paths = [os.path.join(build, source_builds.CUDA_LIB, LIBRARY)] if build else []
    for path in paths + [LIBRARY]:
        try:
            library = ctypes.CDLL(path)
            break
        except OSError as problem:
            reason = str(problem)
    else:
        raise RuntimeError(f"no NCCL: {reason}")
    library.ncclGetErrorString.restype = ctypes.c_char_p
    version = ctypes.c_int()
    _check(library, "ncclGetVersion", library.ncclGetVersion(ctypes.byref(version)))
    if version.value < OLDEST:
        raise RuntimeError(f"NCCL of version {version.value} is older than {OLDEST}")
    return library


def new_id(library):
    """The 128 bytes by which the processes of one communicator find each other."""
    unique = UniqueId()
    _check(library, "ncclGetUniqueId", library.ncclGetUniqueId(ctypes.byref(unique)))
    return bytes(unique)


class GpuMeans:
    """This process's place in NCCL's communicator.

    library: has NCCL's functions; unique: the id that new_id() made in process 0. Waits until all
    `size` processes are there.
    """

    def __init__(self, library, rank, size, unique):
        self._library, self._handle = library, ctypes.c_void_p()
        self._call("ncclCommInitRank", ctypes.byref(self._handle), ctypes.c_int(size),
                   UniqueId.from_buffer_copy(unique), ctypes.c_int(rank))

    def average_gradients(self, net):
        """Replaces every gradient of the net by its mean over the processes, on the GPU.

        Returns the seconds that this took, waiting for the other processes included. RuntimeError
        when NCCL reports a failure, its own or that of a connection.
        """
        gpu = gpu_arrays.current()
        gpu.synchronize()               # the backward pass is not part of the exchange
        started = time.monotonic()
        # NCCL sends what stands between these two calls together, however small the arrays are
        self._call("ncclGroupStart")
        for address, count in gradients(net).items():
            self._call("ncclAllReduce", ctypes.c_void_p(address), ctypes.c_void_p(address),
                       ctypes.c_size_t(count), FLOAT32, MEAN, self._handle, DEFAULT_STREAM)
        self._call("ncclGroupEnd")
        # A look now and then, and not one long call: Python notices signals meanwhile, and a
        # connection that breaks would keep the GPU waiting for ever.
        while not gpu.idle():
            failure = ctypes.c_int()
            self._call("ncclCommGetAsyncError", self._handle, ctypes.byref(failure))
            _check(self._library, "the exchange", failure.value)
            time.sleep(PAUSE)
        return time.monotonic() - started

    def _call(self, function, *arguments):
        _check(self._library, function, getattr(self._library, function)(*arguments))


def gradients(net):
    """{address on the GPU: number of floats} of the net's gradients, a shared one once."""
    return {blob._gpu_diff_ptr: blob.count for blobs in net.params.values() for blob in blobs}


def _check(library, function, status):
    if status:
        text = library.ncclGetErrorString(status).decode()
        raise RuntimeError(f"{function} has failed: {text} ({status})")
