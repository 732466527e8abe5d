"""A dry run: Caffe builds a net in a child process first, and what would abort, aborts there.

A dry run is faithful but cheap.  Layers, shapes, data layers and Python layers are
set up exactly as later; only random fillers are replaced by the constant one (drawing
100 million gaussian numbers for fc6 takes seconds and cannot fail).  Blobs of
activations are not allocated before a forward pass.

A dry run gives the shapes of the net's blobs and parameters (NetShapes).  When the child
dies, Caffe's own log tells why and in which layer.
"""
import ctypes
import functools
import os
import re
import signal
import tempfile
from collections import namedtuple

import caffe
from caffe.proto import caffe_pb2

from data.child_process import run_in_child
from data.errors import InputError
from data.machine_memory import machine_memory
from tools.lib.checking.gradients import check_gradients
from tools.lib.checking.net import check_labels, running_layers
from tools.lib.checking.prototxt import write_prototxt
from tools.lib.checking.stock_data import LabelWatch, check_image_lists

SECONDS = 120
#: Random fillers that work for every shape, so that leaving them out hides nothing.
_SAFE_FILLERS = ("gaussian", "uniform", "xavier", "msra")

#: Shapes of a built net, tuples of ints.  blobs: {blob name: shape};  parameters: {layer name:
#: [shape, ...]} of every layer, [] without parameters;  fixed: names of the layers whose fillers
#: make their right values and that never learn (bilinear upsampling).
NetShapes = namedtuple("NetShapes", "blobs parameters fixed")

# glog: "F1208 10:15:00.1 77 net.cpp:53] message", until the stack trace or the next line of the log
_FATAL = re.compile(r"^F\d{4,8} [\d:.]+ +\d+ ([\w.]+:\d+)\] (.*?)(?=^\*\*\* |^[IWEF]\d{4,8} |\Z)",
                    re.M | re.S)
# of the two passes: the lines of whole_step.py
_LAYER = re.compile(r"(?:Creating Layer|Setting up|(Forward|Backward) pass of) (.*)$", re.M)
_CHECK = re.compile(r"^Check failed: ")


def dry_run_net(net, phase, name, weights=None, seconds=SECONDS):
    """Builds the net in a child process and returns its NetShapes.

    net: NetParameter (checked, see `net.check_net`); phase: caffe.TRAIN or caffe.TEST;
    name: its file, for errors; weights: a caffemodel that is loaded into it by name.
    Raises InputError with Caffe's or the Python layer's message and the layer it concerns.
    """
    layers = running_layers(net, phase, name)
    check_image_lists(layers, name)
    build = functools.partial(_build_net, net, phase, weights, layers, name)
    return _checked(dry_run(build, name, seconds), layers, phase, name)


def dry_run_solver(solver, train_net, test_nets, name, seconds=SECONDS):
    """Builds the solver with its nets in a child process; returns the train net's NetShapes.

    solver: SolverParameter; train_net: NetParameter; test_nets: list of NetParameter, in
    Caffe's order (see `solver_file.load_nets`); name: the solver's file, for errors.
    """
    nets = [train_net] + test_nets
    every = [running_layers(net, net.state.phase, name) for net in nets]
    for layers in every:
        check_image_lists(layers, name)
    build = functools.partial(_build_and_check, solver, nets, every, name)
    return [_checked(found, layers, net.state.phase, name)
            for found, layers, net in zip(dry_run(build, name, seconds), every, nets)][0]


def _label_fault(built, layers, name):
    """(what, fix) of a label in the first batches that no score belongs to; None without one."""
    try:
        LabelWatch(built, layers, name).first_batches()
    except InputError as fault:
        return fault.what, fault.fix
    return None


def _checked(found, layers, phase, name):
    """NetShapes from what the child found, after labels and gradients have been checked."""
    content, fault = found
    shapes = _from_json(content)
    check_labels(layers, shapes, name)
    if phase == caffe.TRAIN:
        check_gradients(layers, shapes, name)
    if fault is not None:
        raise InputError(*fault)
    return shapes


class NotFinished(InputError):
    """The child process of a dry run was stopped because it took too long."""


def dry_run(function, name, seconds=SECONDS, doing="building it"):
    """Calls function(folder) in a child process; returns its value, of what JSON can hold.

    folder: a folder for the child's own files, deleted afterwards; doing: what the child does, in
    words.  Raises InputError for `name`, with the layer that Caffe was busy with, for whatever ends
    the child without a value; NotFinished after `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        outcome = run_in_child(functools.partial(_on_the_cpu, function, folder), seconds,
                               machine_memory())
    layer, step = _last_layer(outcome.stderr)
    where = f'{name}: layer "{layer}"' if layer else name
    if outcome.error is not None:
        raise InputError(f"{where}: {outcome.error.what}", outcome.error.fix)
    if outcome.timeout is not None:
        raise NotFinished(f"{where}: Caffe did not finish {doing} within {outcome.timeout:g} s",
                          "try again while the machine and its disks are less busy; if it stops at "
                          "the same place, look at what is read or computed there")
    if outcome.exception is not None:
        raise InputError(f"{where}: {outcome.exception}")
    if outcome.signal is not None or outcome.status is not None:
        place = f" in its {step.lower()} pass" if step else ""
        raise InputError(f"{where}: {_cause_of_death(outcome, place, doing)}")
    return outcome.value


def _on_the_cpu(function, folder):
    enable_logging()
    caffe.set_mode_cpu()
    return function(folder)


def _build_net(net, phase, weights, layers, name, folder):
    path = os.path.join(folder, "net.prototxt")
    write_prototxt(cheap(net), path)
    built = caffe.Net(path, phase)
    if weights is not None:
        built.copy_from(weights)
    return shapes_of(built, net), _label_fault(built, layers, name)


def _build_and_check(solver, nets, every, name, folder):
    built = build_solver(solver, [cheap(net) for net in nets], folder)
    return [(shapes_of(built_net, net), _label_fault(built_net, layers, name))
            for built_net, net, layers in zip([built.net] + list(built.test_nets), nets, every)]


def build_solver(solver, nets, folder):
    """Caffe's solver of a SolverParameter with these NetParameters, the train net first.

    folder: where it may write; the run's own folder is not made yet.
    """
    inline = caffe_pb2.SolverParameter()
    inline.CopyFrom(solver)
    for field in ("net", "net_param", "train_net", "train_net_param", "test_net",
                  "test_net_param", "weights"):
        if field in inline.DESCRIPTOR.fields_by_name:
            inline.ClearField(field)
    inline.train_net_param.CopyFrom(nets[0])
    inline.test_net_param.extend(nets[1:])
    # Caffe tries out whether it can write there
    inline.snapshot_prefix = os.path.join(folder, "snapshot")
    path = os.path.join(folder, "solver.prototxt")
    write_prototxt(inline, path)
    return caffe.get_solver(path)


def _cause_of_death(outcome, place, doing):
    """The last part of the message; place: " in its forward pass", or "" while `doing`."""
    message = fatal_message(outcome.stderr)
    if message and "host allocation" in message:
        return f"not enough memory: {message}"
    if message:
        return f"Caffe refuses it{place}: {message}"
    if outcome.signal is not None:
        return f"Caffe died of {signal.Signals(outcome.signal).name}{place or f' while {doing}'}"
    return f"Caffe left with exit code {outcome.status}{place or f' while {doing}'}"


def cheap(net):
    """A copy of the NetParameter with random fillers replaced by constants."""
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(net)
    for layer in copy.layer:
        for field, value in layer.ListFields():
            if not field.name.endswith("_param") or field.message_type is None:
                continue
            for inner, given in value.ListFields():
                if inner.message_type is not caffe_pb2.FillerParameter.DESCRIPTOR:
                    continue
                for filler in given if inner.label == inner.LABEL_REPEATED else [given]:
                    if filler.type in _SAFE_FILLERS and filler.sparse < 0:
                        filler.Clear()
    return copy


def shapes_of(net, net_parameter=None):
    """NetShapes of a caffe.Net.  net_parameter: its NetParameter, for `fixed`."""
    return NetShapes(
        {name: tuple(blob.shape) for name, blob in net.blobs.items()},
        {name: [tuple(blob.shape) for blob in layer.blobs]
         for name, layer in zip(net._layer_names, net.layers)},
        _fixed_layers(net_parameter) if net_parameter is not None else [])


def _fixed_layers(net_parameter):
    """Names of the layers that need no weights from a file: lr_mult 0 and the bilinear filler."""
    return [layer.name for layer in net_parameter.layer
            if layer.convolution_param.weight_filler.type == "bilinear"
            and layer.param and not any(spec.lr_mult for spec in layer.param)]


def _from_json(content):
    """NetShapes from what JSON has made of them: nested lists."""
    blobs, parameters, fixed = content
    return NetShapes({name: tuple(shape) for name, shape in blobs.items()},
                     {name: [tuple(shape) for shape in own] for name, own in parameters.items()},
                     fixed)


def enable_logging():
    """Makes Caffe log everything to stderr from now on, whatever GLOG_minloglevel is.

    The level is a variable of libglog that is read from the environment once, at import.
    Returns False, having done nothing, where libglog cannot be found.
    """
    try:
        with open("/proc/self/maps") as maps:
            path = next(line.split()[-1] for line in maps if "libglog.so" in line)
        library = ctypes.CDLL(path)
        ctypes.c_int.in_dll(library, "_ZN3fLI17FLAGS_minloglevelE").value = 0
        ctypes.c_bool.in_dll(library, "_ZN3fLB17FLAGS_logtostderrE").value = True
    except (OSError, StopIteration, ValueError):
        return False
    return True


def fatal_message(text):
    """The message of the CHECK that ended a process, in one line, or None.

    text: what the process wrote to stderr.
    """
    found = _FATAL.search(text)
    if not found:
        return None
    message = _CHECK.sub("", " ".join(found.group(2).split()))
    return f"{message} ({found.group(1)})"


def _last_layer(text):
    """(layer, pass) that Caffe was busy with last; pass: Forward, Backward, or "" in set-up."""
    found = _LAYER.findall(text)
    return (found[-1][1].strip(), found[-1][0]) if found else (None, "")
