"""The frame and the random numbers of each position: functions of (seed, position) alone.

A stream runs through all its frames once an epoch, each epoch in another order.  No state is
carried from one position to the next, so a resumed run continues exactly where it was, and any
number of workers draws the same samples.
"""
import functools

import numpy as np

STREAMS = {"source": 0, "target": 1}
#: Purposes of the random numbers at a position; each has numbers of its own.
WINDOW, _ORDER, AUGMENTATION = range(3)


def generator(seed, stream, position, purpose=WINDOW):
    """A numpy Generator for the random choices at one position of a stream ("source" or "target").

    Use only its random(): across versions numpy promises the bits, not the algorithms of
    permutation() or integers().
    """
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence((seed, STREAMS[stream], purpose, position))))


@functools.lru_cache(maxsize=8)
def epoch_order(seed, stream, epoch, frames):
    """The order of `frames` frames in an epoch: a permutation of 0..frames-1, int64."""
    bits = np.random.PCG64(np.random.SeedSequence((seed, STREAMS[stream], _ORDER, epoch)))
    return np.argsort(np.random.Generator(bits).random(frames), kind="stable")


def frame_index(seed, stream, position, frames):
    """The index of the frame at `position` (0, 1, 2, ...) of a stream over `frames` frames."""
    epoch, step = divmod(position, frames)
    return int(epoch_order(seed, stream, epoch, frames)[step])
