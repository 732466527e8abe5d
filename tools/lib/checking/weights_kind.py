"""Recognises by its content a file that was given as weights and is of another kind."""
import os
import re
import warnings

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from data.errors import InputError
from data.file_kinds import kind_of
from data.files import require_utf8
from tools.lib.checking.prototxt import read_bytes

#: protobuf reads at most 2 GiB; the largest released model of this field has 0.55 GB.
MAX_BYTES = 2 ** 31 - 1
#: What helps with a kind of file (data/file_kinds.py).
_FIXES = {
    "an HDF5 file": "expected the binary protobuf format (snapshot_format: BINARYPROTO)",
    "a zip archive": "unpack it; weights of PyTorch or NumPy cannot be read",
    "a gzip-compressed file": "unpack it first: gunzip",
    "a Python pickle": "weights of PyTorch, Chainer or Theano cannot be read",
    "a web page, not the file": "download it again, from the link to the file itself",
    "a Git LFS pointer, not the file itself": "run: git lfs pull"}
_PROTOTXT = re.compile(rb"^\s*(layers?\s*\{|(name|input|net|train_net|base_lr)\s*:)", re.M)
#: First bytes: SolverState's field iter; NetParameter's fields name, layers (V1) and layer.
_STATE_START, _NET_STARTS = b"\x08", (b"\x0a", b"\x12", b"\xa2\x06")


def read_weights(path, kind):
    """The bytes of a file that may be one of `kind`, "caffemodel" or "solverstate".

    Raises InputError that says what the file is instead, where that can be seen.
    """
    _refuse_huge(path, kind)
    require_utf8(path, "Caffe")
    data = read_bytes(path, kind, MAX_BYTES)
    if not data:
        raise InputError(f"{path} is empty; expected a .{kind}")
    found = kind_of(data)
    if found == "a text file" and _PROTOTXT.search(data[:100_000]):
        raise InputError(f"{path} is a prototxt, the text of a net or solver; expected a .{kind}, "
                         "which a training writes")
    if found is not None:
        raise InputError(f"{path} is {found}; expected a .{kind}", _FIXES.get(found))
    if kind == "caffemodel" and data.startswith(_STATE_START):
        _refuse_solverstate(path, data)
    if kind == "solverstate" and data.startswith(_NET_STARTS):
        _refuse_caffemodel(path, data)
    return data


def _refuse_huge(path, kind):
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return  # read_bytes says why
    if os.path.isfile(path) and status.st_size > MAX_BYTES:
        on_disk = status.st_blocks * 512
        sparse = (f", of which {on_disk / 1e9:.1f} GB are on the disk (an unfinished download?)"
                  if on_disk < status.st_size / 2 else "")
        raise InputError(f"{path} has {status.st_size / 1e9:.1f} GB{sparse}; a .{kind} has at most "
                         f"{MAX_BYTES / 1e9:.1f} GB, the limit of protobuf")


def _refuse_solverstate(path, data):
    """Raises InputError if the bytes are a solverstate, with the caffemodel beside it."""
    state = _parsed(caffe_pb2.SolverState(), data)
    if state is None or not state.HasField("iter") or not isinstance(state.learned_net, str):
        return
    folder = os.path.dirname(path)
    names = [os.path.basename(state.learned_net), f"{os.path.splitext(path)[0]}.caffemodel"]
    beside = [os.path.join(folder, name) for name in names if name]
    there = next((model for model in beside if os.path.isfile(model)), None)
    if there is not None:
        fix = f"give its weights: {there}"
    elif names[0]:
        fix = f"give its weights, a file that was named {names[0]}; it is not beside it"
    else:
        fix = "give the .caffemodel of the same iteration"
    raise InputError(f"{path} is a solverstate (iteration {state.iter}): it holds the solver's "
                     "momentum and no weights", fix)


def _refuse_caffemodel(path, data):
    """Raises InputError if the bytes are a caffemodel."""
    net = _parsed(caffe_pb2.NetParameter(), data)
    if net is not None and (net.layer or net.layers):
        raise InputError(f"{path} is a caffemodel, the weights of a net; expected a .solverstate")


def parse_all(message, data):
    """Parses all of the bytes into a protobuf message.

    Raises DecodeError, ValueError or RuntimeError; a plain ParseFromString only warns where it
    stops before the end.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        message.ParseFromString(data)
    if caught:
        raise DecodeError(str(caught[0].message))


def _parsed(message, data):
    try:
        parse_all(message, data)
    except (DecodeError, ValueError, RuntimeError):
        return None
    return message


def refuse_v0(path, net):
    """Raises InputError if a NetParameter has layers of the format before V1."""
    if any(layer.HasField("layer") for layer in net.layers):
        raise InputError(f"{path} is in Caffe's oldest format, V0 (`layers {{ layer {{`)",
                         f"convert it with Caffe's tool: upgrade_net_proto_binary {path} NEW")


def refuse_raw_data(blob, count, where):
    """Raises InputError if a BlobProto without values holds bytes that BVLC Caffe does not know.

    count: number of values of its shape.
    """
    if 0 < count < blob.ByteSize():
        raise InputError(f"{where}: its values are in a field that this Caffe does not have "
                         "(raw_data of NVIDIA's Caffe)",
                         "save it there with store_blobs_in_old_format: true in the solver")
