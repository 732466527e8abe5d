"""The options that choose where a command computes, --device and --tf32, apart from Caffe."""
import argparse
import os
import re

from data.errors import InputError

#: Values of --device. "gpu" alone is the GPU that a solver names, or the first.
DEVICE = re.compile(r"cpu|gpu(:[0-9]{1,4})?")
#: Environment variable that Caffe reads when it makes its cuBLAS handle: "1" is TF32.
TF32_VARIABLE = "CAFFE_TF32"


def device(text):
    """argparse type: the text of one device, such as "cpu" or "gpu:0"."""
    if not DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected cpu or gpu:N, found {text}")
    return text


def devices(text):
    """argparse type: ["cpu"], or the GPUs of "gpu:0,gpu:1" in order, each once."""
    names = ["gpu:0" if name == "gpu" else device(name) for name in text.split(",")]
    numbers = [gpu_number(name) for name in names]
    if len(set(numbers)) < len(numbers) or (None in numbers and len(numbers) > 1):
        raise argparse.ArgumentTypeError("expected cpu, or GPUs with each number once, for "
                                         f"example gpu:0,gpu:1; found {text}")
    return names


def gpu_number(name, default=0):
    """Number of the GPU that a device names; None for the CPU, `default` for "gpu" alone."""
    return None if name == "cpu" else int(name.partition(":")[2] or default)


def add_devices_arguments(parser):
    """Adds the options of commands that start several commands, which compute."""
    parser.add_argument("--device", type=devices, metavar="cpu|gpu:N[,gpu:N]",
                        help="where the commands compute, one at a time on each GPU (default: "
                             "as earlier runs of the same stages, else the CPU)")
    add_tf32_argument(parser)


def add_tf32_argument(parser):
    """Adds --tf32 of commands that compute."""
    parser.add_argument("--tf32", action="store_true",
                        help="on a GPU: multiply matrices in TF32, which is faster and keeps 10 "
                             "bits of the mantissa; a resumed run keeps its setting")


def asks_for_tf32(option, on_gpu):
    """Whether a command asks for TF32: by its option, or by the variable for a GPU.

    Raises InputError for the option on the CPU.
    """
    if option and not on_gpu:
        raise InputError("--tf32 is a way to compute on a GPU, and the device is the CPU",
                         "leave out --tf32, or name a GPU: --device gpu:0")
    return on_gpu and (option or tf32_in_use())


def use_tf32(on):
    """Switches TF32 on or off for the Caffe of this process, before it is put on a GPU.

    Caffe reads the variable when it makes its cuBLAS handle, at its first call on a GPU.
    """
    os.environ[TF32_VARIABLE] = str(int(on))


def tf32_in_use():
    """Whether the environment of this process asks Caffe for TF32."""
    return os.environ.get(TF32_VARIABLE) == "1"
