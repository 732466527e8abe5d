"""Does a net fit this machine?  Caffe aborts when an allocation fails, in the middle of a run."""
import os
import resource

from data.errors import InputError

FLOAT = 4
#: Layers whose tops are views of their bottoms.
_VIEWS = ("Split", "Reshape", "Flatten")


def check_memory(layers, shapes, name, have):
    """InputError when one training step of the net needs more memory than there is.

    layers: the running layers, in order (`net.check_net`); shapes: NetShapes of the built net;
    have: bytes that this process may take where Caffe computes (`device.device_memory`).
    """
    need = training_bytes(layers, shapes)
    if need > have:
        raise InputError(f"{name}: a training step needs at least {need / 1e9:.1f} GB of memory; "
                         f"this process may have {have / 1e9:.1f} GB",
                         "use fewer images a batch or a smaller crop (iter_size makes up for the "
                         "batch)")


def training_bytes(layers, shapes):
    """Bytes that a step allocates on the CPU: blobs, their gradients, parameters, buffers of
    convolutions.

    Parameters count three times: values, gradients and the solver's history.
    """
    total = 3 * FLOAT * sum(_count(shape) for own in shapes.parameters.values() for shape in own)
    learned = set()                           # blobs that the gradient reaches
    made = set()
    for layer in layers:
        own = shapes.parameters[layer.name]
        rates = [layer.param[i].lr_mult if i < len(layer.param) else 1 for i in range(len(own))]
        if any(rates) or learned.intersection(layer.bottom):
            learned.update(layer.top)
        total += FLOAT * _column_buffer(layer, own, shapes)
        if layer.type not in _VIEWS:
            made.update(layer.top)
    return total + FLOAT * sum(
        _count(shapes.blobs[blob]) * (2 if blob in learned else 1) for blob in made)


def _column_buffer(layer, own, shapes):
    """Floats of the im2col buffer of a convolution: one image's patches."""
    if layer.type not in ("Convolution", "Deconvolution") or not own:
        return 0
    kernel = _count(own[0][2:])
    wide, small = ((layer.bottom, layer.top) if layer.type == "Convolution"
                   else (layer.top, layer.bottom))
    if kernel == 1 or not wide or not small:
        return 0
    return kernel * shapes.blobs[wide[0]][1] * _count(shapes.blobs[small[0]][2:])


def _count(shape):
    count = 1
    for side in shape:
        count *= side
    return count


def machine_memory():
    """Bytes that this process may use: the machine's memory, its container's, its own limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                limits.append(int(file.read()))
        except (OSError, ValueError):         # no such cgroup version, or "max"
            pass
    own = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if own != resource.RLIM_INFINITY:
        limits.append(own)
    return min(limits)
