"""Which batches of a stream this process serves when several processes train together.

Process r of n serves batches r, r + n, r + 2n, ...: together, one iteration serves the
batches that one process with iter_size n would.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Process `rank` of `size`."""

    rank: int = 0
    size: int = 1

    def own(self, batch):
        """How many of its own batches this process has served before batch number `batch`."""
        return batch // self.size

    def of(self, maker):
        """A maker (data.batches.BatchMaker) of this process's own batches alone."""
        return maker if self.size == 1 else _OwnBatches(maker, self)


@dataclass(frozen=True)
class _OwnBatches:
    maker: object
    share: Share

    @property
    def shapes(self):
        return self.maker.shapes

    def fill(self, batch, data, label, **options):
        """Batch number `batch` of this process's own, as BatchMaker.fill."""
        self.maker.fill(batch * self.share.size + self.share.rank, data, label, **options)


ALONE = Share()
_current = ALONE


def current():
    """The share of this process: that of the last set_current, else ALONE."""
    return _current


def set_current(share):
    """Gives this process its share, before any net is made."""
    global _current
    _current = share
