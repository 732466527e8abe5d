"""The toy: street scenes drawn when they are read, in 8 classes and two looks.

For trying methods in minutes; it says nothing about real streets.  Frame i of a split is a function
of (domain, split, i) alone.  OpenCV 4.8 to 4.10 draw the bytes that the committed results were made
with; in other versions some pixels at the edges of things differ.
"""
import numpy as np

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.toy_look import LOOKS, paint
from data.toy_scene import make_scene

SPLITS = {"source_train": 400, "source_val": 100, "target_train": 400, "target_val": 100}  # frames
_NUMBERS = {"source": 0, "target": 1, "train": 0, "val": 1}


def draw_toy(split, index):
    """(image, label) number `index` of a split.

    The image is (96, 160, 3) uint8, BGR; the label (96, 160) uint8 train ids, 255 ignored.
    """
    domain, _, part = split.partition("_")
    layout, look = (np.random.Generator(np.random.PCG64(np.random.SeedSequence(
        (_NUMBERS[domain], _NUMBERS[part], index, purpose)))) for purpose in (0, 1))
    return paint(make_scene(layout), LOOKS[domain], look)


def list_frames(folder, split, options):
    """The frames source_train/0000, ...: without files; the name determines the drawing."""
    if split not in SPLITS:
        raise InputError(f"toy has no split {split!r}; it has {', '.join(SPLITS)}")
    return [Frame(f"{split}/{index:04d}") for index in range(SPLITS[split])]


def read_pair(frame):
    """(image, label) of a frame from list_frames."""
    split, _, index = frame.name.partition("/")
    return draw_toy(split, int(index))


def read_image(frame):
    """The image of a frame from list_frames."""
    return read_pair(frame)[0]


RECORDS = (
    DatasetSpec(
        name="toy", folder="toy", mean=(128, 128, 128), splits=tuple(SPLITS),
        tables={"toy": {}},     # drawn labels hold train ids already
        list_frames=list_frames, read_image=read_image, read_pair=read_pair),)
