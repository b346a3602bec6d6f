"""The loops of the search for nearest points on the CPU, compiled by numba. `distances` and `metrics` are what to call.

Each squared distance between two clouds is computed once, for both directions, a tile of ROWS x TILE at a time, so that
memory is that of the clouds. A compiler makes vector code of the minimum of each column, and of the sum of squares; of
the minimum along a row only if the numbers are whole. So that one is taken over the bits of the distances: floating-point
numbers that are not negative have the order of their bits.
"""

from __future__ import annotations

import numpy
from numba import njit

ROWS, TILE = 64, 256
FAST = {"nnan", "nsz", "contract", "reassoc"}  # no NaN comes here; infinity does


def workspace(dtype: numpy.dtype) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Room for a row of a tile and for its smallest of each column, and the same room read as whole numbers."""
    rows = numpy.empty((2, TILE), dtype)
    return rows, rows.view(f"i{rows.itemsize}")


@njit(cache=True, fastmath=FAST, inline="always")
def _row(x, i, y, first, size, rows, bits, columns):
    """Smallest squared distance, as a whole number, from point i of x (3, N) to `size` points of y (3, M) from `first` on.

    The distances are left in rows[0]; the smallest of each column so far in rows[1], if `columns` says so.
    """
    a, b, c = x[0, i], x[1, i], x[2, i]
    last = min(first + size, y.shape[1])
    ya, yb, yc, d2, column = y[0, first:last], y[1, first:last], y[2, first:last], rows[0], rows[1]
    if columns:
        for q in range(last - first):
            d = (ya[q] - a) * (ya[q] - a) + (yb[q] - b) * (yb[q] - b) + (yc[q] - c) * (yc[q] - c)
            d2[q] = d
            column[q] = min(column[q], d)
    else:
        for q in range(last - first):
            d2[q] = (ya[q] - a) * (ya[q] - a) + (yb[q] - b) * (yb[q] - b) + (yc[q] - c) * (yc[q] - c)
    whole = bits[0]
    least = whole[0]
    for q in range(last - first):
        least = min(least, whole[q])
    return least


@njit(cache=True, fastmath=FAST)
def _scan(x, y, best_x, tile_x, best_y, tile_y, rows, bits):
    """Squared distance of each point to the nearest of the other cloud, as a whole number, and where the tile of that begins."""
    n, m = x.shape[1], y.shape[1]
    best_x[:], best_y[:] = numpy.iinfo(best_x.dtype).max, numpy.iinfo(best_x.dtype).max
    for i0 in range(0, n, ROWS):
        for j0 in range(0, m, TILE):
            rows[1] = numpy.inf
            for i in range(i0, min(i0 + ROWS, n)):
                least = _row(x, i, y, j0, TILE, rows, bits, True)
                if least < best_x[i]:
                    best_x[i], tile_x[i] = least, j0
            for q in range(min(TILE, m - j0)):
                if bits[1, q] < best_y[j0 + q]:
                    best_y[j0 + q], tile_y[j0 + q] = bits[1, q], i0


@njit(cache=True, fastmath=FAST)
def _find(x, y, tile, size, rows, bits, index):
    """Which point of y is the nearest to each point of x: one of the `size` points of its tile."""
    for i in range(x.shape[1]):
        least = _row(x, i, y, tile[i], size, rows, bits, False)
        q = 0
        while bits[0, q] != least:
            q += 1
        index[i] = tile[i] + q


@njit(cache=True)
def nearest(x, y, rows, bits):
    """For batches x (B, 3, N), y (B, 3, M): the index in y of the nearest to each point of x (B, N), and of x to y (B, M)."""
    count, n, m = len(x), x.shape[2], y.shape[2]
    index_x, index_y = numpy.empty((count, n), numpy.int64), numpy.empty((count, m), numpy.int64)
    best_x, best_y = numpy.empty(n, bits.dtype), numpy.empty(m, bits.dtype)
    tile_x, tile_y = numpy.zeros(n, numpy.int64), numpy.zeros(m, numpy.int64)
    for k in range(count):
        _scan(x[k], y[k], best_x, tile_x, best_y, tile_y, rows, bits)
        _find(x[k], y[k], tile_x, TILE, rows, bits, index_x[k])
        _find(y[k], x[k], tile_y, ROWS, rows, bits, index_y[k])
    return index_x, index_y


@njit(cache=True)
def _mean(squared, root):
    total = 0.0
    for d in squared:
        total += numpy.sqrt(d) if root else d
    return total / len(squared)


@njit(cache=True)
def all_pairs(x, y, root, same, rows, bits):
    """Means of the (squared, or with `root` plain) distances to the nearest, for all pairs of clouds x (S, 3, N), y (T, 3, M).

    Returns:
        from x to y and from y to x, (2, S, T). `same`: x and y are one set, and half of the work is done.
    """
    means = numpy.zeros((2, len(x), len(y)))
    best_x, best_y = numpy.empty(x.shape[2], x.dtype), numpy.empty(y.shape[2], x.dtype)
    tile_x, tile_y = numpy.zeros(len(best_x), numpy.int64), numpy.zeros(len(best_y), numpy.int64)
    for s in range(len(x)):
        for t in range(s + 1 if same else 0, len(y)):
            _scan(x[s], y[t], best_x.view(bits.dtype), tile_x, best_y.view(bits.dtype), tile_y, rows, bits)
            means[0, s, t], means[1, s, t] = _mean(best_x, root), _mean(best_y, root)
            if same:
                means[0, t, s], means[1, t, s] = means[1, s, t], means[0, s, t]
    return means
