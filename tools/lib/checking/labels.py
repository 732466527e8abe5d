"""Do the classes of the labels fit the scores?  Caffe reads beyond its arrays when they do not."""
import json

from data.errors import InputError
from data.label_spaces import IGNORED
from data.registry import open_dataset

DATA_LAYER = "layers.source_target_data"
#: Loss layers that take (scores, labels) and index the scores by the label.
_LOSSES = ("SoftmaxWithLoss", "MultinomialLogisticLoss", "InfogainLoss", "HingeLoss", "Accuracy")


def check_labels(layers, shapes, name):
    """Every loss on labels of SourceTargetData predicts the classes of their label space.

    layers: the running layers (`net.check_net`); shapes: NetShapes of the built net;
    name: the net's file.  Raises InputError.
    """
    spaces = {}
    for layer in layers:
        if layer.type == "Python" and layer.python_param.module == DATA_LAYER and len(
                layer.top) > 1:
            spaces[layer.top[1]] = label_space(layer.python_param.param_str)
    for layer in layers:
        if layer.type not in _LOSSES or len(layer.bottom) < 2 or layer.bottom[1] not in spaces:
            continue
        space = spaces[layer.bottom[1]]
        channels = shapes.blobs[layer.bottom[0]][1]
        where = '%s: layer "%s"' % (name, layer.name)
        if channels != len(space.classes):
            raise InputError('%s: the scores "%s" have %d channels; expected %d, the classes of '
                             'the '
                             "label space %s" % (where, layer.bottom[0], channels,
                                                 len(space.classes), space.name))
        param = layer.accuracy_param if layer.type == "Accuracy" else layer.loss_param
        if not param.HasField("ignore_label") or param.ignore_label != IGNORED:
            raise InputError("%s: ignore_label is %s; expected %d, the label of pixels without a "
                             "class"
                             % (where, param.ignore_label if param.HasField("ignore_label")
                                else "missing", IGNORED))


def label_space(param_str):
    """The LabelSpace of a SourceTargetData layer's labels; its param_str has passed the layer's own
    check."""
    source = json.loads(param_str)["source"]
    return open_dataset(source["dataset"], space=source.get("label_space"),
                        **source.get("options", {})).space
