"""Reading a net prototxt and checking its layers, their wiring and their labels."""
import json

import caffe
from caffe.proto import caffe_pb2

from data.errors import InputError
from data.label_spaces import IGNORED
from data.registry import open_dataset
from layers.domain_classifier_check import check_classifier
from tools.lib.checking import forks
from tools.lib.checking.layer_fields import check_fields
from tools.lib.checking.prototxt import did_you_mean, read_prototxt
from tools.lib.checking.upgrade import upgrade_net

#: Layer types of Caffe that these tools do not run, and why.
REFUSED = {"HDF5Output": "it writes to any file that the net names",
           "MemoryData": "it takes its data from a C++ program only"}
#: Layer types that may stand without a bottom.
SOURCES = ("Input", "Data", "DummyData", "HDF5Data", "ImageData", "WindowData", "Parameter",
           "Python")
DATA_LAYER = "layers.source_target_data"
#: Loss layers that take (scores, labels) and index the scores by the label.
_LOSSES = ("SoftmaxWithLoss", "MultinomialLogisticLoss", "InfogainLoss", "HingeLoss", "Accuracy")


def load_net(path):
    """Reads a net prototxt; returns its NetParameter in the current format, not yet checked.

    V1 `layers` and net-level inputs are upgraded.  Raises InputError.
    """
    return upgrade_net(read_prototxt(path, caffe_pb2.NetParameter(), "net"), path)


def load_test_net(path):
    """As load_net, for a net that runs by itself: Caffe then sets its state's level to 0.

    A net of a solver keeps the level in its file.
    """
    net = load_net(path)
    net.state.ClearField("level")
    return net


def check_net(net, phase, name):
    """Checks the layers that run in `phase` (caffe.TRAIN or caffe.TEST); returns those layers.

    net: NetParameter in the current format; its state's level and stages count.
    name: its file, for errors.  Raises InputError naming the layer, what was found and
    what was expected.  What only Caffe knows (shapes, number of bottoms) is left to
    `dry_run.dry_run_net`.
    """
    layers = running_layers(net, phase, name)
    if not layers:
        raise InputError(f"{name} has no layer that runs in phase {caffe_pb2.Phase.Name(phase)}")
    types = set(caffe.layer_type_list())
    names = set()
    for position, layer in enumerate(layers):
        where = _where(name, layer, position)
        if not layer.name:
            raise InputError(f"{where} has no name")
        if layer.name in names:
            raise InputError(f"{where}: the name is given twice; expected a name of its own, for "
                             "weights load by name")
        names.add(layer.name)
        _check_type(layer, types, where)
        check_fields(layer, where)
    _check_wiring(layers, name)
    _check_sharing(layers, name)
    try:
        check_classifier(layers, phase)
    except InputError as problem:
        raise InputError(f"{name}: {problem.what}", problem.fix) from None
    return layers


def running_layers(net, phase, name):
    """The layers of `net` that its include and exclude rules let run in `phase`."""
    state = caffe_pb2.NetState()
    state.CopyFrom(net.state)
    state.phase = phase
    chosen = []
    for position, layer in enumerate(net.layer):
        if layer.include and layer.exclude:
            raise InputError(f"{_where(name, layer, position)} has include and exclude rules; "
                             "expected one kind")
        rules = layer.include or layer.exclude
        met = any(_meets(state, rule) for rule in rules)
        if not rules or met == bool(layer.include):
            chosen.append(layer)
    return chosen


def _meets(state, rule):
    return not ((rule.HasField("phase") and rule.phase != state.phase)
                or (rule.HasField("min_level") and state.level < rule.min_level)
                or (rule.HasField("max_level") and state.level > rule.max_level)
                or any(stage not in state.stage for stage in rule.stage)
                or any(stage in state.stage for stage in rule.not_stage))


def _where(name, layer, position):
    return f'{name}: layer "{layer.name}"' if layer.name else f"{name}: layer number {position + 1}"


def _check_type(layer, types, where):
    if layer.type in REFUSED:
        raise InputError(f"{where}: the type {layer.type} is not run here: {REFUSED[layer.type]}")
    if layer.type not in types:
        fix = None
        if layer.type == "Python":
            fix = "this Caffe was built without Python layers; see: python3 tools/doctor.py"
        hint = (forks.of_type(layer.type) or did_you_mean(layer.type, types)
                or f"; expected one of: {', '.join(sorted(types))}")
        raise InputError(f'{where}: unknown type "{layer.type}"{hint}', fix)
    if not layer.bottom and layer.type not in SOURCES:
        raise InputError(f"{where} has no bottom; a layer of type {layer.type} takes at least one")


def _check_wiring(layers, name):
    """Every bottom is the top of an earlier layer; no top is made twice, except in place."""
    makers = {}
    for position, layer in enumerate(layers):
        where = _where(name, layer, position)
        for bottom in layer.bottom:
            if bottom not in makers:
                later = [other.name for other in layers[position:] if bottom in other.top]
                hint = (f'; layer "{later[0]}" makes it, later' if later
                        else did_you_mean(bottom, makers)
                        or f"; expected one of: {', '.join(makers)}")
                raise InputError(f'{where}: no layer before it makes its bottom "{bottom}"{hint}')
        for index, top in enumerate(layer.top):
            in_place = index < len(layer.bottom) and layer.bottom[index] == top
            if top in makers and not in_place:
                raise InputError(
                    f'{where}: its top "{top}" is made by layer "{makers[top]}" already')
            makers[top] = layer.name
        if len(layer.propagate_down) not in (0, len(layer.bottom)):
            raise InputError(f"{where}: propagate_down is given {len(layer.propagate_down)} times "
                             f"for {len(layer.bottom)} bottoms; expected none or one for each")


def _check_sharing(layers, name):
    """Multipliers are not negative; parameters that share a name agree on them."""
    shared = {}
    for position, layer in enumerate(layers):
        where = _where(name, layer, position)
        for spec in layer.param:
            for field in ("lr_mult", "decay_mult"):
                value = getattr(spec, field)
                if value < 0:
                    raise InputError(f"{where}: {field} is {value:g}; expected at least 0")
                if not spec.name or not spec.HasField(field):
                    continue
                first, owner = shared.setdefault((spec.name, field), (value, layer.name))
                if first != value:
                    raise InputError(f'{where}: {field} of the shared parameter "{spec.name}" is '
                                     f'{value:g}; layer "{owner}" says {first:g}')


def check_labels(layers, shapes, name):
    """Every loss on labels of SourceTargetData predicts the classes of their label space.

    Caffe reads beyond its arrays where it does not.  layers: the running layers (`check_net`);
    shapes: NetShapes of the built net; name: the net's file.  Raises InputError.
    """
    spaces = {layer.top[1]: label_space(layer.python_param.param_str) for layer in layers
              if layer.type == "Python" and layer.python_param.module == DATA_LAYER
              and len(layer.top) > 1}
    for layer in layers:
        if layer.type not in _LOSSES or len(layer.bottom) < 2 or layer.bottom[1] not in spaces:
            continue
        space = spaces[layer.bottom[1]]
        channels = shapes.blobs[layer.bottom[0]][1]
        where = f'{name}: layer "{layer.name}"'
        if channels != len(space.classes):
            raise InputError(f'{where}: the scores "{layer.bottom[0]}" have {channels} channels; '
                             f"expected {len(space.classes)}, the classes of the label space "
                             f"{space.name}")
        param = layer.accuracy_param if layer.type == "Accuracy" else layer.loss_param
        if not param.HasField("ignore_label") or param.ignore_label != IGNORED:
            found = param.ignore_label if param.HasField("ignore_label") else "missing"
            raise InputError(f"{where}: ignore_label is {found}; expected {IGNORED}, the label of "
                             "pixels without a class")


def label_space(param_str):
    """The LabelSpace of a SourceTargetData layer's labels.

    param_str: its text, which has passed the layer's own check.
    """
    source = json.loads(param_str)["source"]
    return open_dataset(source["dataset"], space=source.get("label_space"),
                        **source.get("options", {})).space
