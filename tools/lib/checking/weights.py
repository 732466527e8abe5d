"""What a caffemodel gives to a net: loading by name, told layer by layer before it happens."""
from collections import namedtuple

import numpy as np

from data.errors import InputError

#: One weight whose shapes differ.  layer; index: number of the blob in its layer (0 weights,
#: 1 bias), or None when the layers have different numbers of blobs; net, file: shapes.
Mismatch = namedtuple("Mismatch", "layer index net file")

#: path: the caffemodel.  loaded: names of layers whose weights come from it.
#: initial: layers with weights that keep their initial values.  fixed: those whose filler makes
#: their right values (bilinear upsampling; see shapes.fixed_layers).
#: skipped: layers with weights in the file that the net does not have.  mismatches: [Mismatch].
WeightsReport = namedtuple("WeightsReport", "path loaded initial fixed skipped mismatches")


def compare(shapes, model):
    """Which layers of a net a caffemodel would fill, as Caffe's copy_from decides.

    shapes: NetShapes (`dry_run.dry_run_net` or `shapes.shapes_of`); model: Model
    (`caffemodel.read_caffemodel`).  Returns a WeightsReport; raises nothing.
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
        raise InputError("%s does not fit this net:\n%s" % (
            report.path, "\n".join("  " + _sentence(m) for m in report.mismatches)),
            "use the net that these weights belong to, or rename the layers that shall start anew")
    if complete and report.initial:
        raise InputError(
            "%s has no weights for %s; expected all layers of the net%s" %
            (report.path, _list(
                report.initial), "" if report.loaded else "; it has " + _list(report.skipped)),
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
    return lines + ["  does not fit: " + _sentence(m) for m in report.mismatches]


def _sentence(mismatch):
    if mismatch.index is None:
        return 'layer "%s": %d blobs in the net (%s), %d in the file (%s)' % (
            mismatch.layer, len(mismatch.net), _shapes(mismatch.net),
            len(mismatch.file), _shapes(mismatch.file))
    kind = ("weights", "bias")[mismatch.index] if mismatch.index < 2 else f"blob {mismatch.index}"
    return 'layer "%s", %s: %s in the net, %s in the file' % (
        mismatch.layer, kind, _shape(mismatch.net), _shape(mismatch.file))


def _shape(shape):
    return " x ".join(map(str, shape)) or "one number"


def _shapes(shapes):
    return ", ".join(_shape(shape) for shape in shapes) or "none"


def _list(names, most=40):
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


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
