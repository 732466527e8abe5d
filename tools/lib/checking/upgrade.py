"""Old formats of nets brought to the current one: `layers` (V1) and net-level inputs.

Released models are still in these formats.  Caffe upgrades them itself when it
loads them; the checks need the same view of a file without handing it to Caffe.
"""
from caffe.proto import caffe_pb2

from data.errors import InputError

# V1 type names whose current name is not the words of the old one, capitalised.
_RENAMED = {
    "BNLL": "BNLL", "ARGMAX": "ArgMax", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col", "INFOGAIN_LOSS": "InfogainLoss", "LRN": "LRN", "MVN": "MVN",
    "RELU": "ReLU", "PRELU": "PReLU", "ABSVAL": "AbsVal", "TANH": "TanH",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SOFTMAX_LOSS": "SoftmaxWithLoss",
}
# Fields of V1LayerParameter that changed their meaning or place.
_CHANGED = ("type", "layer", "param", "blob_share_mode", "blobs_lr", "weight_decay")


def v1_type_name(number):
    """The current name of a V1 layer type, e.g. 4 (CONVOLUTION) -> "Convolution"."""
    old = caffe_pb2.V1LayerParameter.LayerType.Name(number)
    return _RENAMED.get(old) or "".join(word.capitalize() for word in old.split("_"))


def upgrade_v1_layer(old):
    """V1LayerParameter -> LayerParameter: same fields; learning rates and decays become `param`."""
    new = caffe_pb2.LayerParameter()
    for field, value in old.ListFields():
        if field.name in _CHANGED:
            continue
        if field.label == field.LABEL_REPEATED:
            getattr(new, field.name).MergeFrom(value)
        elif field.message_type is not None:
            getattr(new, field.name).CopyFrom(value)
        else:
            setattr(new, field.name, value)
    new.type = v1_type_name(old.type)
    for index in range(max(len(old.param), len(old.blobs_lr), len(old.weight_decay))):
        spec = new.param.add()
        if index < len(old.param) and old.param[index]:
            spec.name = old.param[index]
        if index < len(old.blob_share_mode):
            spec.share_mode = old.blob_share_mode[index]
        if index < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[index]
        if index < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[index]
    return new


def upgrade_net(net, name):
    """Brings `net` (NetParameter) to the current format in place and returns it.

    name: the file, for errors.  Raises InputError for V0 layers (of 2013), for a mixture
    of formats, and for inputs whose shapes do not fit their number.
    """
    if net.layers:
        if net.layer:
            raise InputError(f'{name} has both "layer" and "layers" (the old name); expected one '
                             "of them")
        for index, old in enumerate(net.layers):
            if old.HasField("layer"):
                raise InputError(f"{name}: layer {index + 1} is in the V0 format of 2013, which "
                                 "is not read", "use Caffe's upgrade_net_proto tools")
            net.layer.add().CopyFrom(upgrade_v1_layer(old))
        del net.layers[:]
    if net.input:
        _inputs_to_layer(net, name)
    return net


def _inputs_to_layer(net, name):
    """`input: ... input_dim: ...` becomes a layer of type Input in front of the others."""
    if net.input_shape and net.input_dim:
        raise InputError(f"{name} has both input_shape and input_dim; expected one of them")
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
    if net.input_dim:
        if len(net.input_dim) != 4 * len(net.input):
            raise InputError(f"{name}: input_dim has {len(net.input_dim)} values; expected 4 for "
                             f"each of the {len(net.input)} inputs")
        for start in range(0, len(net.input_dim), 4):
            layer.input_param.shape.add(dim=net.input_dim[start:start + 4])
    else:
        if len(net.input_shape) != len(net.input):
            raise InputError(f"{name}: {len(net.input_shape)} input_shape for {len(net.input)} "
                             "inputs; expected one each")
        layer.input_param.shape.extend(net.input_shape)
    others = list(net.layer)
    del net.layer[:]
    net.layer.add().CopyFrom(layer)
    net.layer.extend(others)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
