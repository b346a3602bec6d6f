"""The features of a neighbour times the harmonics of the direction to it, along paths, for all edges of a graph at once.

A path (l_in, l_filter, l_out) takes a feature f_j of degree l_in to degree l_out at the receiver i:

    sqrt(2 l_out + 1) sum_{a, b} C[a, b, m] f_j[a] Y[b](r_ij),     C = clebsch_gordan(l_in, l_filter, l_out)

`Geometry` multiplies C and Y once for each edge, and all layers share it. What is left of a layer is one batched matrix
product for each degree that comes in. The square root keeps the size of a component the same from degree to degree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor

from m2m.messages import graph
from m2m.tensors import clebsch_gordan as couplings
from m2m.tensors.harmonics import harmonics

Path = tuple[int, int, int]
Features = dict[int, Tensor]
PADDING = 2.0  # nodes have equally many slots for neighbours if that is at most so many times the number of edges


def ordered(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The paths sorted by l_out, then l_in, then l_filter.

    Raises:
        ValueError: a path occurs twice, or breaks |l_in - l_filter| <= l_out <= l_in + l_filter.
    """
    found = tuple(sorted((tuple(int(l) for l in path) for path in paths), key=lambda p: (p[2], p[0], p[1])))
    for path in found:
        l_in, l_filter, l_out = path
        if min(path) < 0 or not abs(l_in - l_filter) <= l_out <= l_in + l_filter:
            raise ValueError(
                f"paths: got {path}, expected (l_in, l_filter, l_out), |l_in - l_filter| <= l_out <= l_in + l_filter"
            )
    if len(set(found)) < len(found):
        raise ValueError(f"paths: got {list(found)}, expected each path once")
    return found


@lru_cache(maxsize=256)
def coupling(paths: tuple[Path, ...], l_in: int, l_filter: int) -> Tensor:
    """What turns harmonics into the kernels of one l_in: ((l_filter + 1)^2, rows, 2 l_in + 1) in float64.

    A row is (l_out, m, path) in this order, for all paths from l_in.
    """
    blocks = []
    for l_out in sorted({path[2] for path in paths if path[0] == l_in}):
        filters = [path[1] for path in paths if path[0] == l_in and path[2] == l_out]
        block = torch.zeros((l_filter + 1) ** 2, 2 * l_out + 1, len(filters), 2 * l_in + 1, dtype=torch.float64)
        for k, l in enumerate(filters):
            c = couplings.clebsch_gordan(l_in, l, l_out)
            block[l * l : (l + 1) ** 2, :, k] = math.sqrt(2 * l_out + 1) * c.permute(1, 2, 0)
        blocks.append(block.flatten(1, 2))
    return torch.cat(blocks, 1)


class Geometry:
    """Vectors, distances and harmonics of the edges of a graph, for all layers of a network.

    Args:
        x: positions (N, 3), float32 or float64.
        edge_index: receivers and senders (2, E). An edge of length 0 has Y of degree 0 only, and gradient 0.
        l_filter: highest degree of the harmonics.
        normalization: that of `harmonics`.

    Attributes:
        r (E, 3), d (E,), Y (E, (l_filter + 1)^2): in the order of edge_index.
        slots: k if each node has the same number k of places for neighbours, padded with empty ones; None where that would
            be more than `PADDING` times the edges, and sums over neighbours are made edge by edge.

    Raises:
        ValueError: shapes that do not fit, positions that are not finite, half precision, l_filter out of range.
    """

    def __init__(self, x: Tensor, edge_index: Tensor, l_filter: int, *, normalization: str = "component"):
        _check_positions(x)
        graph.check(edge_index, len(x))
        self.edge_index, self.nodes, self.l_filter = edge_index, len(x), l_filter
        self.r = graph.vectors(x, edge_index)
        self.d = graph.norm(self.r)
        self.Y = harmonics(self.r, l_filter, normalization=normalization)
        self._kernels: dict[tuple[Path, ...], dict[int, Tensor]] = {}
        self._arrange()

    def _arrange(self) -> None:
        """Order the edges by receiver, with empty places so that each receiver has `slots` of them, if that is worth it."""
        receiver, edges = self.edge_index[0], self.edge_index.shape[1]
        degree = graph.degree(self.edge_index, self.nodes)
        most = int(degree.max()) if edges else 0
        self.slots = most if 0 < self.nodes * most <= PADDING * edges else None
        self._place = self._empty = None
        if self.slots is None:
            return
        order = receiver.argsort(stable=True)
        if self.nodes * most == edges:
            self._place = None if bool((receiver.diff() >= 0).all()) else order
            return
        first = degree.cumsum(0) - degree
        ranked = receiver[order]
        place = ranked * most + torch.arange(edges, device=order.device) - first[ranked]
        self._place = order.new_zeros(self.nodes * most).index_copy_(0, place, order)
        self._empty = torch.ones_like(self._place, dtype=torch.bool).index_fill_(0, place, False)

    def arranged(self, values: Tensor) -> Tensor:
        """Rows (E, ...) of the edges in the order in which the sums want them, (nodes * slots, ...)."""
        return values if self._place is None else values.index_select(0, self._place)

    def back(self, values: Tensor) -> Tensor:
        """Rows in the order of `arranged` (edges, ...), in the order of edge_index again, (E, ...)."""
        if self._place is None:
            return values
        place, values = (self._place, values) if self._empty is None else (self._place[~self._empty], values[~self._empty])
        return torch.empty_like(values).index_copy_(0, place, values)

    def kernels(self, paths: tuple[Path, ...]) -> dict[int, Tensor]:
        """Harmonics times Clebsch-Gordan coefficients of each edge, {l_in: (edges, rows, 2 l_in + 1)}, made once."""
        if paths not in self._kernels:
            Y = self.arranged(self.Y)
            Y = Y if self._empty is None else Y.masked_fill(self._empty[:, None], 0.0)  # an empty place says nothing
            self._kernels[paths] = {}
            for l_in in sorted({path[0] for path in paths}):
                c = coupling(paths, l_in, self.l_filter).to(Y)
                self._kernels[paths][l_in] = (Y @ c.flatten(1)).view(len(Y), *c.shape[1:])
        return self._kernels[paths]

    def sum(self, values: Tensor) -> Tensor:
        """Sum rows in the order of `arranged` over the neighbours of each node, (N, ...)."""
        if self.slots is None:
            return graph.scatter_sum(values, self.edge_index[0], self.nodes)
        return values.view(self.nodes, self.slots, *values.shape[1:]).sum(1)

    def at_receivers(self, values: Tensor) -> Tensor:
        """Rows (N, ...) of the nodes, for each edge that of its receiver, in the order of `arranged`."""
        if self.slots is None:
            return values.index_select(0, self.edge_index[0])
        return values[:, None].expand(-1, self.slots, *values.shape[1:]).flatten(0, 1)

    def softmax(self, values: Tensor) -> Tensor:
        """Softmax of rows (edges, ...), in the order of `arranged`, over the neighbours of each node; empty places get 0."""
        if self.slots is None:
            return graph.scatter_softmax(values, self.edge_index[0], self.nodes)
        empty = None if self._empty is None else self._empty.view(-1, *[1] * (values.ndim - 1))
        values = values if empty is None else values.masked_fill(empty, torch.finfo(values.dtype).min)
        weights = values.view(self.nodes, self.slots, *values.shape[1:]).softmax(1).flatten(0, 1)
        return weights if empty is None else weights.masked_fill(empty, 0.0)


def products(f: Features, geometry: Geometry, paths: tuple[Path, ...]) -> Features:
    """f_j times Y(r_ij) along every path, {l_out: (edges, 2 l_out + 1, P)} in the order of `Geometry.arranged`.

    Args:
        f: {l: (N, C_l, 2 l + 1)}.
        paths: as `ordered` gives them.

    Returns:
        for each l_out its paths beside each other, each with the channels of its l_in: P = the sum of these C_{l_in}.
    """
    sender = geometry.arranged(geometry.edge_index[1])
    parts: dict[int, list[Tensor]] = {}
    for l_in, kernel in geometry.kernels(paths).items():
        sent = f[l_in].transpose(1, 2).index_select(0, sender)
        counts: dict[int, int] = {}
        for path in paths:
            if path[0] == l_in:
                counts[path[2]] = counts.get(path[2], 0) + 1
        rows = torch.bmm(kernel, sent).split([(2 * l + 1) * count for l, count in counts.items()], 1)
        for (l_out, count), block in zip(counts.items(), rows, strict=True):
            parts.setdefault(l_out, []).append(block.reshape(len(block), 2 * l_out + 1, count * block.shape[2]))
    return {l: blocks[0] if len(blocks) == 1 else torch.cat(blocks, -1) for l, blocks in sorted(parts.items())}


def _check_positions(x: Tensor) -> None:
    if x.ndim != 2 or x.shape[1] != 3 or x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x: got shape {tuple(x.shape)} of {x.dtype}, expected positions (N, 3) in float32 or float64")
    if not x.isfinite().all():
        raise ValueError(f"x: got {int((~x.isfinite()).sum())} numbers that are NaN or infinite, expected finite positions")
