"""Loading a deploy net: checked first, because Caffe ends the process at a wrong file."""
import caffe

from data.errors import InputError
from tools.checking.caffemodel import read_caffemodel
from tools.checking.net import check_net, load_net
from tools.checking.rehearsal import rehearse_net
from tools.checking.weights import compare, require_finite, require_match
from tools.scoring.net_geometry import read_geometry


def load_deploy(model, weights, device="cpu"):
    """(caffe.Net, Geometry, mean) of a deploy prototxt and a caffemodel whose layers load by name.

    device: "cpu" or the number of a GPU.  mean: three BGR floats from the input's
    transform_param, or None.  Every layer of the net must find its weights.  Raises InputError.
    """
    parameter = load_net(model)
    check_net(parameter, caffe.TEST, model)
    geometry = read_geometry(parameter, model)
    shapes = rehearse_net(parameter, caffe.TEST, model)
    require_match(compare(shapes, read_caffemodel(weights)), complete=True)
    select_device(device)
    net = caffe.Net(model, caffe.TEST)
    net.copy_from(weights)
    require_finite(net, weights)
    return net, geometry, _mean(parameter, model)


def select_device(device):
    """Puts Caffe on the CPU ("cpu") or on the GPU of that number."""
    if device == "cpu":
        caffe.set_mode_cpu()
    else:
        caffe.set_device(int(device))
        caffe.set_mode_gpu()


def _mean(parameter, model):
    for layer in parameter.layer:
        if layer.type == "Input" and layer.transform_param.mean_value:
            values = list(layer.transform_param.mean_value)
            if len(values) not in (1, 3):
                raise InputError("%s: layer %s has %d values of mean_value; expected 3 (BGR)"
                                 % (model, layer.name, len(values)))
            return values if len(values) == 3 else values * 3
    return None
