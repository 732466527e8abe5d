"""Sizes of the front-end.  Apart from Caffe."""
from typing import NamedTuple, Tuple

MARGIN = 186            # pixels that the unpadded convolutions consume on each side
STRIDE = 8              # of `final`: three poolings are left of VGG-16's five


class Shape(NamedTuple):
    """Widths and margin of the front-end and of the domain classifier."""

    channels: Tuple[int, ...]   # of each VGG block
    fc: int                     # channels of fc6 and fc7
    hidden: Tuple[int, ...]     # channels of the domain classifier's hidden layers
    dropout: float              # ratio behind fc6, fc7 and the hidden layers
    margin: int                 # pixels on each side of the window: MARGIN, or 0 (padded)
    frozen_blocks: int          # number of first blocks that keep their initial weights


# The paper's width.
FULL = Shape(channels=(64, 128, 256, 512, 512), fc=4096, hidden=(1024, 512),
             dropout=0.5, margin=MARGIN, frozen_blocks=0)
# VGG's own convolutions, so that ImageNet weights load, but fc6 and fc7 a sixteenth as wide and no
# margin: two CPU cores train it in the better part of an hour.  The first two blocks keep their
# ImageNet filters, as in Fast R-CNN: they would take half of the backward time.
SMALL = Shape(channels=(64, 128, 256, 512, 512), fc=256, hidden=(128, 64),
              dropout=0.5, margin=0, frozen_blocks=2)
# For drawn scenes.  A dropout of one half cripples a net this narrow.
SLIM = Shape(channels=(8, 16, 32, 32, 32), fc=64, hidden=(64, 32), dropout=0.1,
             margin=0, frozen_blocks=0)

CONVS_A_BLOCK = (2, 2, 3, 3, 3)     # VGG-16's convolutions
