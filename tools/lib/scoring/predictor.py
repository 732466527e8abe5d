"""Class scores and label maps of images of any size, by a deploy net of real Caffe.

The deploy net's own output is the truth.  Two shortcuts are taken where the net's layers and
weights allow them and a comparison with the whole net agrees when it is loaded: large images are
computed in tiles, and the scores are read before a fixed bilinear upsampling (TiledNet).  Every
other net is computed as it is, one whole image at a time (WholeNet).
"""
import numpy as np

from data.errors import InputError
from data.transforms import resize
from tools.lib.checking.caffemodel import open_net
from tools.lib.checking.device import device_memory, use_device
from tools.lib.device_options import gpu_number
from tools.lib.scoring.deploy_net import InputTransform, load_deploy
from tools.lib.scoring.label_maps import label_map
from tools.lib.scoring.tiled_net import TiledNet
from tools.lib.scoring.whole_net import WholeNet

#: Default share of the machine's or the GPU's memory for one forward pass over a tile.  Larger
#: tiles are faster: with a margin of 186 pixels, a tile of 256 x 256 reads 6 times as many pixels
#: as it keeps, one of 1024 x 1024 only 1.9 times.
SHARE = 0.25
#: Label maps are 8-bit, and 255 is no class.
MOST_CLASSES = 255


class Predictor:
    """A deploy net with weights.

    .classes: number of scores; .geometry: net_geometry.Geometry of a net that is computed in tiles
    (stride, margin, overlap), whole_net.Sizes of another (stride, margin); .mean: BGR values
    subtracted from every image; .budget: bytes of a forward pass over a tile; .whole_because: why
    the net is computed whole, None in tiles.
    """

    def __init__(self, model, weights, device="cpu", mean=None, budget=None, score_blob=None):
        """model, weights: paths of the deploy prototxt and the caffemodel, loaded by layer name.

        device: "cpu" or "gpu:N".  mean: three BGR values 0..255; None takes those of
        the net's input (transform_param).  budget: bytes that a forward pass may hold (default:
        SHARE of the memory for a tile, all of it for a net that is computed whole).  score_blob:
        name of the output with the scores, where there are several.  Raises InputError when the
        files do not fit, and when they do not give a score for each class and pixel.
        """
        deploy = load_deploy(model, score_blob)
        transform = InputTransform(deploy, mean)
        use_device(gpu_number(device), f"--device {device}")
        net, _ = open_net(model, weights, deploy.parameter())
        self._output = f"{deploy.name}: the output {deploy.scores}"
        self.classes = _classes(net.blobs[deploy.scores].shape, deploy)
        self.mean = transform.mean
        self._last_wins, self.whole_because = deploy.last_wins, None
        self.budget = SHARE * device_memory() if budget is None else budget
        try:
            self._runner = TiledNet(deploy, net, transform, self.budget)
        except InputError as error:
            self.whole_because = error.what
            self._runner = WholeNet(deploy, net, transform, budget, error.what)
        self.geometry = self._runner.geometry

    def predict(self, image, size=None, scale=1.0):
        """(rows, columns) uint8 classes of an image (H, W, 3) uint8 BGR.

        size: (rows, columns) of the result, the image's own by default.  scale: the image is
        resized by this factor first; the scores, not the labels, are resized to `size`.
        """
        size = image.shape[:2] if size is None else tuple(size)
        image = resize(image, scale)
        scores = self.scores(image)
        if self.geometry.stride != 1 or size != image.shape[:2]:
            self._require(np.isfinite(scores), "an infinity, and it has to be interpolated")
        return label_map(scores, self.geometry.stride, image.shape[:2], size, self._last_wins)

    def scores(self, image):
        """(C, h, w) float32 scores of an image (H, W, 3) uint8 BGR, h = ceil(H / stride).

        They are the net's output, before a fixed bilinear upsampling where the net is computed in
        tiles.  The image is continued by reflection to a size that the net takes, and by the net's
        margin on every side.  Raises InputError where a score is nan.
        """
        scores = self._runner.scores(image)
        self._require(~np.isnan(scores), "nan")
        return scores

    def _require(self, good, found):
        """Raises InputError unless all of `good` (C, h, w) is true; found: the other scores."""
        if not good.all():
            height, width = good.shape[1:]
            raise InputError(f"{self._output} is {found} at {np.sum(~good.all(axis=0))} of its "
                             f"{height} x {width} units for an image; no class has the highest "
                             "score there", "look for a layer that can give such values, as Log, "
                             "Exp and Power do, or use other weights")


def _classes(shape, deploy):
    """Number of classes of scores of that shape; InputError where there is no arg max of them."""
    shape = tuple(shape)
    if len(shape) != 4 or not 2 <= shape[1] <= MOST_CLASSES:
        raise InputError(f"{deploy.name}: the output {deploy.scores} has the shape "
                         f"{' x '.join(map(str, shape))}; expected 1 x classes x rows x columns "
                         f"with 2 to {MOST_CLASSES} classes")
    return shape[1]
