"""A calculation of the step time on several GPUs and machines; needs neither Caffe nor MPI.

Model: every GPU computes for `compute` seconds, then the gradients are added up in a ring. With
NCCL the ring is between the GPUs. Without it, the gradients travel to the host's memory first, the
ring is between the processes, and the mean travels back. Nothing overlaps: Caffe calls back after
the whole backward pass.
"""
from collections import namedtuple

from models.cost import FLOAT, multiply_adds, parameters

#: The assumptions. flops: multiplications and additions a second that a GPU sustains.
#: bus: bytes a second between a GPU and the host, infinite where no gradient travels there.
#: memory: bytes a second of the ring inside one machine.  network: bytes a second of each machine
#: in the ring between machines.  latency: seconds a message.
Machine = namedtuple("Machine", "flops bus memory network latency")

#: Seconds forward and backward of one image of each domain at 256 x 256 labels, full-width GA + CA,
#: on one H200 (docs/results/gpu.md).
MEASURED = {"TF32": 39.5e-3, "float32": 93.4e-3}
MEASURED_IMAGES, MEASURED_WINDOW = 2, (256, 256)

#: Gradients travel to the host and back.
BUS_TRIPS = 2
#: Forward pass, gradients of the inputs, gradients of the parameters.
PASSES = 3

#: Seconds of a step.
Step = namedtuple("Step", "compute bus exchange")


def step(shape, classes, window, images, processes, machines, machine):
    """The Step of `images` images on each of `processes` GPUs, spread evenly over `machines`.

    window: (height, width) of the labels.
    """
    size = FLOAT * parameters(shape, classes)
    compute = PASSES * 2 * images * multiply_adds(shape, classes, window) / machine.flops
    bus = BUS_TRIPS * size / machine.bus if processes > 1 else 0.0
    rate = machine.memory if machines == 1 else min(machine.memory, machine.network)
    return Step(compute, bus, ring_seconds(size, processes, rate, machine.latency))


def measured_flops(shape, classes):
    """{precision: the Machine.flops at which step() computes as long as MEASURED}."""
    work = PASSES * 2 * MEASURED_IMAGES * multiply_adds(shape, classes, MEASURED_WINDOW)
    return {precision: work / seconds for precision, seconds in MEASURED.items()}


def ring_seconds(size, processes, rate, latency):
    """Seconds of a ring all-reduce of `size` bytes.

    Each of the n processes sends 2 (n - 1) / n times `size`.

    rate: bytes a second; latency: seconds a message.
    """
    if processes == 1:
        return 0.0
    return 2 * (processes - 1) * (size / processes / rate + latency)


def rate_of(size, processes, seconds):
    """Bytes a second of a ring that took `seconds`: the inverse of ring_seconds() at no latency."""
    return 2 * (processes - 1) * size / processes / seconds


def efficiency(timing):
    """Share of the step spent in computing; 1 is perfect scaling."""
    return timing.compute / sum(timing)


def images_for(share, shape, classes, window, processes, machines, machine):
    """Images on each GPU, iter_size included, from which on `share` of a step is computing."""
    one = step(shape, classes, window, 1, processes, machines, machine)
    rest = one.bus + one.exchange
    return max(1, -int(-(share / (1 - share) * rest / one.compute) // 1))
