"""Putting Caffe on the CPU or on a GPU; Caffe ends the process where there is no such GPU."""
import functools

import caffe

from data.child_process import spawn_from_now_on
from data.errors import InputError
from data.machine_memory import machine_memory
from layers import gpu_arrays
from tools.lib.checking.dry_run import dry_run
from tools.lib.device_options import use_tf32
from tools.lib.runtime import source_builds
from tools.lib.runtime.known_net import passes_of_ones

# GPUs that this process has set, in order: after the first, CUDA allows no dry run in a fork
_in_use = []

#: A dilated convolution whose one unit adds up nine ones for each of two channels, and a ReLU.
#: NVIDIA's libraries have kernels for every card; Caffe's own ReLU shows whether the build has some
#: for it.
KNOWN_NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "y" type: "Convolution" bottom: "data" top: "y"
        convolution_param { num_output: 1 kernel_size: 3 dilation: 2
                            weight_filler { type: "constant" value: 1 } } }
layer { name: "z" type: "ReLU" bottom: "y" top: "z" relu_param { engine: CAFFE } }
"""

_REPAIR = ("compute on the CPU: --device cpu; what this machine and runtime have: "
           "python3 tools/doctor.py")


def use_device(gpu, name):
    """Puts Caffe on the GPU of that number, or on the CPU (None).

    name: the flag or file that asks for it.  A child process tries the GPU first: InputError where
    there is none of that number, no GPU code in this Caffe, or none for that card.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        gpu_arrays.use(False)
        return
    if not _in_use:
        require_gpu(gpu, name)
    elif gpu not in _in_use and gpu >= gpu_arrays.count():
        raise InputError(f"{name}: there are {gpu_arrays.count()} GPUs, numbered from 0", _REPAIR)
    set_gpu(gpu)
    spawn_from_now_on()         # a fork has not CUDA's threads
    if gpu_arrays.current() is None or _in_use[-1] != gpu:
        gpu_arrays.use(True)
    _in_use.append(gpu)


def require_gpu(gpu, name):
    """Raises InputError unless a child process can compute on the GPU of that number.

    name: the flag or file that asks for it.  This process must not have used a GPU yet.
    """
    try:
        dry_run(functools.partial(_compute_on, gpu), name)
    except InputError as error:
        raise InputError(error.what, _REPAIR) from None


def use_precision(tf32):
    """Lets Caffe multiply in TF32, or in float32, on the GPU that use_device() takes next.

    Raises InputError for TF32 where the Caffe in use has no such option.
    """
    if tf32 and not source_builds.has_patch(source_builds.TF32_OPTION):
        raise InputError("--tf32: the Caffe in use has no such option",
                         "python3 tools/build/build_caffe.py --variant cuda --activate")
    use_tf32(tf32)


def device_memory():
    """Bytes that a net may take: free ones of the GPU in use, else what this process may have."""
    arrays = gpu_arrays.current()
    return machine_memory() if arrays is None else arrays.free_memory()


def set_gpu(gpu):
    """Puts Caffe on the GPU of that number, which a process has tried before."""
    caffe.set_device(gpu)
    caffe.set_mode_gpu()


def _compute_on(gpu, folder):
    # a build without code for the card fails at its first kernel, not when the card is set
    set_gpu(gpu)
    check_known_net(folder)


def check_known_net(folder):
    """Forward and backward through KNOWN_NET where Caffe computes; InputError for wrong numbers.

    folder: where it may write.
    """
    net = passes_of_ones(KNOWN_NET, "z", folder)
    forward, backward = float(net.blobs["z"].data.sum()), float(net.blobs["data"].diff.sum())
    if (forward, backward) != (18.0, 18.0):
        raise InputError(f"a convolution on it gives {forward:g} forward and {backward:g} "
                         "backward; expected 18 and 18")
