"""The data layer: labelled source images and unlabelled target images in one batch."""
import caffe
import numpy as np

from data import sharing
from data.augmentation import Augmentation
from data.batches import BatchMaker, domain_frames, make_domain
from data.errors import InputError
from data.params import boolean, check_params, integer, list_of, mapping, number, parse_params, text
from data.prefetch import open_stream
from data.registry import open_dataset
from data.transforms import FACTORS

_NAME = "SourceTargetData"


class SourceTargetData(caffe.Layer):
    """Serves batch k at its k-th forward pass; batch k is a function of (seed, k) alone.

    No bottoms.
    tops: data (source images + target images, 3, H + 2 margin, W + 2 margin), BGR minus the mean,
          source images first;
          label (source images, 1, H, W), train ids and 255 = ignored; not with source_images 0.

    param_str, for example {
        "source": {"dataset": "gta5_half", "split": "train[:54]", "label_space": "camvid"},
        "target": {"dataset": "camvid", "split": "day_train"},
        "source_images": 1, "target_images": 1, "crop": [256, 256], "margin": 186,
        "mean": [118.5, 128.2, 132.6], "seed": 1}:
        source, target  dataset, split (a slice may follow), and optionally label_space and the data
                        set's "options".  No label of a target frame is ever opened.  With
                        target_images 0, leave "target" out; likewise "source".
        source_images, target_images
                        images of each in a batch (default 1 and 0)
        crop            [H, W] of the label window, after resizing
        margin          pixels of context around the window: the image's own, beyond its edge
                        reflected (default 0)
        mirror          mirror half of the samples left to right (default true)
        source_resize, target_resize
                        factor on images and labels before cropping, 0.01 to 16 (default 1)
        source_scale, target_scale
                        [least, most]: another factor, random for each sample, uniform in its
                        logarithm (default [1, 1]: none)
        source_jitter, target_jitter
                        random colours for each sample (default {}: none): an object with any of
                        brightness, contrast, saturation and channels, each from 0 (off) to 1
                        (data/augmentation.py)
        mean            [blue, green, red] to subtract
        seed            of the random choices and of the order of frames (default 1)
        workers         processes that make batches ahead; 0 makes them in the main process
                        (default 2)
    """

    def setup(self, bottom, top):
        params = parse_params(_NAME, self.param_str, REQUIRED, OPTIONAL)
        if len(bottom) != 0 or len(top) != (2 if params["source_images"] else 1):
            tops = "data, label" if params["source_images"] else "data alone (source_images is 0)"
            raise InputError(f"{_NAME}: takes no bottoms and the tops {tops}; found {len(bottom)} "
                             f"and {len(top)}")
        maker = BatchMaker(_domain(params, "source"), _domain(params, "target"),
                           tuple(params["crop"]), params["margin"], params["mirror"],
                           tuple(params["mean"]), params["seed"])
        if maker.shapes[0][0] == 0:
            raise InputError(f"{_NAME}: source_images and target_images are both 0")
        self.shapes = maker.shapes
        # one process runs the tests for all
        self.share = sharing.current() if self.phase == caffe.TRAIN else sharing.ALONE
        self.stream = open_stream(self.share.of(maker), params["workers"])

    def set_position(self, position):
        """Makes the next forward pass serve batch `position`.

        Where several processes train together, it serves this process's next batch from there on.
        """
        self.stream.set_position(self.share.own(position))

    def close(self):
        """Ends the worker processes, for a process that makes one net after the other.

        Caffe frees no Python layer before the process ends; then they end by themselves.
        """
        self.stream.close()

    def reshape(self, bottom, top):
        for index in range(len(top)):  # Caffe's vector of tops can be indexed, but not iterated
            top[index].reshape(*self.shapes[index])

    def forward(self, bottom, top):
        # batch k = source samples, then target samples; of each sample:
        #   1. frame = order(seed, epoch)[step], epoch and step from k
        #   2. read and resize it
        #   3. window, mirror, scale, colours = random(seed, domain, sample number)
        #   4. cut the window with its margin, subtract the mean
        label = top[1].data if len(top) > 1 else np.empty(self.shapes[1], np.float32)
        self.stream.fetch(top[0].data, label)

    def backward(self, top, propagate_down, bottom):
        pass


REQUIRED = {"crop": list_of(integer(minimum=1), 2), "mean": list_of(number(0, 255), 3)}
OPTIONAL = {
    "source": (mapping(), None), "target": (mapping(), None),
    "source_images": (integer(minimum=0), 1), "target_images": (integer(minimum=0), 0),
    "margin": (integer(minimum=0), 0), "mirror": (boolean(), True),
    "source_resize": (number(*FACTORS), 1), "target_resize": (number(*FACTORS), 1),
    "source_scale": (list_of(number(*FACTORS), 2), [1, 1]),
    "target_scale": (list_of(number(*FACTORS), 2), [1, 1]),
    "source_jitter": (mapping(), {}), "target_jitter": (mapping(), {}),
    "seed": (integer(minimum=0, maximum=2**31 - 1), 1),
    "workers": (integer(minimum=0, maximum=64), 2),
}
JITTER = {key: (number(0, 1), 0) for key in ("brightness", "contrast", "saturation", "channels")}


def served_frames(param_str):
    """[(side, DataSet, frames, labelled)] of the domains that a layer with this param_str serves.

    side: "source" or "target".  No frame's files are checked.  Raises InputError as the layer's
    setup does.
    """
    params = parse_params(_NAME, param_str, REQUIRED, OPTIONAL)
    opened = [(side, _opened(params, side)) for side in ("source", "target")]
    return [(side, data, domain_frames(data, split, _labelled(side)), _labelled(side))
            for side, (data, split) in opened if data is not None]


def _domain(params, side):
    """The source or the target as a data.batches.Domain; None without images of it."""
    data, split = _opened(params, side)
    return data and make_domain(side, data, split, params[side + "_images"],
                                params[side + "_resize"], _labelled(side),
                                _augmentation(params, side))


def _augmentation(params, side):
    """The Augmentation of the source or the target."""
    least, most = params[side + "_scale"]
    where = f'{_NAME}: "{side}_scale"'
    if least > most:
        raise InputError(f"{where} is [{least}, {most}]", "give the smaller factor first")
    extremes = [factor * params[side + "_resize"] for factor in (least, most)]
    if extremes[0] < FACTORS[0] or extremes[1] > FACTORS[1]:
        raise InputError(f'{where} times "{side}_resize" reaches {extremes[0]:g} to '
                         f"{extremes[1]:g}; expected factors from {FACTORS[0]} to {FACTORS[1]}")
    jitter = check_params(f'{_NAME}: "{side}_jitter"', params[side + "_jitter"], {}, JITTER)
    return Augmentation((least, most), **jitter)


def _labelled(side):
    return side == "source"


def _opened(params, side):
    """(DataSet, split) of the source or the target; (None, None) without images of it."""
    images, given = params[side + "_images"], params[side]
    if not images and given is None:
        return None, None
    where = f'{_NAME}: "{side}"'
    if given is None or not images:
        state = "missing" if given is None else "given"
        raise InputError(f'{where} is {state}, but "{side}_images" is {images}',
                         "give both, or neither")
    chosen = check_params(where, given, {"dataset": text(), "split": text()},
                          {"label_space": (text(), None), "options": (mapping(), {})})
    reserved = sorted({"name", "root", "space"}.intersection(chosen["options"]))
    if reserved:
        raise InputError(f"{where}: {reserved[0]} is no option of a data set",
                         "the folder of all data sets is chosen by --data-root or DATA_ROOT, the "
                         "classes by label_space")
    return open_dataset(chosen["dataset"], space=chosen["label_space"],
                        **chosen["options"]), chosen["split"]
