"""How many pixels of each class lie in windows of a label, exactly. Plain numpy.

A label is made of large areas: its rows are counted as runs of equal pixels, some fifty times fewer than pixels. Windows may
overlap; each run is counted once, in its cell of the grid that the edges of all windows make, and a window is a sum of cells.
"""
import functools
from dataclasses import dataclass

import numpy as np

from data.transforms import even_windows


@dataclass(frozen=True)
class Grid:
    """Where the edges of all windows cut a label of `shape` (H, W).

    rows, columns: (R + 1,), (C + 1,) the cuts, the label's own edges included. column_of: (W,) int32 in 0..C - 1.
    top, left, bottom, right: (windows,) numbers of the cuts around each window.
    """

    shape: tuple
    rows: np.ndarray
    columns: np.ndarray
    column_of: np.ndarray
    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray


@functools.lru_cache(maxsize=8)  # the labels of a data set have few sizes
def even_grid(shape, window):
    """The Grid of even_windows: shape (H, W) of the label, window (height, width); what leaves the label is cut off."""
    starts = np.array(even_windows(shape, window))
    ends = np.minimum(starts + window, shape)
    rows, columns = (np.unique(np.concatenate([[0, size], starts[:, axis], ends[:, axis]]))
                     for axis, size in enumerate(shape))
    column_of = np.repeat(np.arange(len(columns) - 1, dtype=np.int32), np.diff(columns))
    return Grid(shape, rows, columns, column_of,
                *(np.searchsorted(cuts, found[:, axis]) for found in (starts, ends)
                  for axis, cuts in enumerate((rows, columns))))


def count_windows(ids, grid, lookup, classes):
    """(all, windows): pixels of each class in the whole label, (classes,) int64, and in each window, (windows, classes) int64.

    ids: (H, W) uint8, of the grid's shape. lookup: (256,) intp, the class of each id, 0..classes - 1.
    """
    table = np.zeros((len(grid.rows), len(grid.columns), classes), np.int64)
    _count_cells(ids, grid, lookup, classes).cumsum(axis=0).cumsum(axis=1, out=table[1:, 1:])
    return table[-1, -1], (table[grid.bottom, grid.right] - table[grid.top, grid.right]
                           - table[grid.bottom, grid.left] + table[grid.top, grid.left])


def _count_cells(ids, grid, lookup, classes):
    """(R, C, classes) int64: pixels of each class in the grid's cells."""
    height, width = grid.shape
    flat = ids.ravel()
    begins = np.empty(grid.shape, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins.ravel()[1:])
    begins[:, grid.columns[:-1]] = True  # no run reaches into another cell, or from one row into the next
    starts = np.flatnonzero(begins)
    lengths = np.empty(len(starts))  # float64, as bincount adds weights: exact for any label
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = flat.size - starts[-1]
    # the remainder of 64-bit numbers takes twice the time of that of narrow ones
    bins = grid.column_of.take(starts.astype(np.int32) % np.int32(width)) * np.intp(classes) + lookup.take(flat.take(starts))
    parts = np.searchsorted(starts, grid.rows * width)
    columns = len(grid.columns) - 1
    counts = [np.bincount(bins[first:last], lengths[first:last], columns * classes) for first, last in zip(parts, parts[1:])]
    return np.array(counts).astype(np.int64).reshape(-1, columns, classes)
