"""Loading a deploy net: checked first, because Caffe ends the process at a wrong file."""
import os

from data.errors import InputError
from tools.scoring.net_geometry import read_geometry


def load_deploy(model, weights, device="cpu"):
    """(caffe.Net, Geometry, mean) of a deploy prototxt and a caffemodel.

    mean: three BGR floats from the input's transform_param, or None.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    import caffe
    from caffe.proto import caffe_pb2
    from tools.checking.prototxt import read_prototxt

    parameter = read_prototxt(model, caffe_pb2.NetParameter(), "net")
    geometry = read_geometry(parameter, model)
    if not os.path.isfile(weights):
        raise InputError("--weights %s: no such file" % weights)
    select_device(device)
    net = caffe.Net(model, caffe.TEST)
    net.copy_from(weights)
    return net, geometry, _mean(parameter)


def select_device(device):
    """Puts Caffe on the CPU ("cpu") or on the GPU of that number."""
    import caffe
    if device == "cpu":
        caffe.set_mode_cpu()
    else:
        caffe.set_device(int(device))
        caffe.set_mode_gpu()


def _mean(parameter):
    for layer in parameter.layer:
        if layer.type == "Input":
            values = list(layer.transform_param.mean_value)
            return values * 3 if len(values) == 1 else values or None
    return None
