"""Class scores and label maps of images of any size, by a deploy net of real Caffe.

Predictor is the whole way from an image to labels; the functions below it are its steps: loading
the net, choosing tiles, and bringing scores to the size of the labels.

Tiles are counted in units of the score map (`stride` pixels each).  A net without padding computes
each unit from its own window of the padded image, and tiles need no overlap.  A net with zero
padding is wrong near a cut edge: a tile computes `overlap` more units there, which are thrown away.
At the image's own edge a tile has no more units: the whole image would be padded with zeros there
too.
"""
from collections import namedtuple

import caffe
import cv2
import numpy as np
from caffe.proto import caffe_pb2

from data.errors import InputError
from data.transforms import cut_image, resize, to_blob
from tools.lib.checking.caffemodel import open_net
from tools.lib.checking.device import device_memory, use_device
from tools.lib.checking.net import check_net, load_net
from tools.lib.scoring.net_geometry import read_geometry

#: Default share of the machine's or the GPU's memory for one forward pass.  Larger tiles are
#: faster: with a margin of 186 pixels, a tile of 256 x 256 reads 6 times as many pixels as it
#: keeps, one of 1024 x 1024 only 1.9 times.
SHARE = 0.25


class Predictor:
    """A deploy net with weights.

    .classes: number of scores; .geometry: net_geometry.Geometry (stride, margin, overlap);
    .mean: BGR values subtracted from every image.
    """

    def __init__(self, model, weights, device="cpu", mean=None, budget=None):
        """model, weights: paths of the deploy prototxt and the caffemodel, loaded by layer name.

        device: "cpu" or the number of a GPU.  mean: three BGR values 0..255; None takes those of
        the net's input (transform_param).  budget: bytes that a forward pass may hold (default:
        SHARE of the memory); larger images are computed in tiles.  Raises InputError when the files
        do not fit.
        """
        self._front, self._head, self.geometry, own_mean = load_deploy(model, weights, device)
        self.classes = self.geometry.classes
        if mean is None and own_mean is None:
            raise InputError(f"{model} names no mean (transform_param of its input)",
                             "give it: --mean B G R")
        self.mean = np.array(own_mean if mean is None else mean, np.float32)
        self.budget = SHARE * device_memory() if budget is None else budget

    def predict(self, image, size=None, scale=1.0):
        """(rows, columns) uint8 classes of an image (H, W, 3) uint8 BGR.

        size: (rows, columns) of the result, the image's own by default.  scale: the image is
        resized by this factor first; the scores, not the labels, are resized to `size`.
        """
        size = image.shape[:2] if size is None else tuple(size)
        image = resize(image, scale)
        return label_map(self.scores(image), self.geometry.stride, image.shape[:2], size)

    def scores(self, image):
        """(C, h, w) float32 scores of an image (H, W, 3) uint8 BGR, before upsampling.

        h = ceil(H / stride): the image is continued by reflection to a multiple of the stride,
        and by the net's margin on every side.
        """
        stride, margin, overlap = (self.geometry.stride, self.geometry.margin,
                                   self.geometry.overlap)
        units = tuple(-(-side // stride) for side in image.shape[:2])
        padded = cut_image(image, (0, 0, False), tuple(unit * stride for unit in units), margin)
        tile = choose_tile(self.geometry, units, self.budget)
        stitched = np.empty((self.geometry.channels,) + units, np.float32)
        for rows in spans(units[0], tile[0], overlap):
            for columns in spans(units[1], tile[1], overlap):
                window = padded[rows.pixels(stride, margin), columns.pixels(stride, margin)]
                part = _forward(self._front, self.geometry.data, to_blob(window, self.mean),
                                self.geometry.tiled)
                stitched[:, rows.kept, columns.kept] = part[:, rows.kept_of_run,
                                                            columns.kept_of_run]
        if self._head is None:
            return stitched
        # a padded context module sees the whole map at once, as it would without tiles
        return _forward(self._head, self.geometry.tiled, stitched, self.geometry.scores).copy()


def _forward(net, data, values, wanted):
    """The blob `wanted` (C', h', w') of a net whose input blob `data` holds values (C, h, w)."""
    blob = net.blobs[data]
    shape = (1,) + values.shape
    if tuple(blob.shape) != shape:
        blob.reshape(*shape)
        net.reshape()
    blob.data[0] = values
    net.forward()
    return net.blobs[wanted].data[0]


# ---- the net

def load_deploy(model, weights, device="cpu"):
    """(front, head, Geometry, mean) of a deploy prototxt and a caffemodel, loaded by layer name.

    front: caffe.Net from the image to the blob that is computed in tiles; head: caffe.Net from
    there to the scores, None when that blob is the score map.  device: "cpu" or the number of a
    GPU.  mean: three BGR floats from the input's transform_param, or None.

    Raises InputError when a layer finds no weights or a file is wrong.  The files are checked
    first, because Caffe ends the process at a wrong one.
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


# ---- tiles

class Span(namedtuple("Span", "keep_start keep_stop run_start run_stop")):
    """One tile along one axis, in units: it computes [run_start, run_stop) and keeps
    [keep_start, keep_stop)."""

    @property
    def kept(self):
        """Slice of the whole score map that this tile fills."""
        return slice(self.keep_start, self.keep_stop)

    @property
    def kept_of_run(self):
        """The same units as a slice of what the tile computes."""
        return slice(self.keep_start - self.run_start, self.keep_stop - self.run_start)

    def pixels(self, stride, margin):
        """Slice of the padded image that the tile reads, the margin on both sides included."""
        return slice(self.run_start * stride, self.run_stop * stride + 2 * margin)


def spans(units, tile, overlap):
    """List of Span that cover 0..units, each keeping at most `tile` units.

    The kept lengths differ by at most one, so that the net is reshaped rarely.
    """
    if units < 1 or tile < 1 or overlap < 0:
        raise ValueError("units and tile must be at least 1 and overlap at least 0")
    count = -(-units // tile)
    edges = [units * i // count for i in range(count + 1)]
    return [Span(start, stop, max(0, start - overlap), min(units, stop + overlap))
            for start, stop in zip(edges, edges[1:])]


def choose_tile(geometry, units, budget):
    """Largest kept tile (rows, columns) in units whose forward pass stays within `budget` bytes.

    units: (rows, columns) of the whole score map.  The longer side is halved until the pass fits;
    the smallest tile has 8 units a side, even when it does not fit.
    """
    tile = list(units)
    while tile_bytes(geometry, units, tile) > budget and max(tile) > 8:
        longer = 0 if tile[0] >= tile[1] else 1
        tile[longer] = max(8, -(-tile[longer] // 2))
    return tuple(tile)


def tile_bytes(geometry, units, tile):
    """Bytes of the forward pass over the largest tile, overlap and margin included."""
    pixels = []
    for whole, kept in zip(units, tile):
        longest = max(s.run_stop - s.run_start for s in spans(whole, kept, geometry.overlap))
        pixels.append(longest * geometry.stride + 2 * geometry.margin)
    return geometry.forward_bytes(*pixels)


# ---- from scores to labels

def label_map(scores, stride, image_size, size=None):
    """(H, W) uint8: the class with the highest upsampled score, the first of equals.

    scores (C, h, w) float32, image_size and size as in `upsample`; size None: the image's.
    One full-size plane of scores is held at a time, never all classes.
    """
    size = image_size if size is None else size
    best = np.ascontiguousarray(upsample(scores[0], stride, image_size, size))
    winner = np.zeros(best.shape, np.uint8)
    for number in range(1, scores.shape[0]):
        plane = np.ascontiguousarray(upsample(scores[number], stride, image_size, size))
        higher = cv2.compare(plane, best, cv2.CMP_GT)
        cv2.max(plane, best, best)
        np.putmask(winner, higher, number)
    return winner


def upsample(plane, stride, image_size, size):
    """One class's scores at `size` (rows, columns) from its score map plane (h, w) float32.

    Bilinear with the centre of unit i at pixel stride * (i + 1/2) - 1/2, as the net's fixed
    Deconvolution does.  At the border the nearest unit is held; the Deconvolution fades all classes
    alike there, and so the order of the classes is the same.  The map covers the image (image_size,
    rows and columns) and perhaps some rows and columns beyond, which are cut off before the scores
    are resized to a `size` that differs.
    """
    full = cv2.resize(plane, (plane.shape[1] * stride, plane.shape[0] * stride),
                      interpolation=cv2.INTER_LINEAR)
    full = full[:image_size[0], :image_size[1]]
    if tuple(size) != tuple(image_size):
        full = cv2.resize(full, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return full
