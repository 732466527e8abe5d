"""The smooth part of the dual of the size constraints: its value, mass and Hessian.

It is ``mean_n logsumexp_c(f_nc / T + mu_c)`` for scores f (classes K x pixels N, Caffe's own
layout) and temperature T.  The table ``E = exp(f / T + mu0 - column maximum)`` is made once.  An
evaluation at any mu near mu0 then needs no exponential of its entries: with ``w = exp(mu - mu0)``::

    Z = w E,    value = mean log Z,    mass = w * (E (1 / Z)) / N

which is two matrix-vector products.  Buffers are made once, so memory does not grow with the
number of evaluations.

The products run over blocks of pixels small enough that OpenBLAS keeps them on the calling thread.
Threads cost more than they gain at these sizes (about 10 to 300 microseconds a product), and on a
busy machine much more.  ``category_targets`` limits matrix libraries with other thresholds.
"""
import numpy as np

REBUILD_RANGE = 150.0   # of mu - mu0: e^150 squared is still far from the largest float64
# classes x pixels of a block; OpenBLAS starts threads at 9216 entries (gemv), about 1e4 (syrk)
BLOCK_ENTRIES = 4608


class SizeDual:
    """Scores (K, N) of any float type, and the buffers to evaluate the dual at them.

    ``offset`` (N,): each pixel's largest score; the values that ``evaluate`` returns are those of
    the scores minus it, which keep all their digits.  ``logsumexp`` (N,): of the scores themselves.
    """

    def __init__(self, scores):
        classes, self._pixels = scores.shape
        block = max(BLOCK_ENTRIES // classes // 8 * 8, 8)
        blocks = -(-self._pixels // block)
        # the last block is filled up with zeros, which no sum includes
        padded = (classes, blocks * block)
        self.offset = scores.max(axis=0).astype(float)
        self._scores = scores
        self._table, self._shares = np.empty(padded), np.empty(padded)
        self._base, self._partition = np.empty(padded[1]), np.empty(padded[1])
        self._inverse = np.zeros(padded[1])
        self._grams = np.empty((blocks, classes, classes))
        self._table_blocks, self._share_blocks = (
            array.reshape(classes, blocks, block).transpose(1, 0, 2)
            for array in (self._table, self._shares))
        self._partition_blocks = self._partition.reshape(blocks, block)
        self._inverse_blocks = self._inverse.reshape(blocks, block, 1)
        self._temperature = 1.0
        self._origin = None
        self.evaluate(np.zeros(classes))
        self.logsumexp = self._partition[:self._pixels] + self.offset

    def range(self):
        """The largest difference between two scores of one pixel."""
        return float((self.offset - self._scores.min(axis=0)).max())

    def set_temperature(self, temperature):
        """Makes evaluate() take scores / temperature from now on."""
        self._temperature = temperature
        self._origin = None

    def evaluate(self, mu):
        """``(value, mass)`` at mu (K,): a number and (K,) shares of the pixels that sum to 1."""
        if self._origin is not None and np.array_equal(mu, self._evaluated[0]):
            return self._evaluated[1:]
        if self._origin is None or np.ptp(mu - self._origin) > REBUILD_RANGE:
            self._build(mu)
        # Only differences within mu - origin matter to the shares: centred, they cannot overflow.
        difference = mu - self._origin
        centre = 0.5 * (difference.max() + difference.min())
        self._weights = np.exp(difference - centre)
        np.matmul(self._weights, self._table_blocks, out=self._partition_blocks)
        partition = self._partition[:self._pixels]
        np.divide(1.0, partition, out=self._inverse[:self._pixels])
        mass = self._weights * np.matmul(self._table_blocks,
                                         self._inverse_blocks).sum(axis=0)[:, 0] / self._pixels
        np.log(partition, out=partition)
        self._evaluated = mu.copy(), float(partition.mean()) + self._base_mean + centre, mass
        return self._evaluated[1:]

    def hessian(self):
        """Second derivatives (K, K) at the last mu evaluated.

        Off the diagonal they are -G, G = mean_n P_n P_n'.  A diagonal entry is the sum of the sizes
        of the others in its row.  mass - G_ii is the same number, but on saturated pixels it is the
        difference of two nearly equal ones and has no digits left.
        """
        # E (E / Z^2)' and not (E / Z) (E / Z)': a product of one array with itself goes to BLAS's
        # syrk, which takes twice as long as the general product at these sizes.
        np.multiply(self._inverse, self._inverse, out=self._base)
        np.multiply(self._table, self._base, out=self._shares)
        np.matmul(self._table_blocks, self._share_blocks.transpose(0, 2, 1), out=self._grams)
        gram = self._grams.sum(axis=0)
        hessian = (gram + gram.T) * np.outer(self._weights, -0.5 / self._pixels * self._weights)
        np.fill_diagonal(hessian, 0.0)
        np.fill_diagonal(hessian, -hessian.sum(axis=1))
        return hessian

    def probabilities(self):
        """softmax(scores / T + mu), (K, N), at the last mu evaluated.

        It is a buffer: the next evaluation overwrites it.
        """
        np.multiply(self._table, self._inverse, out=self._shares)
        self._shares *= self._weights[:, None]
        return self._shares[:, :self._pixels]

    def _build(self, origin):
        np.subtract(self._scores, self.offset, out=self._table[:, :self._pixels])
        self._table[:, self._pixels:] = 0.0
        self._table *= 1.0 / self._temperature
        self._table += origin[:, None]
        self._table.max(axis=0, out=self._base)
        self._table -= self._base
        np.exp(self._table, out=self._table)
        self._base_mean = float(self._base[:self._pixels].mean())
        self._origin = origin.copy()


def logsumexp_columns(scores):
    """log sum exp over the first axis of (K, N) scores: (N,) float64."""
    largest = scores.max(axis=0)
    exponentials = np.subtract(scores, largest, dtype=float)
    np.exp(exponentials, out=exponentials)
    return np.log(exponentials.sum(axis=0)) + largest
