"""The loops of the neighbour search on the CPU, compiled by numba. `neighbours` is what to call.

Space is cut into cubic cells, by the first three coordinates, and the points are sorted by cell. Neighbours within the edge
of a cell are then in the 27 cells around, and these are 9 runs of the sorted points, for the cells are numbered along z.
"""

from __future__ import annotations

import numpy
from numba import njit


@njit(cache=True)
def _cells(points, edge):
    """Sort points (n, D) into cells of at least this edge; not many more cells than points.

    Returns:
        the points sorted by cell, as columns (D, n); their numbers before; where each cell begins, and after the last one n; the cell of each
        point, in the order given, as (n, 3); the numbers of cells along x, y, z; the edge that was taken.
    """
    n, axes = len(points), min(3, points.shape[1])
    low, extent = numpy.zeros(3), numpy.zeros(3)
    for d in range(axes):
        low[d] = points[:, d].min()
        extent[d] = points[:, d].max() - low[d]
    while (extent[0] / edge + 1) * (extent[1] / edge + 1) * (extent[2] / edge + 1) > 2 * n + 8:
        edge *= 1.26  # half as many cells
    count = numpy.ones(3, numpy.int64)
    for d in range(axes):
        count[d] = int(extent[d] / edge) + 1
    cell, starts = numpy.zeros((n, 3), numpy.int64), numpy.zeros(count.prod() + 1, numpy.int64)
    number = numpy.empty(n, numpy.int64)
    for i in range(n):
        for d in range(axes):
            cell[i, d] = min(int((points[i, d] - low[d]) / edge), count[d] - 1)
        number[i] = (cell[i, 0] * count[1] + cell[i, 1]) * count[2] + cell[i, 2]
        starts[number[i] + 1] += 1
    for c in range(1, len(starts)):
        starts[c] += starts[c - 1]
    free, order = starts[:-1].copy(), numpy.empty(n, numpy.int64)
    for i in range(n):
        order[free[number[i]]] = i
        free[number[i]] += 1
    return points[order].T.copy(), order, starts, cell, count, edge


@njit(cache=True)
def _squared_3d(here, i, columns, low, high, out):
    """`_squared` in three dimensions, in one go."""
    x, y, z, xs, ys, zs = here[i, 0], here[i, 1], here[i, 2], columns[0, low:high], columns[1, low:high], columns[2, low:high]
    for q in range(high - low):
        out[q] = (xs[q] - x) * (xs[q] - x) + (ys[q] - y) * (ys[q] - y) + (zs[q] - z) * (zs[q] - z)


@njit(cache=True)
def _squared(here, i, columns, low, high, out):
    """Squared distances from point i to the sorted points low .. high - 1, given as columns (D, n): a loop without jumps."""
    if len(columns) == 3:
        _squared_3d(here, i, columns, low, high, out)
        return
    for q in range(high - low):
        out[q] = 0.0
    for d in range(len(columns)):
        x, column = here[i, d], columns[d]
        for q in range(high - low):
            step = column[low + q] - x
            out[q] += step * step


@njit(cache=True)
def radius(points, starts, cutoff):
    """Edges (2, E) between points (N, D) of the graphs that begin at `starts`, closer than the cutoff."""
    receivers, senders = numpy.empty(16 * len(points) + 16, numpy.int64), numpy.empty(16 * len(points) + 16, numpy.int64)
    limit, e, d2 = cutoff * cutoff, 0, numpy.empty(len(points))
    for g in range(len(starts) - 1):
        first = starts[g]
        here = points[first : starts[g + 1]]
        columns, order, begin, cell, count, _ = _cells(here, cutoff)
        for i in range(len(here)):
            before, cz = e, cell[i, 2]
            for cx in range(max(cell[i, 0] - 1, 0), min(cell[i, 0] + 2, count[0])):
                for cy in range(max(cell[i, 1] - 1, 0), min(cell[i, 1] + 2, count[1])):
                    row = (cx * count[1] + cy) * count[2]
                    low, high = begin[row + max(cz - 1, 0)], begin[row + min(cz + 2, count[2])]
                    if e + high - low > len(senders):
                        more = numpy.empty(len(senders) + high - low, numpy.int64)
                        receivers, senders = numpy.concatenate((receivers, more)), numpy.concatenate((senders, more))
                    _squared(here, i, columns, low, high, d2)
                    for q in range(high - low):
                        # Written always, kept only if near: no jump that the processor could guess wrong
                        senders[e] = first + order[low + q]
                        e += (d2[q] < limit) & (order[low + q] != i)
            receivers[before:e] = first + i
    edges = numpy.empty((2, e), numpy.int64)
    edges[0], edges[1] = receivers[:e], senders[:e]
    return edges


@njit(cache=True)
def _search(low, high, i, here, columns, order, d2, distance, sender):
    """Take the points low .. high of a run into the list of the nearest, which is sorted by distance."""
    _squared(here, i, columns, low, high, d2)
    for q in range(high - low):
        d = d2[q]
        if d < distance[-1] and order[low + q] != i:
            place = len(distance) - 1
            while place > 0 and distance[place - 1] > d:
                distance[place], sender[place] = distance[place - 1], sender[place - 1]
                place -= 1
            distance[place], sender[place] = d, order[low + q]


@njit(cache=True)
def _nearest_of(i, here, columns, order, begin, cell, count, edge, d2, distance, sender):
    """Shells of cells around that of point i, until the nearest found are nearer than the next shell can be."""
    x, y, z = cell[i]
    for shell in range(count.max()):
        if shell > 0 and distance[-1] <= ((shell - 1) * edge) ** 2:
            return
        for cx in range(max(x - shell, 0), min(x + shell + 1, count[0])):
            for cy in range(max(y - shell, 0), min(y + shell + 1, count[1])):
                row = (cx * count[1] + cy) * count[2]
                if abs(cx - x) == shell or abs(cy - y) == shell:  # a side of the shell: a whole run
                    low, high = max(z - shell, 0), min(z + shell + 1, count[2])
                    _search(begin[row + low], begin[row + high], i, here, columns, order, d2, distance, sender)
                else:  # inside: only the first and the last cell
                    if z - shell >= 0:
                        c = row + z - shell
                        _search(begin[c], begin[c + 1], i, here, columns, order, d2, distance, sender)
                    if z + shell < count[2]:
                        c = row + z + shell
                        _search(begin[c], begin[c + 1], i, here, columns, order, d2, distance, sender)


@njit(cache=True)
def nearest(points, starts, k):
    """Edges (2, E) from the k nearest points of the same graph, all others where there are fewer, nearest first."""
    total = 0
    for g in range(len(starts) - 1):
        size = starts[g + 1] - starts[g]
        total += size * min(k, size - 1)
    edges = numpy.empty((2, total), numpy.int64)
    e = 0
    for g in range(len(starts) - 1):
        first = starts[g]
        here = points[first : starts[g + 1]]
        found = min(k, len(here) - 1)
        if found == 0:
            continue
        d2, distance, sender = numpy.empty(len(here)), numpy.empty(found), numpy.zeros(found, numpy.int64)
        columns, order, begin, cell, count, edge = _cells(here, _edge_for(here, found))
        for i in range(len(here)):
            distance[:] = numpy.inf
            _nearest_of(i, here, columns, order, begin, cell, count, edge, d2, distance, sender)
            for rank in range(found):
                edges[0, e], edges[1, e] = first + i, first + sender[rank]
                e += 1
    return edges


@njit(cache=True)
def _edge_for(points, k):
    """An edge at which a cell holds about k / 6 of evenly spread points; any other gives the same neighbours, later."""
    volume, axes = 1.0, 0
    for d in range(min(3, points.shape[1])):
        extent = points[:, d].max() - points[:, d].min()
        if extent > 0:
            volume *= extent
            axes += 1
    return (volume * k / (6 * len(points))) ** (1 / axes) if axes else 1.0
