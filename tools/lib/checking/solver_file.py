"""Reading and checking a solver prototxt."""
import math
import os

from caffe.proto import caffe_pb2

from data.errors import InputError
from data.files import ROOT
from tools.lib.checking.net import check_net, load_net
from tools.lib.checking.prototxt import did_you_mean, read_prototxt
from tools.lib.checking.upgrade import upgrade_net

#: The learning rate policies of Caffe and the fields each needs.
POLICIES = {"fixed": (), "step": ("gamma", "stepsize"), "exp": ("gamma",),
            "inv": ("gamma", "power"), "multistep": ("gamma", "stepvalue"),
            "poly": ("power",), "sigmoid": ("gamma", "stepsize")}
SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
#: AdaGrad and RMSProp stop Caffe when they are given a momentum.
WITHOUT_MOMENTUM = ("AdaGrad", "RMSProp")
#: Bytes of a snapshot's name before Caffe's "_iter_N.solverstate"; file systems take 255 in all.
LONGEST_PREFIX = 200
_OLD_TYPES = {0: "SGD", 1: "Nesterov", 2: "AdaGrad", 3: "RMSProp", 4: "AdaDelta", 5: "Adam"}
_TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


def load_solver(path):
    """Reads and checks a solver prototxt; returns its caffe_pb2.SolverParameter.

    The old enumeration `solver_type` becomes `type`.  The nets it names are looked for
    (see `find_file`) but not read: `load_nets` does that.  Raises InputError.
    """
    solver = read_prototxt(path, caffe_pb2.SolverParameter(), "solver")
    if solver.HasField("solver_type"):
        if solver.HasField("type") and solver.type != _OLD_TYPES[solver.solver_type]:
            raise InputError(f"{path}: solver_type (the old field) is "
                             f'{_OLD_TYPES[solver.solver_type]} and type is "{solver.type}"; '
                             "expected `type` alone")
        solver.type = _OLD_TYPES[solver.solver_type]
        solver.ClearField("solver_type")
    _check_numbers(solver, path)
    _check_learning_rate(solver, path)
    _check_method(solver, path)
    _check_nets(solver, path)
    return solver


def find_file(name, origin, field):
    """The path of a file that a prototxt names.

    It is sought from the current folder, then from the repository's root.  origin: the prototxt;
    field: its field, for the InputError when there is no such file.
    """
    if "\0" not in name:
        for path in (name, os.path.join(ROOT, name)):
            if os.path.isfile(path):
                return path
    raise InputError(f'{origin}: {field} "{name}" does not exist; expected a file relative to the '
                     "current folder or to the repository's root")


def load_nets(solver, path):
    """The nets of a checked solver: (train net, list of test nets), each a checked NetParameter.

    In Caffe's order and with the net states that Caffe would give them.  path: the
    solver's file, for errors.
    """
    generic = _from_fields(solver, path, "net", "net_param")
    own = _from_fields(solver, path, "train_net", "train_net_param")
    train = _with_state((own or generic)[0], caffe_pb2.TRAIN, solver.train_state, path)
    tests = (_from_fields(solver, path, "test_net_param", "test_net")
             + generic * len(solver.test_iter))[:len(solver.test_iter)]
    states = list(solver.test_state) or [None] * len(tests)
    return train, [_with_state(net, caffe_pb2.TEST, state, path)
                   for net, state in zip(tests, states)]


def _from_fields(solver, path, *fields):
    """[(NetParameter, its name)] of inline nets and net files, in the order of `fields`."""
    nets = []
    for field in fields:
        value = getattr(solver, field)
        if not field.startswith("test_net"):
            value = [value] if solver.HasField(field) else []
        for item in value:
            if isinstance(item, str):
                name = find_file(item, path, field)
                nets.append((load_net(name), name))
            else:
                name = f"{path} ({field})"
                copy = caffe_pb2.NetParameter()
                copy.CopyFrom(item)
                nets.append((upgrade_net(copy, name), name))
    return nets


def _with_state(named, phase, state, path):
    net = caffe_pb2.NetParameter()
    net.CopyFrom(named[0])
    merged = caffe_pb2.NetState(phase=phase)
    merged.MergeFrom(net.state)
    if state is not None:
        merged.MergeFrom(state)
    if merged.phase != phase:
        raise InputError(f"{named[1]}: the {caffe_pb2.Phase.Name(phase)} net of {path} has phase "
                         f"{caffe_pb2.Phase.Name(merged.phase)} in its state")
    net.state.CopyFrom(merged)
    check_net(net, phase, named[1])
    return net


def _fail(path, field, value, expected):
    shown = f"{value:g}" if isinstance(value, float) else value
    raise InputError(f"{path}: {field} is {shown}; expected {expected}")


def _one_of(names, found):
    return f"one of {', '.join(names)}{did_you_mean(found, names)}"


def _check_numbers(solver, path):
    """Every number within what Caffe takes."""
    for field, value in solver.ListFields():
        if field.cpp_type == field.CPPTYPE_FLOAT and not math.isfinite(value):
            _fail(path, field.name, value, "a finite number")
    at_least = {"iter_size": 1, "average_loss": 1, "max_iter": 0, "display": 0, "snapshot": 0,
                "test_interval": 0, "device_id": 0, "weight_decay": 0}
    for field, least in at_least.items():
        if getattr(solver, field) < least:
            _fail(path, field, getattr(solver, field), f"at least {least}")
    if not solver.HasField("max_iter"):
        raise InputError(f"{path}: max_iter is missing; expected the number of iterations")
    if solver.snapshot and not solver.snapshot_prefix:
        raise InputError(f"{path}: snapshot is {solver.snapshot} and snapshot_prefix is missing; "
                         'expected a prefix such as "snapshots/train"')
    stem = os.path.basename(solver.snapshot_prefix)
    if "\0" in solver.snapshot_prefix or len(stem.encode()) > LONGEST_PREFIX:
        raise InputError(f"{path}: snapshot_prefix ends in a name of {len(stem.encode())} bytes; "
                         f"expected at most {LONGEST_PREFIX}, without zero bytes")


def _check_learning_rate(solver, path):
    if not solver.HasField("base_lr"):
        raise InputError(f"{path}: base_lr is missing; expected a learning rate above 0")
    if solver.base_lr <= 0:
        _fail(path, "base_lr", solver.base_lr, "a number above 0")
    policy = solver.lr_policy
    if policy not in POLICIES:
        _fail(path, "lr_policy", f'"{policy}"', _one_of(POLICIES, policy))
    for field in POLICIES[policy]:
        missing = not solver.stepvalue if field == "stepvalue" else not solver.HasField(field)
        if missing:
            raise InputError(f'{path}: {field} is missing; lr_policy "{policy}" needs '
                             f"{' and '.join(POLICIES[policy])}")
    if "gamma" in POLICIES[policy] and solver.gamma < 0:
        _fail(path, "gamma", solver.gamma, "at least 0")
    if "stepsize" in POLICIES[policy] and solver.stepsize < 1:
        _fail(path, "stepsize", solver.stepsize, "at least 1")
    steps = list(solver.stepvalue)
    if policy == "multistep" and (steps[0] < 0 or any(b <= a for a, b in zip(steps, steps[1:]))):
        _fail(path, "stepvalue", steps, "iterations in increasing order")


def _check_method(solver, path):
    if solver.type not in SOLVER_TYPES:
        _fail(path, "type", f'"{solver.type}"', _one_of(SOLVER_TYPES, solver.type))
    if solver.regularization_type not in ("L1", "L2"):
        _fail(path, "regularization_type", f'"{solver.regularization_type}"', '"L1" or "L2"')
    for field in ("momentum", "momentum2", "rms_decay"):
        if not 0 <= getattr(solver, field) < 1:
            _fail(path, field, getattr(solver, field), "at least 0 and below 1")
    if solver.type in WITHOUT_MOMENTUM and solver.momentum:
        _fail(path, "momentum", solver.momentum, f"0, for the solver type {solver.type} takes none")
    if solver.delta < 0:
        _fail(path, "delta", solver.delta, "at least 0")


def _check_nets(solver, path):
    given = [field for field in _TRAIN_FIELDS if solver.HasField(field)]
    if len(given) != 1:
        found = f"{' and '.join(given)} are both given" if given else "no net is given"
        raise InputError(f"{path}: {found}; expected exactly one of {', '.join(_TRAIN_FIELDS)}")
    for field in ("net", "train_net"):
        if solver.HasField(field):
            find_file(getattr(solver, field), path, field)
    for name in solver.test_net:
        find_file(name, path, "test_net")
    own = len(solver.test_net) + len(solver.test_net_param)
    number = len(solver.test_iter)
    generic = given[0] in ("net", "net_param")
    if number < own or (number > own and not generic):
        raise InputError(f"{path}: test_iter is given {number} times for {own} test nets; "
                         "expected once for each")
    for value in solver.test_iter:
        if value < 1:
            _fail(path, "test_iter", value, "at least 1")
    if number and solver.test_interval < 1:
        _fail(path, "test_interval", solver.test_interval, "at least 1, for test_iter is given")
    if solver.test_interval and not number:
        raise InputError(f"{path}: test_interval is {solver.test_interval} and no test_iter is "
                         "given; expected both or none")
    if solver.test_state and len(solver.test_state) != number:
        raise InputError(f"{path}: test_state is given {len(solver.test_state)} times for "
                         f"{number} test nets; expected none or one for each")
