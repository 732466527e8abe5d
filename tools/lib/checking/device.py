"""Putting Caffe on the CPU or on a GPU; it ends the process where there is no such GPU."""
import caffe

from data.errors import InputError
from layers import gpu_arrays
from tools.lib.checking.dry_run import dry_run
from tools.lib.checking.memory import machine_memory
from tools.lib.runtime.known_net import passes_of_ones

# GPUs that this process has set, in order: CUDA allows no trial in a fork after the first
_in_use = []

#: One unit of a dilated convolution that adds up nine ones for each of two channels. NVIDIA's
#: libraries have kernels for every card; Caffe's own ReLU shows whether the build has some for it.
TRIAL = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "y" type: "Convolution" bottom: "data" top: "y" convolution_param { num_output: 1 kernel_size: 3 dilation: 2
        weight_filler { type: "constant" value: 1 } } }
layer { name: "z" type: "ReLU" bottom: "y" top: "z" relu_param { engine: CAFFE } }
"""


def use_device(gpu, name):
    """Puts Caffe on the GPU of that number, or on the CPU (None).

    name: the flag or file that asks for it.  Raises InputError where there is no such GPU, no GPU code in
    this Caffe, or none for that card: a child process tries first.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        gpu_arrays.use(False)
        return
    if not _in_use:
        try:
            dry_run(lambda folder: _try(gpu, folder), name)
        except InputError as error:
            raise InputError(error.what, _OTHERWISE) from None
    elif gpu not in _in_use and gpu >= gpu_arrays.count():
        raise InputError(f"{name}: there are {gpu_arrays.count()} GPUs, numbered from 0",
                         _OTHERWISE)
    _set(gpu)
    if gpu_arrays.current() is None or _in_use[-1] != gpu:
        gpu_arrays.use(True)
    _in_use.append(gpu)


_OTHERWISE = "compute on the CPU: --device cpu; what this machine and runtime have: python3 tools/doctor.py"


def device_memory():
    """Bytes that a net may take where Caffe computes: free on the GPU in use, else what the machine
    gives this process."""
    arrays = gpu_arrays.current()
    return machine_memory() if arrays is None else arrays.free_memory()


def _set(gpu):
    caffe.set_device(gpu)
    caffe.set_mode_gpu()


def _try(gpu, folder):
    """A pass through a small net there: a build without code for the card fails at its first kernel
    only."""
    _set(gpu)
    trial_passes(folder)


def trial_passes(folder):
    """Forward and backward through TRIAL where Caffe computes. Raises InputError unless the numbers
    are right."""
    net = passes_of_ones(TRIAL, "z", folder)
    found = float(net.blobs["z"].data.sum()), float(net.blobs["data"].diff.sum())
    if found != (18.0, 18.0):
        raise InputError(
            "a convolution there gives %g forward and %g backward; expected 18 and 18" % found)
