"""A calculation of the step time on several GPUs and machines.  Apart from Caffe and MPI.

Model: a step computes for `compute` seconds on every GPU, brings its gradients to the host's
memory, adds them up with those of the others in a ring, and takes the mean back. Nothing overlaps:
Caffe's gradient callback comes after the whole backward pass.
"""
from collections import namedtuple

from models.cost import FLOAT, multiply_adds, parameters

#: What the calculation assumes. flops: multiplications and additions a second that a GPU sustains.
#: bus: bytes a second between a GPU and the host.  memory: of the ring inside one machine.
#: network: of the ring between machines, for each machine.  latency: seconds a message.
Machine = namedtuple("Machine", "flops bus memory network latency")

#: gradients travel to the host and back
BUS_TRIPS = 2
#: forward, gradients of the inputs, gradients of the parameters
PASSES = 3

Step = namedtuple("Step", "compute bus exchange")


def step(shape, classes, window, images, processes, machines, machine):
    """Step of one iteration with `images` images on each of `processes` GPUs, spread evenly over
    `machines`."""
    size = FLOAT * parameters(shape, classes)
    compute = PASSES * 2 * images * multiply_adds(shape, classes, window) / machine.flops
    bus = BUS_TRIPS * size / machine.bus if processes > 1 else 0.0
    rate = machine.memory if machines == 1 else min(machine.memory, machine.network)
    return Step(compute, bus, ring_seconds(size, processes, rate, machine.latency))


def ring_seconds(size, processes, rate, latency):
    """Seconds of a ring all-reduce of `size` bytes: every process sends 2 (n - 1) / n of them."""
    if processes == 1:
        return 0.0
    return 2 * (processes - 1) * (size / processes / rate + latency)


def rate_of(size, processes, seconds):
    """Bytes a second of the ring that took so long: the inverse of ring_seconds without latency."""
    return 2 * (processes - 1) * size / processes / seconds


def efficiency(timing):
    """Share of the step that computes: 1 is perfect scaling."""
    return timing.compute / sum(timing)


def images_for(share, shape, classes, window, processes, machines, machine):
    """Images on each GPU (iter_size counts) from which at least `share` of a step computes."""
    one = step(shape, classes, window, 1, processes, machines, machine)
    rest = one.bus + one.exchange
    return max(1, -int(-(share / (1 - share) * rest / one.compute) // 1))
