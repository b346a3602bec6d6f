"""Who is near whom: the pairs of points within a distance, and the k nearest of each point.

On the CPU the points are sorted into cells, in loops that numba compiles (`grid`).
On a GPU all distances are computed, a block of receivers at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy
import torch
from torch import Tensor

BLOCK = 2**24  # distances held at a time on a GPU


def radius(x: Tensor, cutoff: float, batch: Tensor | None = None) -> Tensor:
    """Edges between the points of the same graph with |x_j - x_i| < cutoff, i != j.

    Args:
        x: positions (N, D).
        cutoff: in the unit of x.
        batch: graph number of each point (N,), not decreasing; by default all are one graph.

    Returns:
        edge_index (2, E), sorted by receiver. Points at the same place are neighbours.

    Raises:
        ValueError: shapes that do not fit, positions that are not finite, a cutoff that is not positive.
    """
    starts = _check(x, batch)
    if not cutoff > 0:
        raise ValueError(f"cutoff: got {cutoff}, expected a positive distance")
    if x.is_cuda:
        return radius_dense(x, cutoff, starts)
    from m2m.messages import grid  # numba takes a second to import, and most chapters never search

    return torch.from_numpy(grid.radius(_points(x), starts, float(cutoff)))


def nearest(x: Tensor, k: int, batch: Tensor | None = None) -> Tensor:
    """Edges to each point i from its k nearest others j in the same graph, from all others where there are fewer.

    Args:
        x: positions (N, D).
        k: neighbours of a point, at least 1.
        batch: graph number of each point (N,), not decreasing; by default all are one graph.

    Returns:
        edge_index (2, E), sorted by receiver, then by distance. Which of equally distant points is taken is not defined.

    Raises:
        ValueError: shapes that do not fit, positions that are not finite, k < 1.
    """
    starts = _check(x, batch)
    if isinstance(k, bool) or k != int(k) or k < 1:
        raise ValueError(f"k: got {k}, expected a whole number from 1 on")
    if x.is_cuda:
        return nearest_dense(x, int(k), starts)
    from m2m.messages import grid

    return torch.from_numpy(grid.nearest(_points(x), starts, int(k)))


def _points(x: Tensor) -> numpy.ndarray:
    return numpy.ascontiguousarray(x.detach().numpy(), dtype=numpy.float64)


def _check(x: Tensor, batch: Tensor | None) -> numpy.ndarray:
    """Where each graph begins, and after the last one the number of points."""
    if x.ndim != 2 or not x.shape[1] or not x.is_floating_point():
        raise ValueError(f"x: got shape {tuple(x.shape)} of {x.dtype}, expected positions (N, D), floating-point numbers")
    if not x.isfinite().all():
        raise ValueError(f"x: got {(~x.isfinite()).sum()} numbers that are NaN or infinite, expected finite positions")
    if batch is None:
        return numpy.array([0, len(x)] if len(x) else [0])
    if batch.shape != x.shape[:1] or batch.is_floating_point() or (batch.diff() < 0).any():
        raise ValueError(f"batch: got shape {tuple(batch.shape)}, expected ({len(x)},), whole numbers that do not decrease")
    sizes = torch.unique_consecutive(batch, return_counts=True)[1]
    return numpy.concatenate([[0], sizes.cumsum(0).cpu().numpy()])


# --- All distances, a block of receivers at a time --------------------------------------------------------------------------


def _blocks(x: Tensor, starts: numpy.ndarray) -> Iterator[tuple[int, Tensor]]:
    """The distances of some receivers to all points of their graph, with infinity to themselves.

    Yields:
        the first receiver of the block; distances (rows, size of its graph), whose first column is the graph's first point.
    """
    for low, high in zip(starts[:-1].tolist(), starts[1:].tolist()):
        rows = max(1, BLOCK // (high - low))
        for first in range(low, high, rows):
            last = min(first + rows, high)
            # The matrix product that `cdist` may use loses half of the digits between near points
            distance = torch.cdist(x[first:last], x[low:high], compute_mode="donot_use_mm_for_euclid_dist")
            distance[:, first - low : last - low].fill_diagonal_(torch.inf)
            yield first, low, distance


def radius_dense(x: Tensor, cutoff: float, starts: numpy.ndarray) -> Tensor:
    """`radius` of x (N, n) on any device, as edges (2, E); graph b is `starts[b]` to `starts[b + 1]`."""
    edges = [x.new_empty(0, 2, dtype=torch.int64)]
    for first, low, distance in _blocks(x.detach(), starts):
        edges.append((distance < cutoff).nonzero() + torch.tensor([first, low], device=x.device))
    return torch.cat(edges).T.contiguous()


def nearest_dense(x: Tensor, k: int, starts: numpy.ndarray) -> Tensor:
    """`nearest` of x (N, n) on any device, as edges (2, E); graph b is `starts[b]` to `starts[b + 1]`."""
    edges = [x.new_empty(2, 0, dtype=torch.int64)]
    for first, low, distance in _blocks(x.detach(), starts):
        sender = distance.topk(min(k, distance.shape[1] - 1), largest=False).indices + low
        receiver = torch.arange(first, first + len(distance), device=x.device)[:, None].expand_as(sender)
        edges.append(torch.stack([receiver, sender]).flatten(1))
    return torch.cat(edges, 1)
