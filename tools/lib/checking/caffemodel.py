""".caffemodel and .solverstate files: reading them, comparing them with a net, loading them.

1. `read_caffemodel`, `read_solverstate`: names and shapes of a file that is never trusted.
2. `compare`, `require_match`, `report_lines`: which layers of a net the file fills, by name.
3. `open_net`: a net with weights for testing and predicting; `require_finite`: no nan in them.
"""
import os
import tempfile
from collections import namedtuple

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from data.errors import InputError
from layers import gpu_arrays
from tools.lib.checking.dry_run import dry_run_net
from tools.lib.checking.gradients import refuse_gpu_only
from tools.lib.checking.net import check_net, load_test_net
from tools.lib.checking.prototxt import write_prototxt
from tools.lib.checking.weights_kind import parse_all, read_weights, refuse_raw_data, refuse_v0

#: A blob in a file.  shape: tuple of ints; legacy: shape comes from num, channels, height,
#: width, and then leading ones do not count (as Caffe has it).
StoredBlob = namedtuple("StoredBlob", "shape legacy")

#: What a file holds.  path; layers: {layer name: [StoredBlob, ...]}, in the file's order.
Model = namedtuple("Model", "path layers")

#: iteration; learned_net: name of the caffemodel it belongs to; history: [StoredBlob, ...].
State = namedtuple("State", "path iteration learned_net history current_step")

#: One weight whose shapes differ.  layer; index: number of the blob in its layer (0 weights,
#: 1 bias), or None when the layers have different numbers of blobs; net, file: shapes.
Mismatch = namedtuple("Mismatch", "layer index net file")

#: path: the caffemodel.  loaded: names of layers whose weights come from it.
#: initial: layers with weights that keep their initial values.  fixed: those whose filler makes
#: their right values (bilinear upsampling; see dry_run.NetShapes).
#: skipped: layers with weights in the file that the net does not have.  mismatches: [Mismatch].
WeightsReport = namedtuple("WeightsReport", "path loaded initial fixed skipped mismatches")


def read_caffemodel(path):
    """Reads the layers' names and the shapes of their weights; returns a Model.

    Formats: current (`layer`) and V1 (`layers`).  Memory: twice the file's size for a
    moment.  Raises InputError for a truncated or altered file, for anything that is not a
    caffemodel, and for a blob whose values do not fill its shape.
    """
    net = _parse(path, caffe_pb2.NetParameter(), "caffemodel")
    refuse_v0(path, net)
    if net.layer and net.layers:
        raise InputError(f'{path} has both "layer" and "layers" (the old name), and Caffe reads '
                         "neither; expected one of them")
    layers = {}
    for layer in list(net.layer) or list(net.layers):
        if not isinstance(layer.name, str):  # protobuf gives bytes for a text that is not UTF-8
            raise InputError(f"{path}: the layer name {layer.name!r} is not text")
        where = f'{path}: layer "{layer.name}"'
        blobs = [_stored(blob, f"{where}: blob {index}")
                 for index, blob in enumerate(layer.blobs)]
        if layers.get(layer.name, blobs) != blobs or (blobs and layer.name in layers):
            raise InputError(f"{where} is there twice")
        layers[layer.name] = blobs
    if not any(layers.values()):
        why = ("it is a net without blobs" if layers
               else "it has no layer; expected a .caffemodel")
        raise InputError(f"{path} holds no weights: {why}")
    return Model(path, layers)


def read_solverstate(path):
    """Reads a .solverstate's iteration and the shapes of its history; returns a State."""
    state = _parse(path, caffe_pb2.SolverState(), "solverstate")
    if not state.HasField("iter") or state.iter < 0 or state.current_step < 0:
        found = state.iter if state.HasField("iter") else "missing"
        raise InputError(f"{path} is not a solverstate: its iteration is {found}")
    if not isinstance(state.learned_net, str):
        raise InputError(f"{path}: learned_net {state.learned_net!r} is not text")
    history = [_stored(blob, f"{path}: history {index}")
               for index, blob in enumerate(state.history)]
    return State(path, state.iter, state.learned_net, history, state.current_step)


def _parse(path, message, kind):
    data = read_weights(path, kind)
    try:
        parse_all(message, data)
    except (DecodeError, ValueError, RuntimeError) as problem:
        raise InputError(f"{path} is not a whole .{kind} file ({len(data)} bytes): it is "
                         f"truncated or altered ({problem})", "copy or download it again") from None
    return message


def _stored(blob, where):
    """StoredBlob of a BlobProto whose values fill its shape exactly."""
    legacy = any(blob.HasField(f) for f in ("num", "channels", "height", "width"))
    # Caffe looks at the old fields first
    shape = ((blob.num, blob.channels, blob.height, blob.width) if legacy
             else tuple(blob.shape.dim))
    count = 1
    for side in shape:
        if side < 0:
            raise InputError(f"{where} has the shape {list(shape)}")
        count *= side
    if not blob.data and not blob.double_data:
        refuse_raw_data(blob, count, where)
    for field in ("data", "diff"):
        stored = [len(getattr(blob, field)), len(getattr(blob, f"double_{field}"))]
        # Caffe takes the double ones where both are there
        filled = [number for number in stored if number] or [0] * (field == "data")
        for number in filled:
            if number != count:
                raise InputError(f"{where}: {number} values of {field} for the shape "
                                 f"{list(shape)}, which has {count}")
    return StoredBlob(shape, legacy)


def compare(shapes, model):
    """Which layers of a net a caffemodel would fill, as Caffe's copy_from decides.

    shapes: NetShapes (`dry_run.dry_run_net` or `dry_run.shapes_of`); model: Model
    (`read_caffemodel`).  Returns a WeightsReport; raises nothing.
    """
    loaded, mismatches = [], []
    for name, stored in model.layers.items():
        if name not in shapes.parameters:
            continue
        wrong = _differences(name, shapes.parameters[name], stored)
        mismatches += wrong
        if stored and not wrong:
            loaded.append(name)
    left = [name for name, own in shapes.parameters.items() if own and name not in model.layers]
    return WeightsReport(
        path=model.path, loaded=loaded, mismatches=mismatches,
        initial=[name for name in left if name not in shapes.fixed],
        fixed=[name for name in left if name in shapes.fixed],
        skipped=[name for name, stored in model.layers.items()
                 if stored and name not in shapes.parameters])


def _differences(name, own, stored):
    if len(own) != len(stored):
        return [Mismatch(name, None, own, [blob.shape for blob in stored])]
    return [Mismatch(name, index, mine, blob.shape)
            for index, (mine, blob) in enumerate(zip(own, stored)) if not _same(mine, blob)]


def _same(shape, blob):
    """Caffe's rule: an old 4-D shape equals one of at most 4 axes up to leading ones."""
    if blob.legacy:
        return (1,) * (4 - len(shape)) + tuple(shape) == blob.shape
    return tuple(shape) == blob.shape


def require_match(report, complete=False):
    """Raises InputError when the weights cannot be loaded, or when no layer matches.

    complete: no layer may keep its initial values, fixed ones excepted (testing and
    predicting: an untrained layer would make every number meaningless).
    """
    if report.mismatches:
        lines = "\n".join("  " + _sentence(mismatch) for mismatch in report.mismatches)
        raise InputError(
            f"{report.path} does not fit this net:\n{lines}",
            "use the net that these weights belong to, or rename the layers that shall start anew")
    if complete and report.initial:
        raise InputError(f"{report.path} has no weights for {_list(report.initial)}; expected all "
                         f"layers of the net; it has {_list(report.loaded + report.skipped)}",
                         "use the net that these weights were trained for")
    if not report.loaded:
        raise InputError(f"{report.path} has no layer of this net; its layers: "
                         f"{_list(report.skipped)}; the net's: "
                         f"{_list(report.initial + report.fixed)}")


def report_lines(report):
    """The report as lines of text for a log."""
    lines = [f"weights from {report.path}:", f"  loaded: {_list(report.loaded)}"]
    for title, names in (("left at initial values", report.initial),
                         ("fixed (not learned, kept as built)", report.fixed),
                         ("in the file but not in the net", report.skipped)):
        if names:
            lines.append(f"  {title}: {_list(names)}")
    return lines + ["  does not fit: " + _sentence(mismatch) for mismatch in report.mismatches]


def _sentence(mismatch):
    layer, index, net, file = mismatch
    if index is None:
        return (f'layer "{layer}": {len(net)} blobs in the net ({_shapes(net)}), '
                f"{len(file)} in the file ({_shapes(file)})")
    kind = ("weights", "bias")[index] if index < 2 else f"blob {index}"
    return f'layer "{layer}", {kind}: {_shape(net)} in the net, {_shape(file)} in the file'


def _shape(shape):
    return " x ".join(map(str, shape)) or "one number"


def _shapes(shapes):
    return ", ".join(_shape(shape) for shape in shapes) or "none"


def _list(names, most=40):
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def open_net(model, weights, net=None, complete=True):
    """(caffe.Net in phase TEST, WeightsReport): a deploy prototxt with the weights of a caffemodel.

    net: the NetParameter of `model`, when it has been read already.  complete: every layer
    must get its weights (see `require_match`).  Caffe reads the checked net, written anew, and
    not the file itself.  Raises InputError for any file that does not fit.
    """
    net = load_test_net(model) if net is None else net
    layers = check_net(net, caffe.TEST, model)
    if gpu_arrays.current() is None:
        refuse_gpu_only(layers, model)
    report = compare(dry_run_net(net, caffe.TEST, model), read_caffemodel(weights))
    require_match(report, complete)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.prototxt")
        write_prototxt(net, path)
        built = caffe.Net(path, caffe.TEST)
    built.copy_from(weights)
    require_finite(built, weights)
    return built, report


def not_finite(net):
    """Names of the layers of a caffe.Net whose weights hold a nan or an infinity."""
    return [name for name, layer in zip(net._layer_names, net.layers)
            if not all(np.isfinite(blob.data).all() for blob in layer.blobs)]


def require_finite(net, path):
    """Raises InputError when weights of a caffe.Net, loaded from `path`, are not finite."""
    bad = not_finite(net)
    if bad:
        raise InputError(f"{path}: weights that are not finite (nan or infinity) in layer "
                         f"{_list(bad)}", "use an earlier snapshot")
