"""Caffe's own data layers: their pictures are sound, and their labels have a score.

Caffe checks neither.  It aborts at a picture that it cannot read or that has another size than
expected, and a loss reads beyond its arrays at a label without a score.  Labels of
layers.source_target_data are checked by `net.check_labels`.

1. `check_image_lists`: the lines of an ImageData layer's source, before the net is built.  Every
   file must exist.  The pictures are decoded in random order for PICTURE_SECONDS, which is enough
   for about 2,000 photographs of half a megapixel; a longer list is decoded in part, and stderr
   gets a line that says how many.
2. `LabelWatch`: the labels of a built net, batch by batch; `first_batches` runs its data layers
   alone, in the dry run.
"""
import math
import os
import random
import sys
import time
from collections import namedtuple

import numpy as np

from data.errors import InputError
from data.reading import require_whole

#: The time and number of batches that `first_batches` reads before the first step.
SECONDS, BATCHES = 3.0, 200
#: Seconds that `check_image_lists` decodes pictures of a layer.
PICTURE_SECONDS = 10.0
#: Layers that read labels from a disk.
_READERS = ("Data", "ImageData", "HDF5Data", "WindowData")
#: Losses (and Accuracy) whose classes are along an axis, and the field that names the axis.
_AXIS = {"SoftmaxWithLoss": "softmax_param", "InfogainLoss": "infogain_loss_param",
         "Accuracy": "accuracy_param"}
#: Losses whose classes are all values of an image, and which ignore no label.
_WHOLE = ("MultinomialLogisticLoss", "HingeLoss")

#: A loss and its labels.  layer: its LayerParameter; ignored: a label that it ignores, or None;
#: makers: names of the layers that make the labels, in order; reader: the one that reads them.
_Loss = namedtuple("_Loss", "layer ignored makers reader")


def check_image_lists(layers, name):
    """Raises InputError if a line of an ImageData layer's source cannot be read in training.

    Caffe's rule: the label is behind the last space, the path before it, below root_folder.
    layers: the running layers (`net.running_layers`); name: the net's file.
    """
    for layer in layers:
        if layer.type != "ImageData":
            continue
        param = layer.image_data_param
        where = f'{name}: layer "{layer.name}": source'
        try:
            with open(param.source, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().split("\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f'{where} "{param.source}" cannot be read ({reason}); expected a list '
                             "file, PATH LABEL a line") from None
        listed = []
        for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
            path = param.root_folder + (line.rpartition(" ")[0] if " " in line else line)
            place = f"{where} {param.source}:{number}"
            if not os.path.isfile(path):
                raise InputError(f"{place}: {path}: no such file",
                                 "paths start at the current folder, or at root_folder")
            listed.append((path, place))
        _check_pictures(listed, layer, where)


def _check_pictures(listed, layer, where):
    """Decodes the pictures [(path, its place in the list)] and compares their sizes."""
    param, crop = layer.image_data_param, layer.transform_param.crop_size
    resized = (param.new_height, param.new_width) if param.new_height and param.new_width else None
    stop, first = time.monotonic() + PICTURE_SECONDS, None
    for count, (path, place) in enumerate(random.Random(0).sample(listed, len(listed))):
        if time.monotonic() > stop:
            sys.stderr.write(
                f"{where} {param.source}: {count} of {len(listed)} pictures were opened before "
                f"training, in {PICTURE_SECONDS:g} s; Caffe ends the process at a damaged one\n")
            return
        try:
            size = require_whole(path)
        except InputError as problem:
            raise InputError(f"{place}: {problem.what}", problem.fix) from None
        size = resized or size
        if min(size) < crop:
            raise InputError(f"{place}: {path}: {_by(size)} pixels; crop_size is {crop}",
                             "use a smaller crop_size, or new_height and new_width")
        first = first or (path, size)
        if size != first[1] and param.batch_size > 1 and not crop:
            raise InputError(f"{place}: {path}: {_by(size)} pixels, and {first[0]} has "
                             f"{_by(first[1])}; the pictures of a batch need one size",
                             "use batch_size: 1, crop_size, or new_height and new_width")


def _by(size):
    return f"{size[0]} x {size[1]}"


class LabelWatch:
    """Compares the labels of a built net's losses with their scores, before each loss is computed.

    net: caffe.Net; layers: its running layers; name: its file.  Call it with the number of a layer
    (as Caffe's before_forward does): InputError if that layer is a loss whose labels have a value
    that is no class of its scores and not ignored.
    """

    def __init__(self, net, layers, name):
        self._net, self._name = net, name
        self._names = list(net._layer_names)
        self._losses = {self._names.index(loss.layer.name): (loss, _classes(net, loss.layer))
                        for loss in _losses(layers)}

    def __bool__(self):
        return bool(self._losses)

    def __call__(self, index):
        if index not in self._losses:
            return
        loss, classes = self._losses[index]
        scores, label = loss.layer.bottom[:2]
        labels = self._net.blobs[label].data
        wrong = labels[~((labels > -1) & (labels < classes))]
        wrong = wrong if loss.ignored is None else wrong[wrong.astype(np.int64) != loss.ignored]
        if wrong.size:
            raise InputError(
                f'{self._name}: layer "{loss.layer.name}": its labels "{label}" (read by layer '
                f'"{loss.reader}") have the value {wrong[0]:g}; expected 0 to {classes - 1}, the '
                f'classes of its scores "{scores}"'
                + ("" if loss.ignored is None else f", or {loss.ignored}, which it ignores"),
                "mend the labels, or let the layer ignore the value: loss_param "
                f"{{ ignore_label: {wrong[0]:g} }}")

    def first_batches(self, seconds=SECONDS, batches=BATCHES):
        """Runs the layers that make the labels, and looks at their first batches."""
        stop, layers = time.monotonic() + seconds, self._net.layers
        for _ in range(batches):
            for index, (loss, _) in sorted(self._losses.items()):
                for earlier in range(index):
                    if self._names[earlier] in loss.makers or layers[earlier].type == "Split":
                        self._net._forward(earlier, earlier)
                self(index)
            if not self._losses or time.monotonic() > stop:
                return


def _losses(layers):
    """[_Loss] of the layers whose labels are read by Caffe's own data layers."""
    found = []
    for position, layer in enumerate(layers):
        if layer.type not in _AXIS and layer.type not in _WHOLE or len(layer.bottom) < 2:
            continue
        makers, blobs = [], {layer.bottom[1]}
        for earlier in reversed(layers[:position]):
            if blobs.intersection(earlier.top):
                makers.insert(0, earlier)
                blobs.update(earlier.bottom)
        readers = [maker.name for maker in makers if maker.type in _READERS]
        if not readers:
            continue
        param = layer.accuracy_param if layer.type == "Accuracy" else layer.loss_param
        ignored = (param.ignore_label
                   if layer.type in _AXIS and param.HasField("ignore_label") else None)
        found.append(_Loss(layer, ignored, [maker.name for maker in makers], readers[0]))
    return found


def _classes(net, layer):
    """Number of classes of the scores of a loss."""
    shape = net.blobs[layer.bottom[0]].data.shape
    if layer.type in _WHOLE:
        return math.prod(shape[1:])
    return shape[getattr(layer, _AXIS[layer.type]).axis]
