"""The solver prototxt of a run with every value filled in, its schedule, and its output files.

The user's prototxts leave values open: seed, initial weights, device and output folder. resolve()
writes them into copies of the solver and its nets. Caffe trains from these copies, which lie in
the output folder and are complete: stock `caffe train` runs them too.

The schedule says when a solver displays, tests and snapshots, and gives its learning rate: pure
functions of a caffe_pb2.SolverParameter and an iteration. Iterations count from 0 and name the
weights BEFORE the update, as in Caffe's own log.
"""
import bisect
import copy
import json
import math
import os
from collections import namedtuple

from caffe.proto import caffe_pb2

from data.errors import InputError
from data.files import ROOT, require_utf8, write_whole
from tools.lib.checking.net import DATA_LAYER, load_net, running_layers
from tools.lib.checking.solver_file import find_file, load_solver
from tools.lib.device_options import gpu_number

#: name: of the solver's file, without its ending. param: SolverParameter. nets: {file name in the
#: output folder: NetParameter}. output: absolute folder. prefix: start of the snapshots' names.
Resolved = namedtuple("Resolved", "name param nets seed output prefix")

#: A test_interval that no run reaches.
NEVER = 2 ** 31 - 1
#: How to go on when a file of the run could not be written.
MAKE_ROOM = "Make room, then give the same command with --resume."


def resolve(options):
    """The Resolved run of the options that run.parse() returns.

    InputError when a prototxt cannot be read or asks for something that is not supported, or a
    path cannot stand in one.
    """
    output = output_folder(options)
    for path in [options.solver, output, *(options.weights or ())]:
        require_utf8(path, "Caffe")
    param = load_solver(options.solver)
    name = os.path.splitext(os.path.basename(options.solver))[0]
    if param.snapshot_format != caffe_pb2.SolverParameter.BINARYPROTO:
        raise InputError(f"{options.solver}: snapshot_format: HDF5 is not supported",
                         "Use BINARYPROTO, or leave the field out.")
    prefix = os.path.basename(param.snapshot_prefix) or name
    seed = options.seed
    if seed is None:
        seed = param.random_seed if param.random_seed >= 0 else 1
    param.random_seed = seed
    param.snapshot_prefix = display_path(os.path.join(output, prefix))
    if options.max_iter is not None:
        param.max_iter = options.max_iter
    if options.weights is not None:
        given = [display_path(path) for path in options.weights]
    else:                   # in Caffe, one value may be a list with commas
        given = [path for entry in param.weights for path in entry.split(",") if path]
    param.ClearField("weights")
    param.weights.extend(given)
    _set_device(param, options.device)
    nets = _take_nets(param, options.solver, output)
    for net in [*nets.values(), *_inline_nets(param)]:
        _set_seed(net, seed)
    return Resolved(name, param, nets, seed, output, prefix)


def train_layers(resolved):
    """The LayerParameters that run in the train net of a Resolved run, in order."""
    param = resolved.param
    # a checked solver names one train net
    found = [resolved.nets[name] for name in ("train_net.prototxt", "net.prototxt")
             if name in resolved.nets]
    found += [getattr(param, field) for field in ("train_net_param", "net_param")
              if param.HasField(field)]
    return _layers(found[0], caffe_pb2.TRAIN, param.train_state, resolved.name)


def layers_of_tests(resolved):
    """[the LayerParameters that run in a test net, in order] of a Resolved run, in Caffe's order.
    """
    param, count = resolved.param, len(resolved.param.test_iter)
    nets = list(param.test_net_param)
    nets += [resolved.nets[f"test_net_{k}.prototxt"] for k in range(len(param.test_net))]
    generic = resolved.nets.get("net.prototxt", param.net_param)
    states = list(param.test_state) or [caffe_pb2.NetState()] * count
    return [_layers(net, caffe_pb2.TEST, state, resolved.name)
            for net, state in zip(nets + [generic] * (count - len(nets)), states)]


def _layers(net, phase, state, name):
    copied = caffe_pb2.NetParameter()
    copied.CopyFrom(net)
    copied.state.MergeFrom(state)
    return running_layers(copied, phase, name)


def output_folder(options):
    """Absolute path of --output, or runs/<solver name> in the repository."""
    name = os.path.splitext(os.path.basename(options.solver))[0]
    return options.output or os.path.join(ROOT, "runs", name)


def engine_param(resolved, folder):
    """The SolverParameter for Caffe: display, tests and snapshots are left to the loop.

    folder: where Caffe writes a snapshot when the loop asks for one.
    """
    param = copy.deepcopy(resolved.param)
    for field in ("net", "train_net"):
        if param.HasField(field):
            setattr(param, field, from_display_path(getattr(param, field)))
    tests = [from_display_path(path) for path in param.test_net]
    param.ClearField("test_net")
    param.test_net.extend(tests)
    if len(param.test_iter):
        param.test_interval = NEVER
        param.test_initialization = False
    # With debug_info, Caffe prints the blobs' magnitudes, but only at `display`.
    param.display = param.display if param.debug_info else 0
    param.snapshot = 0
    param.snapshot_prefix = os.path.join(folder, resolved.prefix)
    param.ClearField("weights")
    return param


def display_path(path):
    """A path for files and messages: relative to the repository when inside it."""
    inside = os.path.relpath(path, ROOT)
    return path if inside.startswith(os.pardir) else inside


def from_display_path(path):
    """The absolute path of a path that display_path() returned."""
    return os.path.join(ROOT, path)


def write_run_file(path, text):
    """Writes a file of the output folder whole; InputError with MAKE_ROOM when it cannot.

    The lock of the output folder makes this process the file's only writer.
    """
    write_whole(path, text, MAKE_ROOM, only_writer=True)


def use_data_root(options):
    """Sets --data-root as the data sets' folder for this process and its children."""
    if options.data_root is not None:
        os.environ["DATA_ROOT"] = options.data_root


def _set_device(param, device):
    if device is None:
        if not param.HasField("solver_mode"):
            param.solver_mode = caffe_pb2.SolverParameter.CPU
    elif device == "cpu":
        param.solver_mode = caffe_pb2.SolverParameter.CPU
    else:
        param.solver_mode = caffe_pb2.SolverParameter.GPU
        param.device_id = gpu_number(device, param.device_id)


def _take_nets(param, solver_path, output):
    """Loads the net files of the solver, and names their copies in the output folder instead.

    Returns {file name of the copy: NetParameter}.
    """
    nets = {}

    def take(path, field, file_name):
        nets[file_name] = load_net(find_file(path, solver_path, field))
        return display_path(os.path.join(output, file_name))

    if param.HasField("net"):
        param.net = take(param.net, "net", "net.prototxt")
    if param.HasField("train_net"):
        param.train_net = take(param.train_net, "train_net", "train_net.prototxt")
    tests = [take(path, "test_net", f"test_net_{k}.prototxt")
             for k, path in enumerate(param.test_net)]
    param.ClearField("test_net")
    param.test_net.extend(tests)
    return nets


def _inline_nets(param):
    nets = [getattr(param, field) for field in ("net_param", "train_net_param")
            if param.HasField(field)]
    return nets + list(param.test_net_param)


def _set_seed(net, seed):
    """Writes the seed into the data layers, and into other Python layers with a key "seed"."""
    for layer in net.layer:
        keys = python_keys(layer)
        if keys is not None and ("seed" in keys or layer.python_param.module == DATA_LAYER):
            keys["seed"] = seed
            layer.python_param.param_str = json.dumps(keys)


def python_keys(layer):
    """The param_str of a Python layer as a dict, or None when it is not a JSON object."""
    try:
        keys = json.loads(layer.python_param.param_str) if layer.type == "Python" else None
    except (ValueError, RecursionError):
        return None
    return keys if isinstance(keys, dict) else None


def displays_at(param, iteration):
    """True when Caffe would print the losses of this iteration."""
    return param.display > 0 and iteration % param.display == 0


def tests_at(param, iteration):
    """True when the test nets run before this iteration's update."""
    return (len(param.test_iter) > 0 and param.test_interval > 0
            and iteration % param.test_interval == 0
            and (iteration > 0 or param.test_initialization))


def tests_before(param, iteration):
    """How often the test nets have run before the test of this iteration."""
    count = iteration // param.test_interval
    return count if param.test_initialization else count - 1


def snapshots_at(param, iteration):
    """True when `iteration` updates are a multiple of the snapshot interval."""
    return param.snapshot > 0 and iteration > 0 and iteration % param.snapshot == 0


def learning_rate(param, iteration):
    """The rate of this iteration's update, by caffe.proto's lr_policy; None for another policy."""
    base, gamma, power = param.base_lr, param.gamma, param.power
    policy = param.lr_policy
    if policy == "fixed":
        return base
    if policy == "step":
        return base * gamma ** (iteration // param.stepsize)
    if policy == "exp":
        return base * gamma ** iteration
    if policy == "inv":
        return base * (1 + gamma * iteration) ** -power
    if policy == "multistep":
        return base * gamma ** bisect.bisect_right(list(param.stepvalue), iteration)
    if policy == "poly":
        return base * max(0.0, 1 - iteration / param.max_iter) ** power
    if policy == "sigmoid":
        return base / (1 + math.exp(-gamma * (iteration - param.stepsize)))
    return None
