"""Sizes of the front-end, apart from Caffe so that any tool may read them."""
from collections import namedtuple

MARGIN = 186            # pixels that the unpadded convolutions consume on each side
STRIDE = 8              # of `final`: three poolings are left of VGG-16's five

# channels: one number a VGG block; fc: channels of fc6 and fc7; hidden: channels of the
# domain classifier's hidden layers; dropout: ratio behind fc6, fc7 and those; frozen_blocks:
# so many first blocks keep their initial weights (lr_mult 0).
Shape = namedtuple("Shape", "channels fc hidden dropout margin frozen_blocks")

FULL = Shape(channels=(64, 128, 256, 512, 512), fc=4096, hidden=(1024, 512),
             dropout=0.5, margin=MARGIN, frozen_blocks=0)
# VGG's own convolutions, so that ImageNet weights load, but fc6 and fc7 a sixteenth
# as wide and no margin: what two CPU cores train in the better part of an hour.  The two first
# blocks keep their ImageNet filters, as in Fast R-CNN: half of the backward time is theirs.
SMALL = Shape(channels=(64, 128, 256, 512, 512), fc=256, hidden=(128, 64),
              dropout=0.5, margin=0, frozen_blocks=2)
# Dropout of one half cripples a net this narrow.
SLIM = Shape(channels=(8, 16, 32, 32, 32), fc=64, hidden=(64, 32), dropout=0.1,
             margin=0, frozen_blocks=0)

CONVS_A_BLOCK = (2, 2, 3, 3, 3)     # VGG-16's convolutions
