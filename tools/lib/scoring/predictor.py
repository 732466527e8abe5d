"""Class scores and label maps of images of any size, by a deploy net of real Caffe."""
import numpy as np

from data.errors import InputError
from data.transforms import cut_image, resize, to_blob
from tools.lib.checking.device import device_memory
from tools.lib.scoring.deploy import load_deploy
from tools.lib.scoring.tiling import choose_tile, spans
from tools.lib.scoring.upsample import label_map

#: Share of the memory of the machine, or of the GPU in use, that one forward pass may hold, unless
#: told otherwise.  Larger
#: tiles are faster: a window of 256 carries six times its pixels as margin, one of 1024 twice.
SHARE = 0.25


class Predictor:
    """A deploy net with weights.

    .classes: number of scores; .geometry: net_geometry.Geometry (stride, margin, overlap);
    .mean: BGR values subtracted from every image.
    """

    def __init__(self, model, weights, device="cpu", mean=None, budget=None):
        """model, weights: paths of the deploy prototxt and the caffemodel, whose layers load by
        name.

        device: "cpu" or the number of a GPU.  mean: three BGR values 0..255; None takes those of
        the net's input (transform_param).  budget: bytes a forward pass may hold (default: SHARE
        of the memory); larger images are computed in tiles.  Raises InputError for files that do not fit.
        """
        self._front, self._head, self.geometry, own_mean = load_deploy(model, weights, device)
        self.classes = self.geometry.classes
        if mean is None and own_mean is None:
            raise InputError(f"{model} names no mean (transform_param of its input)",
                             "give it: --mean B G R")
        self.mean = np.array(own_mean if mean is None else mean, np.float32)
        self.budget = SHARE * device_memory() if budget is None else budget

    def predict(self, image, size=None, scale=1.0):
        """(H, W) uint8 classes of an image (H, W, 3) uint8 BGR.

        size: (rows, columns) of the answer, the image's own unless given.  scale: the image is
        resized by this factor first; the scores, not the labels, are brought to `size`.
        """
        size = image.shape[:2] if size is None else tuple(size)
        image = resize(image, scale)
        return label_map(self.scores(image), self.geometry.stride, image.shape[:2], size)

    def scores(self, image):
        """(C, h, w) float32 scores of an image (H, W, 3) uint8 BGR, before upsampling.

        h = ceil(H / stride): the image is continued by reflection to a multiple of the stride,
        and by the net's margin on every side.
        """
        stride, margin = self.geometry.stride, self.geometry.margin
        units = tuple(-(-side // stride) for side in image.shape[:2])
        padded = cut_image(image, (0, 0, False), tuple(unit * stride for unit in units), margin)
        tile = choose_tile(self.geometry, units, self.budget)
        stitched = np.empty((self.geometry.channels,) + units, np.float32)
        for rows in spans(units[0], tile[0], self.geometry.overlap):
            for columns in spans(units[1], tile[1], self.geometry.overlap):
                window = padded[rows.run_start * stride:rows.run_stop * stride + 2 * margin,
                                columns.run_start * stride:columns.run_stop * stride + 2 * margin]
                part = _forward(self._front, self.geometry.data, to_blob(window, self.mean),
                                self.geometry.tiled)
                stitched[:, rows.keep_start:rows.keep_stop, columns.keep_start:columns.
                         keep_stop] = part[:, rows.keep_start - rows.run_start:rows.keep_stop -
                                           rows.run_start, columns.keep_start -
                                           columns.run_start:columns.keep_stop - columns.run_start]
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
