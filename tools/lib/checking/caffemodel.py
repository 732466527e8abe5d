"""Reading .caffemodel and .solverstate files: their names and shapes, never trusting them."""
from collections import namedtuple

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from data.errors import InputError
from tools.lib.checking.prototxt import read_bytes

#: protobuf reads at most 2 GiB; the largest released model of this field has 0.55 GB.
MAX_BYTES = 2 ** 31 - 1

#: A blob in a file.  shape: tuple of ints; legacy: shape comes from num, channels, height,
#: width, and then leading ones do not count (as Caffe has it).
StoredBlob = namedtuple("StoredBlob", "shape legacy")

#: What a file holds.  path; layers: {layer name: [StoredBlob, ...]}, in the file's order.
Model = namedtuple("Model", "path layers")

#: iteration; learned_net: name of the caffemodel it belongs to; history: [StoredBlob, ...].
State = namedtuple("State", "path iteration learned_net history current_step")

_MAGIC = {b"\x89HDF": "an HDF5 file; expected the binary protobuf format (snapshot_format: "
                      "BINARYPROTO)",
          b"PK\x03\x04": "a zip archive (PyTorch or NumPy weights?); expected a .caffemodel",
          b"\x1f\x8b": "gzip-compressed; unpack it first",
          b"\x80\x02": "a Python pickle; expected a .caffemodel",
          b"\x80\x04": "a Python pickle; expected a .caffemodel",
          b"version https://git-lfs": "a Git LFS pointer, not the file itself; run: git lfs pull",
          b"<!DOCTYPE": "a web page, not the file; download it again",
          b"<html": "a web page, not the file; download it again"}


def read_caffemodel(path):
    """Reads the layers' names and the shapes of their weights; returns a Model.

    Formats: current (`layer`) and V1 (`layers`).  Memory: twice the file's size for a
    moment.  Raises InputError for a truncated or altered file, for anything that is not a
    caffemodel, and for a blob whose values do not fill its shape.
    """
    net = _parse(path, caffe_pb2.NetParameter(), "caffemodel")
    layers = {}
    for layer in list(net.layer) or list(net.layers):
        if not isinstance(layer.name, str):    # protobuf hands out what is not UTF-8 as bytes
            raise InputError(f"{path}: the layer name {layer.name!r} is not text")
        where = '%s: layer "%s"' % (path, layer.name)
        blobs = [_stored(blob, f"{where}: blob {index}")
                 for index, blob in enumerate(layer.blobs)]
        if layers.get(layer.name, blobs) != blobs or (blobs and layer.name in layers):
            raise InputError(f"{where} is there twice")
        layers[layer.name] = blobs
    if not any(layers.values()):
        raise InputError("%s holds no weights: %s" % (
            path, "it is a net without blobs" if layers else "it has no layer; expected a "
                                                             ".caffemodel"))
    return Model(path, layers)


def read_solverstate(path):
    """Reads a .solverstate's iteration and the shapes of its history; returns a State."""
    state = _parse(path, caffe_pb2.SolverState(), "solverstate")
    if not state.HasField("iter") or state.iter < 0 or state.current_step < 0:
        raise InputError("%s is not a solverstate: its iteration is %s"
                         % (path, state.iter if state.HasField("iter") else "missing"))
    if not isinstance(state.learned_net, str):
        raise InputError(f"{path}: learned_net {state.learned_net!r} is not text")
    history = [_stored(blob, f"{path}: history {index}")
               for index, blob in enumerate(state.history)]
    return State(path, state.iter, state.learned_net, history, state.current_step)


def _parse(path, message, what):
    data = read_bytes(path, what, MAX_BYTES)
    if not data:
        raise InputError(f"{path} is empty; expected a .{what}")
    for magic, meaning in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"{path} is {meaning}")
    try:
        message.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError) as problem:
        raise InputError(f"{path} is not a whole .{what} file ({len(data)} bytes): it is "
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
    for field in ("data", "diff"):
        stored = len(getattr(blob, field)) or len(getattr(blob, "double_" + field))
        if stored != count and (field == "data" or stored):
            raise InputError(f"{where}: {stored} values of {field} for the shape {list(shape)}, "
                             f"which has {count}")
    return StoredBlob(shape, legacy)
