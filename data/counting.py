"""Counts the pixels of each class in windows of a label, exactly.  Plain numpy.

A label is made of large areas, so its rows are counted as runs of equal pixels, of which there are
about fifty times fewer than pixels.  Windows may overlap: their edges cut the label into a grid of
cells, each run is counted once, in its cell, and the cells of a window are added up.
"""
import functools
from dataclasses import dataclass

import numpy as np

from data.transforms import even_windows


@dataclass(frozen=True)
class Grid:
    """The cells into which the edges of all windows cut a label of (H, W) pixels.

    Cuts are numbered along each axis; the label's own edges are the first and the last.
    """

    cells: tuple            # (rows R, columns C)
    columns: np.ndarray     # (C,) pixel at which each column of cells begins
    cell_of: np.ndarray     # (H W,) int32: number of each pixel's cell
    top: np.ndarray         # (windows,) number of the cut at this side of each window
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray


@functools.lru_cache(maxsize=4)  # the labels of a data set have one size or a few
def even_grid(shape, window):
    """The Grid of even_windows of `window` (height, width) in a label of `shape` (H, W).

    Windows that reach beyond the label end at its edge.
    """
    starts = np.array(even_windows(shape, window))
    ends = np.minimum(starts + window, shape)
    cuts = [np.unique(np.concatenate([[0, size], starts[:, axis], ends[:, axis]]))
            for axis, size in enumerate(shape)]
    rows, columns = (np.repeat(np.arange(len(edges) - 1, dtype=np.int32), np.diff(edges))
                     for edges in cuts)
    cells = tuple(len(edges) - 1 for edges in cuts)
    edges = [np.searchsorted(cuts[axis], found[:, axis])
             for found in (starts, ends) for axis in (0, 1)]
    return Grid(cells, cuts[1][:-1], (rows[:, None] * np.int32(cells[1]) + columns).ravel(), *edges)


def count_windows(ids, grid, lookup, classes):
    """(all, windows): pixels of each class in the label and in each window.

    all: (classes,) int64.  windows: (windows, classes) int64.  ids: (H, W) uint8, of the grid's
    size.  lookup: (256,) intp, the class of each id, 0..classes - 1.
    """
    table = np.zeros((grid.cells[0] + 1, grid.cells[1] + 1, classes), np.int64)
    _count_cells(ids, grid, lookup, classes).cumsum(axis=0).cumsum(axis=1, out=table[1:, 1:])
    windows = (table[grid.bottom, grid.right] - table[grid.top, grid.right]
               - table[grid.bottom, grid.left] + table[grid.top, grid.left])
    return table[-1, -1], windows


def _count_cells(ids, grid, lookup, classes):
    """(R, C, classes) int64: pixels of each class in the grid's cells."""
    flat = ids.ravel()
    begins = np.empty(ids.shape, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins.ravel()[1:])
    # a run ends where its cell or its row ends
    begins[:, grid.columns] = True
    starts = np.flatnonzero(begins)
    lengths = np.empty(len(starts))  # float64, as bincount adds weights: exact for any label
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = flat.size - starts[-1]
    bins = grid.cell_of.take(starts) * np.intp(classes) + lookup.take(flat.take(starts))
    counts = np.bincount(bins, lengths, grid.cells[0] * grid.cells[1] * classes)
    return counts.astype(np.int64).reshape(*grid.cells, classes)
