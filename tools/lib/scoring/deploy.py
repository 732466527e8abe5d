"""Loading a deploy net: checked first, because Caffe ends the process at a wrong file."""
import caffe
from caffe.proto import caffe_pb2

from data.errors import InputError
from tools.lib.checking.caffemodel import open_net
from tools.lib.checking.device import use_device
from tools.lib.checking.net import check_net, load_net
from tools.lib.scoring.net_geometry import read_geometry


def load_deploy(model, weights, device="cpu"):
    """(front, head, Geometry, mean) of a deploy prototxt and a caffemodel whose layers load by
    name.

    front, head: caffe.Net up to the blob that is computed in tiles, and from there to the scores
    (None when that blob is the score map).  device: "cpu" or the number of a GPU.  mean: three BGR
    floats from the input's transform_param, or None.  Every layer must find its weights.  Raises InputError.
    """
    parameter = load_net(model)
    check_net(parameter, caffe.TEST, model)
    geometry = read_geometry(parameter, model)
    mean = _mean(parameter, model)
    use_device(None if device == "cpu" else device, f"--device gpu:{device}")
    front, _ = open_net(model, weights, _part(parameter, geometry.layers))
    if not geometry.head:
        return front, None, geometry, mean
    head = _part(parameter, geometry.head)
    entry = head.layer.add(name="input", type="Input", top=[geometry.tiled])
    entry.input_param.shape.add(dim=[1, geometry.channels, 8, 8])
    head.layer.insert(0, head.layer.pop())
    return front, open_net(model, weights, head)[0], geometry, mean


def _part(parameter, names):
    """A NetParameter of the layers of these names only."""
    part = caffe_pb2.NetParameter(name=parameter.name)
    part.layer.extend(layer for layer in parameter.layer if layer.name in names)
    return part


def _mean(parameter, model):
    for layer in parameter.layer:
        if layer.type == "Input" and layer.transform_param.mean_value:
            values = list(layer.transform_param.mean_value)
            if len(values) not in (1, 3):
                raise InputError(f"{model}: layer {layer.name} has {len(values)} values of "
                                 "mean_value; expected 3 (BGR)")
            return values if len(values) == 3 else values * 3
    return None
