"""Training steps of the GA + CA net in Caffe, one for each line read.

    tools/caffe_python -m tools.bench.caffe_step SPEC

torch_step.py does the same in PyTorch. SPEC is JSON, made by gpu_engines.caffe_engine().
Prints {"version", "parameters": numbers in the net, "free": bytes on the GPU}, then for each line
on standard input {"seconds": of the step, "gradients": of its forward and backward pass, "memory":
bytes allocated so far}. The line "layers" is answered with {name: [seconds forwards and backwards,
bytes touched forwards, bytes touched backwards]} of every layer, in the net's order; the bytes are
null for layers that are not written in Python.
"""
import json
import resource
import sys
import tempfile
import time

import caffe
from caffe.proto import caffe_pb2

from layers import gpu_arrays
from models.build import nets
from models.shapes import Shape
from tools.bench.layer_costs import LayerTraffic, layer_seconds, step_times
from tools.bench.random_nets import experiment
from tools.bench.training_step import BareSteps, gta_solver
from tools.lib.checking.device import device_memory, use_device
from tools.lib.command import run_command

#: How often each layer is timed; the median counts.
LAYER_TURNS = 3


class Device:
    """Where Caffe computes: number of a GPU, or None for the CPU."""

    def __init__(self, gpu):
        use_device(gpu, f"--device gpu:{gpu}")
        self._arrays = gpu_arrays.current()
        self.free = None if gpu is None else device_memory()

    def now(self):
        """The time in seconds, once the GPU has finished its work."""
        if self._arrays:
            self._arrays.synchronize()
        return time.perf_counter()

    def memory(self):
        """Bytes allocated: on a GPU since its context was made; on the CPU the process's peak."""
        if self._arrays:
            return self.free - device_memory()
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def solver_for(gpu):
    """The committed solver of GA + CA for one pass a step, without snapshots."""
    solver = gta_solver("ga_ca")
    for field in ("weights", "net"):
        solver.ClearField(field)
    solver.iter_size, solver.snapshot, solver.snapshot_after_train, solver.display = 1, 0, False, 0
    modes = caffe_pb2.SolverParameter
    solver.solver_mode = modes.CPU if gpu is None else modes.GPU
    solver.device_id = gpu or 0
    return solver


def layer_report(net, device):
    """The answer to the line "layers"."""
    python = {name: layer for name, layer in zip(net._layer_names, net.layers)
              if layer.type == "Python"}
    with LayerTraffic(python) as traffic:
        step_times(net, device.now)
    # again: counting bytes takes time
    turns = [step_times(net, device.now) for _ in range(LAYER_TURNS)]
    return {name: [layer_seconds(turns, name), *traffic.bytes.get(name, (None, None))]
            for name in net._layer_names}


def main():
    spec = json.loads(sys.argv[1])
    device = Device(spec["gpu"])
    sizes = experiment(Shape(*spec["shape"]), tuple(spec["size"]), spec["images"])
    with tempfile.TemporaryDirectory() as folder:
        steps = BareSteps(solver_for(spec["gpu"]), nets(sizes)["ga_ca.prototxt"], sizes, folder,
                          spec["images"], device.now)
    answer(version=caffe.__version__, parameters=steps.parameters(), free=device.free)
    for line in sys.stdin:
        if line.strip() == "layers":
            answer(**layer_report(steps.net, device))
        else:
            times = steps.step()
            answer(memory=device.memory(), **times)


def answer(**values):
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    run_command(main)
