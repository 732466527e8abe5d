"""Putting Caffe on the CPU or on a GPU; it ends the process where there is no such GPU."""
import caffe

from data.errors import InputError
from layers import gpu_arrays
from tools.checking.rehearsal import rehearse

_in_use = []              # GPUs that this process has set: CUDA allows no trial in a fork after that


def use_device(gpu, name):
    """Puts Caffe on the GPU of that number, or on the CPU (None).

    name: the flag or file that asks for it.  Raises InputError where there is no such GPU, or
    no GPU code in this Caffe: a child process tries first.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        gpu_arrays.use(False)
        return
    if not _in_use:
        try:
            rehearse(lambda folder: _set(gpu), name)
        except InputError as error:
            raise InputError(error.what, "compute on the CPU: --device cpu; what this machine and runtime have: "
                                         "python tools/doctor.py") from None
    _set(gpu)
    gpu_arrays.use(True)
    _in_use.append(gpu)


def _set(gpu):
    caffe.set_device(gpu)
    caffe.set_mode_gpu()
