"""A net that trains in milliseconds, with everything random in it, and ways to run it."""
import json
import os
import signal
import sys
import time

import caffe
import matplotlib
import numpy as np

from data.child_process import die_with_parent
from data.errors import InputError
from tools.lib.training.run import main

# Runs draw their plot in a forked child: imported here, pyplot need not be imported in each.
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: F401


class CountedNoise(caffe.Layer):
    """tops: data (4, 3, 8, 8), label (4, 1, 8, 8): batch k is a function of (seed, k).

    param_str: {"seed": n} and, where a test wants a fault, "nan_at": k for a nan in batch k,
    "fail_at": k for an error, "signal_at": [k, number, ...] for signals to this process during
    batch k, "nap": seconds for a batch.
    """

    def setup(self, bottom, top):
        self.keys = json.loads(self.param_str)
        self.position = 0

    def set_position(self, position):
        self.position = position

    def reshape(self, bottom, top):
        top[0].reshape(4, 3, 8, 8)
        top[1].reshape(4, 1, 8, 8)

    def forward(self, bottom, top):
        draw = np.random.RandomState((self.keys["seed"] * 1000 + self.position) % 2 ** 32)
        top[0].data[...] = draw.normal(size=top[0].shape)
        top[1].data[...] = top[0].data.sum(axis=1, keepdims=True) > 0
        if self.keys.get("nan_at") == self.position:
            top[0].data[1, 2, 3, 4] = np.nan
        if self.keys.get("fail_at") == self.position:
            raise InputError("list.txt:7: broken.png cannot be read")
        if self.keys.get("signal_at", [None])[0] == self.position:
            for number in self.keys["signal_at"][1:]:
                os.kill(os.getpid(), number)
        time.sleep(self.keys.get("nap", 0))
        self.position += 1

    def backward(self, top, propagate_down, bottom):
        pass


DATA = """layer { name: "data" type: "Python" top: "data" top: "label"
        python_param { module: "tiny_training" layer: "CountedNoise" param_str: '%s' } }
"""
LAYERS = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
%slayer { name: "final" type: "Convolution" bottom: "conv" top: "final"
        convolution_param { num_output: 2 kernel_size: 1
                            weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "seg_loss" type: "SoftmaxWithLoss" bottom: "final" bottom: "label" top: "seg_loss" }
"""
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }\n'
#: Without Python layers and randomness: stock Caffe runs it too.
STILL = """name: "still"
layer { name: "data" type: "DummyData" top: "data" top: "label"
        dummy_data_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 }
                           shape { dim: 2 dim: 1 dim: 6 dim: 6 }
                           data_filler { type: "constant" value: 0.5 }
                           data_filler { type: "constant" value: 1 } } }
""" + LAYERS % ""
#: With the real data layer: shuffling, crops, a worker process.
TOY = """name: "toy"
layer { name: "data" type: "Python" top: "data" top: "label" python_param {
  module: "layers.source_target_data" layer: "SourceTargetData"
  param_str: '{"source": {"dataset": "toy", "split": "source_train[:5]"}, '
             '"target": {"dataset": "toy", "split": "target_train[:7]"}, '
             '"source_images": 1, "target_images": 1, "crop": [16, 24], '
             '"mean": [128, 128, 128], "workers": 1}' } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1
                            weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "final" type: "Convolution" bottom: "conv" top: "final"
        convolution_param { num_output: 8 kernel_size: 1
                            weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "slice" type: "Slice" bottom: "final" top: "source" top: "target"
        slice_param { axis: 0 } }
layer { name: "quiet" type: "Silence" bottom: "target" }
layer { name: "seg_loss" type: "SoftmaxWithLoss" bottom: "source" bottom: "label" top: "seg_loss"
        loss_param { ignore_label: 255 } }
"""
#: The deploy net of TOY.
TOY_DEPLOY = """name: "toy_deploy"
layer { name: "data" type: "Input" top: "data"
        transform_param { mean_value: 128 }
        input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "final" type: "Convolution" bottom: "conv" top: "final"
        convolution_param { num_output: 8 kernel_size: 1 } }
"""
SOLVER = dict(base_lr=0.01, lr_policy='"step"', gamma=0.5, stepsize=3, momentum=0.9,
              weight_decay=0.0005, max_iter=8, iter_size=2, display=1, snapshot=2,
              snapshot_prefix='"tiny"', random_seed=5)


def net_text(dropout=DROPOUT, **data):
    """The tiny net; data: the faults of its data layer (see CountedNoise)."""
    return 'name: "tiny"\n' + DATA % json.dumps(dict(seed=1, **data)) + LAYERS % dropout


def write_run(folder, net=None, extra="", **fields):
    """Writes net.prototxt and tiny.prototxt into a pathlib folder; returns the solver's path.

    fields: of SOLVER, to change; None leaves one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.prototxt").write_text(net if net is not None else net_text())
    lines = [f'net: "{folder / "net.prototxt"}"']
    lines += [f"{name}: {value}" for name, value in dict(SOLVER, **fields).items()
              if value is not None]
    path = folder / "tiny.prototxt"
    path.write_text("\n".join(lines) + "\n" + extra + "\n")
    return str(path)


def train(solver, output, *options):
    """main() in this process; returns its exit code.  cwd is put back."""
    before = os.getcwd()
    try:
        return main(["--solver", str(solver), "--output", str(output)] + [str(o) for o in options])
    finally:
        os.chdir(before)


def start(solver, output, *options):
    """main() in a forked process, which ends with this one; returns the process number.

    Its output goes to <output>.txt. Exit code 2 is an InputError, 3 another exception.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        die_with_parent(parent)
        file = os.open(str(output) + ".txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        # in place of those that pytest captures
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = train(solver, output, *options)
    except InputError as problem:
        os.write(2, f"error: {problem}\n".encode())
        code = 2
    except BaseException as problem:
        os.write(2, f"exception: {problem!r}\n".encode())
    finally:
        os._exit(code)


def finish(pid):
    """Waits for a started process; returns its exit code, or minus the signal that killed it."""
    status = os.waitpid(pid, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


def wait_for(condition, pid, seconds=60):
    """Waits until condition() or until the started process has ended (it is not reaped)."""
    deadline = time.monotonic() + seconds
    while not condition() and os.waitid(os.P_PID, pid,
                                        os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        assert time.monotonic() < deadline, f"still waiting after {seconds:g} s"
        time.sleep(0.001)


def entries(output, kind):
    """The log's entries of a kind."""
    from tools.lib.training.log import read_log
    return [entry for entry in read_log(os.path.join(str(output), "log.jsonl"))
            if entry["kind"] == kind]


def model(output, iteration):
    """The bytes of a snapshot's caffemodel."""
    with open(os.path.join(str(output), f"tiny_iter_{iteration}.caffemodel"), "rb") as file:
        return file.read()


def parameters(path):
    """{(layer, number): array} of a caffemodel's parameters."""
    net = caffe.proto.caffe_pb2.NetParameter()
    with open(str(path), "rb") as file:
        net.ParseFromString(file.read())
    return {(layer.name, number): np.array(blob.data)
            for layer in net.layer
            for number, blob in enumerate(layer.blobs)}
