"""Caffe builds a net in a child process first: what would abort, aborts there.

A dry run is faithful but cheap.  Layers, shapes, data layers and Python layers are
set up exactly as later; only random fillers are replaced by the constant one (drawing
100 million gaussian numbers for fc6 takes seconds and cannot fail).  Blobs of
activations are not allocated before a forward pass.
"""
import os
import signal
import tempfile

import caffe
from caffe.proto import caffe_pb2

from data.child_process import run_in_child
from data.errors import InputError
from tools.lib.checking import glog
from tools.lib.checking.labels import check_labels
from tools.lib.checking.memory import machine_memory
from tools.lib.checking.net import running_layers
from tools.lib.checking.prototxt import write_prototxt
from tools.lib.checking.shapes import from_json, shapes_of, to_json

SECONDS = 120
#: Random fillers that work for every shape, so that leaving them out hides nothing.
_SAFE_FILLERS = ("gaussian", "uniform", "xavier", "msra")


def dry_run_net(net, phase, name, weights=None, seconds=SECONDS):
    """Builds the net in a child process and returns its NetShapes.

    net: NetParameter (checked, see `net.check_net`); phase: caffe.TRAIN or caffe.TEST;
    name: its file, for errors; weights: a caffemodel that is loaded into it by name.
    Raises InputError with Caffe's or the Python layer's message and the layer it concerns.
    """
    def build(folder):
        path = os.path.join(folder, "net.prototxt")
        write_prototxt(cheap(net), path)
        built = caffe.Net(path, phase)
        if weights is not None:
            built.copy_from(weights)
        return to_json(shapes_of(built, net))
    shapes = from_json(dry_run(build, name, seconds))
    check_labels(running_layers(net, phase, name), shapes, name)
    return shapes


def dry_run_solver(solver, train_net, test_nets, name, seconds=SECONDS):
    """Builds the solver with its nets in a child process; returns the train net's NetShapes.

    solver: SolverParameter; train_net: NetParameter; test_nets: list of NetParameter, in
    Caffe's order (see `solver.test_nets`); name: the solver's file, for errors.
    """
    def build(folder):
        inline = caffe_pb2.SolverParameter()
        inline.CopyFrom(solver)
        for field in ("net", "net_param", "train_net", "train_net_param", "test_net",
                      "test_net_param", "weights"):
            if field in inline.DESCRIPTOR.fields_by_name:
                inline.ClearField(field)
        inline.train_net_param.CopyFrom(cheap(train_net))
        inline.test_net_param.extend(cheap(net) for net in test_nets)
        # Caffe writes a trial file there; the real place is the business of whoever trains
        inline.snapshot_prefix = os.path.join(folder, "trial")
        path = os.path.join(folder, "solver.prototxt")
        write_prototxt(inline, path)
        built = caffe.get_solver(path)
        return [to_json(shapes_of(net, parameter)) for net, parameter
                in zip([built.net] + list(built.test_nets), [train_net] + test_nets)]
    all_shapes = [from_json(content) for content in dry_run(build, name, seconds)]
    for net, shapes in zip([train_net] + test_nets, all_shapes):
        check_labels(running_layers(net, net.state.phase, name), shapes, name)
    return all_shapes[0]


def dry_run(function, name, seconds=SECONDS):
    """Calls function(folder) in a child process; its JSON-able value, or InputError for `name`.

    folder: a folder for the child's own files, deleted afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        outcome = run_in_child(lambda: _speaking(function, folder), seconds, machine_memory())
    layer = glog.last_layer(outcome.stderr)
    where = "%s%s" % (name, ': layer "%s"' % layer if layer else "")
    if outcome.error is not None:
        raise InputError(f"{where}: {outcome.error.what}", outcome.error.fix)
    if outcome.timeout is not None:
        raise InputError(f"{where}: Caffe did not finish building it within {outcome.timeout:g} s",
                         "try again while the machine and its disks are less busy; if it stops at "
                         "the same place, look at "
                         "what is read or computed there")
    if outcome.exception is not None:
        raise InputError(f"{where}: {outcome.exception}")
    if outcome.signal is not None or outcome.status is not None:
        raise InputError(f"{where}: {_last_words(outcome)}")
    return outcome.value


def _speaking(function, folder):
    glog.speak()
    caffe.set_mode_cpu()
    return function(folder)


def _last_words(outcome):
    message = glog.fatal_message(outcome.stderr)
    if message and "host allocation" in message:
        return f"not enough memory: {message}"
    if message:
        return f"Caffe refuses it: {message}"
    if outcome.signal is not None:
        return f"Caffe died of {signal.Signals(outcome.signal).name} while building it"
    return f"Caffe left with exit code {outcome.status} while building it"


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
