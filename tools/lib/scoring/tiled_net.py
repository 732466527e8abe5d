"""Scores of a net that can be computed in tiles, and a comparison of tiles with the whole net.

Tiles are counted in units of the score map (`stride` pixels each).  A net without padding computes
each unit from its own window of the padded image, and tiles need no overlap.  In a net with zero
padding, the units near a tile's edge are wrong where the tile was cut from the image: the tile
computes `overlap` more units there and discards them.  At the image's own edge it computes no more
units, because the whole image is padded with zeros there too.
"""
import os
import tempfile
from collections import namedtuple

import caffe
import numpy as np

from data.errors import InputError
from data.machine_memory import machine_memory
from data.transforms import cut_image
from tools.lib.checking.device import device_memory
from tools.lib.checking.dry_run import cheap
from tools.lib.checking.prototxt import write_prototxt
from tools.lib.scoring.deploy_net import CHANNELS, net_of
from tools.lib.scoring.label_maps import label_map, require_bilinear
from tools.lib.scoring.net_geometry import read_geometry

#: Fewest units that a tile keeps along an axis, where the image has as many.
SMALLEST = 8
#: Share of the largest score by which scores in tiles and scores of a whole pass may differ: the
#: rounding of sums in another order, in a deep net on a GPU.
ROUNDING = 1e-3


class TiledNet:
    """The front of a net, computed in tiles, and its head, computed over the whole map.

    geometry: net_geometry.Geometry; transform: deploy_net.InputTransform; budget: bytes that one
    forward pass may hold.
    """

    def __init__(self, deploy, whole, transform, budget):
        """deploy: deploy_net.DeployNet; whole: caffe.Net of all its layers, with weights.

        Raises InputError with the reason where tiles are not proven to give what the net gives
        whole: by its layers, by its weights, or by a comparison on a small image.
        """
        self.geometry = read_geometry(deploy)
        if self.geometry.upsampling:
            require_bilinear(self.geometry.upsampling, [
                blob.data for blob in whole.params[self.geometry.upsampling]])
        self.transform, self.budget = transform, budget
        self._plans = {}        # size of an image: its units and the tile that fits the budget
        self._front = self._part(deploy, whole, self.geometry.layers, deploy.data, CHANNELS)
        self._head = None
        if self.geometry.head:
            self._head = self._part(deploy, whole, self.geometry.head, self.geometry.tiled,
                                    self.geometry.channels)
        self._compare(deploy, whole)

    def scores(self, image):
        """(C, h, w) float32 scores of an image (H, W, 3) uint8 BGR; h = ceil(H / stride)."""
        size = image.shape[:2]
        if size not in self._plans:
            units = tuple(-(-side // self.geometry.stride) for side in size)
            tile = choose_tile(self.geometry, units, self.budget)
            self._require_memory(size, units, tile)
            self._plans[size] = units, tile
        return self._in_tiles(image, *self._plans[size])

    def _part(self, deploy, whole, names, data, channels):
        """A caffe.Net of the layers `names` that shares the weights of `whole`."""
        layers = [layer for layer in deploy.layers if layer.name in names]
        size = whole.blobs[data].shape[2:]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "part.prototxt")
            write_prototxt(cheap(net_of(layers, f"input of {data}", data, channels, size)), path)
            net = caffe.Net(path, caffe.TEST)
        net.share_with(whole)
        return net

    def _in_tiles(self, image, units, tile):
        """The scores of an image, computed in tiles that keep at most `tile` units."""
        stride, margin, overlap = (self.geometry.stride, self.geometry.margin,
                                   self.geometry.overlap)
        padded = cut_image(image, (0, 0, False), tuple(unit * stride for unit in units), margin)
        stitched = np.empty((self.geometry.channels,) + units, np.float32)
        for rows in spans(units[0], tile[0], overlap):
            for columns in spans(units[1], tile[1], overlap):
                window = padded[rows.pixels(stride, margin), columns.pixels(stride, margin)]
                part = forward(self._front, self.geometry.data, self.transform(window),
                               self.geometry.tiled)
                stitched[:, rows.kept, columns.kept] = part[:, rows.kept_of_run,
                                                            columns.kept_of_run]
        if self._head is None:
            return stitched
        # a padded context module sees the whole map at once, as it would without tiles
        return forward(self._head, self.geometry.tiled, stitched, self.geometry.scores).copy()

    def _require_memory(self, size, units, tile):
        """Raises InputError where the padded image or the smallest tile cannot fit the memory."""
        padded = [unit * self.geometry.stride + 2 * self.geometry.margin for unit in units]
        # cut_image copies rows first and columns then
        copies = CHANNELS * padded[0] * (padded[1] + size[1])
        for need, have in ((copies, machine_memory()),
                           (tile_bytes(self.geometry, units, tile), device_memory())):
            if need > have:
                raise InputError(
                    f"an image of {size[0]} x {size[1]} pixels with the net's margin of "
                    f"{self.geometry.margin} pixels needs at least {need / 1e9:.1f} GB of memory; "
                    f"this process may have {have / 1e9:.1f} GB")

    def _compare(self, deploy, whole):
        """Raises InputError unless two tiles give the scores and labels of one pass of `whole`."""
        kept, stride = self.geometry.overlap + 1, self.geometry.stride
        # each tile ends one unit before the far edge of the image, or earlier
        for units, tile in (((2 * kept, 2), (kept, 2)), ((2, 2 * kept), (2, kept))):
            size = tuple(unit * stride for unit in units)
            image = np.random.RandomState(0).randint(0, 256, size + (CHANNELS,)).astype(np.uint8)
            self._require_memory(size, units, units)
            tiles = self._in_tiles(image, units, tile)
            padded = cut_image(image, (0, 0, False), size, self.geometry.margin)
            result = forward(whole, deploy.data, self.transform(padded), deploy.scores)
            expected = whole.blobs[self.geometry.scores].data[0]
            with np.errstate(invalid="ignore"):     # infinity minus infinity
                # written so that nan is no agreement
                agree = tiles.shape == expected.shape and (
                    np.abs(tiles - expected).max() <= ROUNDING * np.abs(expected).max())
            if not agree:
                raise InputError("two tiles give other scores than the whole image "
                                 "(a comparison when the net was loaded)")
            if self.geometry.upsampling and not _same_labels(label_map(tiles, stride, size),
                                                             result):
                raise InputError("the scores before the upsampling give other labels than the "
                                 "net's output (a comparison when the net was loaded)")


def _same_labels(labels, result):
    """Whether labels (H, W) are the arg max of the net's output (C, H, W).

    Only pixels count whose two highest scores differ by more than rounding.
    """
    if labels.shape != result.shape[1:]:
        return False
    second, best = np.sort(result, 0)[-2:]
    clear = best - second > 2 * ROUNDING * np.abs(result).max()
    return bool((labels == result.argmax(0))[clear].all())


def forward(net, data, values, wanted):
    """The blob `wanted` (C', h', w') of a net whose input blob `data` holds values (C, h, w)."""
    blob = net.blobs[data]
    shape = (1,) + values.shape
    if tuple(blob.shape) != shape:
        blob.reshape(*shape)
        net.reshape()
    blob.data[0] = values
    net.forward()
    return net.blobs[wanted].data[0]


class Span(namedtuple("Span", "keep_start keep_stop run_start run_stop")):
    """One tile along one axis, in units.

    It computes [run_start, run_stop) and keeps [keep_start, keep_stop).
    """

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
    the smallest tile has SMALLEST units a side, even when it does not fit.
    """
    tile = list(units)
    while tile_bytes(geometry, units, tile) > budget and max(tile) > SMALLEST:
        longer = 0 if tile[0] >= tile[1] else 1
        tile[longer] = max(SMALLEST, -(-tile[longer] // 2))
    return tuple(tile)


def tile_bytes(geometry, units, tile):
    """Bytes of the forward pass over the largest tile, overlap and margin included."""
    pixels = []
    for whole, kept in zip(units, tile):
        longest = max(s.run_stop - s.run_start for s in spans(whole, kept, geometry.overlap))
        pixels.append(longest * geometry.stride + 2 * geometry.margin)
    return geometry.forward_bytes(*pixels)
