"""A net with weights for testing and predicting, opened so that nothing can abort the process."""
import os
import tempfile

import caffe

from tools.lib.checking.caffemodel import read_caffemodel
from tools.lib.checking.dry_run import dry_run_net
from tools.lib.checking.net import check_net, load_net
from tools.lib.checking.prototxt import write_prototxt
from tools.lib.checking.weights import compare, require_finite, require_match


def open_net(model, weights, net=None, complete=True):
    """(caffe.Net in phase TEST, WeightsReport): a deploy prototxt with the weights of a caffemodel.

    net: the NetParameter of `model`, when it has been read already.  complete: every layer
    must get its weights (see `weights.require_match`).  Caffe reads what the checks have
    read, written anew, and not the file itself.  Raises InputError for any file that does not fit.
    """
    net = load_net(model) if net is None else net
    check_net(net, caffe.TEST, model)
    report = compare(dry_run_net(net, caffe.TEST, model), read_caffemodel(weights))
    require_match(report, complete)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.prototxt")
        write_prototxt(net, path)
        built = caffe.Net(path, caffe.TEST)
    built.copy_from(weights)
    require_finite(built, weights)
    return built, report
