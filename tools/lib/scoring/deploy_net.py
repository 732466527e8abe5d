"""A deploy net as its prototxt describes it: one image input, one score map, the layers between.

The scores are the net's output, or the input of a Softmax over the classes or of an ArgMax at its
end: both keep the order of the classes, and scores, not labels, are resized to a label's size.
"""
import functools
import os
from collections import namedtuple

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from data.errors import InputError
from data.transforms import to_blob
from tools.lib.checking.dry_run import cheap, dry_run, dry_run_net
from tools.lib.checking.net import check_net, load_test_net, running_layers
from tools.lib.checking.prototxt import write_prototxt

#: Channels of an image, in Caffe's order: blue, green, red.
CHANNELS = 3
#: Fields of an input's transform_param that would make another picture of the image.
_REFUSED_FIELDS = {
    "crop_size": "the whole image is labelled: remove the field",
    "mirror": "a mirrored image would get mirrored labels: remove the field",
    "force_gray": "the net gets the image's three channels: remove the field",
}


class DeployNet(namedtuple("DeployNet", "name layers data scores last_wins")):
    """The layers from the image to the scores.

    name: the prototxt; layers: [LayerParameter] in order, the Input first, without layers that the
    scores do not need; data, scores: names of the blobs; last_wins: whether the last of equal
    scores gives the label, as in Caffe's ArgMax, and not the first.
    """

    @property
    def input(self):
        """The LayerParameter of the Input."""
        return self.layers[0]

    @property
    def size(self):
        """(rows, columns) of the input in the prototxt."""
        return tuple(self.input.input_param.shape[0].dim[2:])

    def parameter(self, size=None):
        """A NetParameter of the layers for one image of `size` (default: the prototxt's)."""
        return net_of(self.layers[1:], self.input.name, self.data, CHANNELS,
                      self.size if size is None else size)

    def shapes(self, size):
        """checking.dry_run.NetShapes for one image of `size`; InputError where Caffe refuses it."""
        return dry_run_net(self.parameter(size), caffe.TEST, self.name)

    def score_sizes(self, sizes):
        """[(rows, columns)] of the scores for images of `sizes`; InputError where Caffe refuses."""
        def build(folder):
            path = os.path.join(folder, "net.prototxt")
            write_prototxt(cheap(self.parameter(sizes[0])), path)
            net, found = caffe.Net(path, caffe.TEST), []
            for size in sizes:
                net.blobs[self.data].reshape(1, CHANNELS, *size)
                net.reshape()
                found.append(list(net.blobs[self.scores].shape))
            return found

        shapes = dry_run(build, self.name)
        for shape in shapes:
            if len(shape) != 4 or shape[0] != 1:
                raise InputError(f"{self.name}: the output {self.scores} has the shape {shape} for "
                                 "one image; expected 1 x classes x rows x columns")
        return [tuple(shape[2:]) for shape in shapes]


def net_of(layers, entry, data, channels, size):
    """A NetParameter of these layers, behind an Input for the blob `data`.

    entry: the Input's name; its shape is (1, channels, rows, columns); size: rows and columns.
    """
    part = caffe_pb2.NetParameter(name="part")
    made = part.layer.add(name=entry, type="Input", top=[data])
    made.input_param.shape.add(dim=[1, channels, *size])
    part.layer.extend(layers)
    for layer in part.layer:    # they have been chosen, by a state that the part does not have
        layer.ClearField("include")
        layer.ClearField("exclude")
    return part


def load_deploy(model, score_blob=None):
    """The DeployNet of a prototxt; score_blob: name of its output where it has several.

    Raises InputError: a wrong prototxt, not one image input of three channels, several outputs.
    """
    parameter = load_test_net(model)
    check_net(parameter, caffe.TEST, model)
    return read_deploy(parameter, model, score_blob)


def read_deploy(net, name, score_blob=None):
    """The DeployNet of a NetParameter in the current format; name, score_blob: as load_deploy()."""
    layers = running_layers(net, caffe.TEST, name)
    entry = _input_layer(layers, name)
    data = entry.top[0]
    output = _chosen_output(layers, name, score_blob, functools.partial(_shapes, net, name))
    needed = layers_to(layers, output)
    last_wins = False
    while needed and needed[-1].type in ("Softmax", "ArgMax") and _over_classes(needed[-1], name):
        last_wins = last_wins or needed[-1].type == "ArgMax"
        output = needed[-1].bottom[0]
        needed = layers_to(needed[:-1], output)
    if entry not in needed or len(needed) == 1:
        raise InputError(f"{name}: the output {output} does not depend on the input {data}")
    needed.remove(entry)
    return DeployNet(name, [entry] + needed, data, output, last_wins)


def _input_layer(layers, name):
    """The Input layer, which holds one image of three channels."""
    inputs = [(layer, top) for layer in layers if layer.type == "Input" for top in layer.top]
    if len(inputs) != 1:
        raise InputError(f"{name} has the inputs {', '.join(top for _, top in inputs) or 'none'}; "
                         "a deploy net has exactly one, the image", "use a deploy.prototxt")
    layer = inputs[0][0]
    shapes = layer.input_param.shape
    if not shapes or len(shapes[0].dim) != 4:
        raise InputError(f'{name}: layer "{layer.name}" has no shape of 4 numbers; expected 1 x '
                         f"{CHANNELS} x rows x columns")
    channels = shapes[0].dim[1]
    if min(shapes[0].dim[2:]) < 1:
        raise InputError(f'{name}: layer "{layer.name}" has {shapes[0].dim[2]} rows and '
                         f"{shapes[0].dim[3]} columns; expected at least 1 of each")
    if channels != CHANNELS:
        raise InputError(f'{name}: layer "{layer.name}" has {channels} '
                         f"channel{'s' * (channels != 1)}; {CHANNELS} (BGR) are expected",
                         "images are given to the net in colour: use a net with three input "
                         "channels")
    return layer


def output_blobs(layers):
    """Names of the blobs that a layer makes and no later layer reads, as Caffe finds them."""
    unread = {}
    for layer in layers:
        for blob in layer.bottom:
            unread.pop(blob, None)
        unread.update((blob, layer) for blob in layer.top)
    return [blob for blob, layer in unread.items() if layer.type != "Input"]


def _shapes(net, name):
    return dry_run_net(net, caffe.TEST, name).blobs


def _chosen_output(layers, name, wanted, read_shapes):
    outputs = output_blobs(layers)
    if not outputs:
        raise InputError(f"{name} has no layer that makes scores")
    if wanted is None and len(outputs) == 1:
        return outputs[0]
    if wanted in outputs:
        return wanted
    shapes = read_shapes()
    listed = ", ".join(f"{blob} ({_channels(shapes[blob])})" for blob in outputs)
    if wanted is None:
        raise InputError(f"{name} has the outputs {listed}; one is expected",
                         "choose the scores with --score-blob NAME")
    raise InputError(f"--score-blob {wanted}: {name} has no such output; it has {listed}")


def _channels(shape):
    if len(shape) != 4:
        return f"shape {' x '.join(map(str, shape))}"
    return f"{shape[1]} channel{'s' * (shape[1] != 1)}"


def layers_to(layers, blob):
    """The layers that the final content of `blob` depends on, in order."""
    wanted, needed = {blob}, []
    for layer in reversed(layers):
        if wanted & set(layer.top):
            needed.insert(0, layer)
            wanted = (wanted - set(layer.top)) | set(layer.bottom)
    return needed


def _over_classes(layer, name):
    """Whether a Softmax is over the classes; True for an ArgMax over them.

    Raises InputError for an ArgMax that gives no label map.
    """
    if layer.type == "Softmax":
        return layer.softmax_param.axis in (1, -3)
    param = layer.argmax_param
    if not param.HasField("axis") or param.axis not in (1, -3) or param.top_k != 1 \
            or param.out_max_val:
        raise InputError(f'{name}: layer "{layer.name}" of type ArgMax gives no label map; '
                         "expected axis: 1, top_k: 1 and no out_max_val")
    return True


class InputTransform:
    """What the transform_param of the input does to the values of an image.

    mean: (3,) float32 BGR, subtracted first; scale: multiplied then.
    """

    def __init__(self, deploy, mean=None):
        """mean: three BGR values in place of the prototxt's.

        Raises InputError for a field that cannot be honoured, and without any mean.
        """
        param, where = deploy.input.transform_param, f'{deploy.name}: layer "{deploy.input.name}"'
        for field, fix in _REFUSED_FIELDS.items():
            if getattr(param, field):
                raise InputError(f"{where}: transform_param has {field}: "
                                 f"{str(getattr(param, field)).lower()}, which is not applied here",
                                 fix)
        if mean is None and param.mean_file:
            raise InputError(f'{where}: transform_param has mean_file: "{param.mean_file}"; a mean '
                             "image has one size, and images are of any size",
                             "give the mean of each channel: mean_value three times, or "
                             "--mean B G R")
        values = list(param.mean_value) if mean is None else list(mean)
        if not values:
            raise InputError(f"{deploy.name} names no mean (transform_param of its input)",
                             "give it: --mean B G R")
        if len(values) not in (1, CHANNELS):
            raise InputError(f"{where} has {len(values)} values of mean_value; expected 1 or "
                             f"{CHANNELS} (BGR)")
        self.mean = np.array(values * (CHANNELS // len(values)), np.float32)
        self.scale = np.float32(param.scale)

    def __call__(self, image):
        """(3, h, w) float32 from an image (h, w, 3) uint8 BGR."""
        values = to_blob(image, self.mean)
        return values if self.scale == 1 else values * self.scale
