"""Graphs as tensors: edges, sums over neighbours, batches of graphs of different sizes.

The edges of a graph are a tensor `edge_index` (2, E) of int64. **Row 0 is the receiver i, row 1 the sender j**: along edge e
node i = edge_index[0, e] gets a message from node j = edge_index[1, e]. What is made here is sorted by receiver.

Several graphs are one graph whose parts are not joined: their nodes stand one after the other, and `batch` (N,) says which
graph a node belongs to, 0, 0, 0, 1, 1, 2, ... So a network never needs to know how many graphs it is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from m2m.messages.neighbours import nearest, radius

__all__ = [
    "check", "complete", "count", "degree", "nearest", "norm", "of_sizes", "radius",
    "scatter_max", "scatter_mean", "scatter_softmax", "scatter_sum", "undirected", "vectors",
]  # fmt: skip


# --- Edges ----------------------------------------------------------------------------------------------------------------


def check(edge_index: Tensor, nodes: int) -> None:
    """Raise a ValueError unless `edge_index` is an int64 tensor (2, E) with entries in 0 .. nodes - 1."""
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.dtype != torch.int64:
        got = f"shape {tuple(edge_index.shape)} of {edge_index.dtype}"
        raise ValueError(f"edge_index: got {got}, expected (2, E) of torch.int64, receivers in row 0, senders in row 1")
    if edge_index.numel() and not (0 <= edge_index.min() and edge_index.max() < nodes):
        got = f"{edge_index.min()} to {edge_index.max()}"
        raise ValueError(f"edge_index: got nodes {got}, expected 0 to {nodes - 1} as there are {nodes} nodes")


def of_sizes(sizes: Tensor | Sequence[int]) -> Tensor:
    """The graph number of each node, (N,), of graphs with these numbers of nodes (B,).

    >>> of_sizes([3, 1, 2]).tolist()
    [0, 0, 0, 1, 2, 2]

    Raises:
        ValueError: a size that is not a whole number from 0 on.
    """
    sizes = torch.as_tensor(sizes)
    if sizes.ndim != 1 or sizes.is_floating_point() or (sizes < 0).any():
        raise ValueError(f"sizes: got {sizes.tolist()}, expected whole numbers from 0 on, one for each graph")
    return torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)


def count(batch: Tensor) -> int:
    """How many graphs there are, from the graph number of each node (N,): the last one's number and one."""
    return int(batch[-1]) + 1 if len(batch) else 0


def complete(batch: Tensor) -> Tensor:
    """All ordered pairs i != j of nodes of the same graph, (2, E).

    Args:
        batch: graph number of each node (N,), not decreasing.
    """
    _check_batch(batch)
    sizes = torch.unique_consecutive(batch, return_counts=True)[1]
    starts = sizes.cumsum(0) - sizes
    size, start = torch.repeat_interleave(sizes, sizes), torch.repeat_interleave(starts, sizes)
    receiver = torch.repeat_interleave(torch.arange(len(batch), device=batch.device), size)
    # Number the edges of each receiver 0, 1, 2, ...: that is the sender, counted from the first node of the graph
    first = size.cumsum(0) - size
    sender = torch.arange(len(receiver), device=batch.device) - first[receiver] + start[receiver]
    edge_index = torch.stack([receiver, sender])
    return edge_index[:, receiver != sender]


def undirected(pairs: Tensor | Sequence[tuple[int, int]]) -> Tensor:
    """Both directions of each pair (E, 2), once, sorted by receiver, (2, 2E)."""
    pairs = torch.as_tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    return torch.unique(torch.cat([pairs, pairs.flip(1)]), dim=0).T.contiguous()


def degree(edge_index: Tensor, nodes: int) -> Tensor:
    """How many messages each node receives, (nodes,) of int64."""
    return torch.bincount(edge_index[0], minlength=nodes)


# --- Geometry -------------------------------------------------------------------------------------------------------------


def vectors(x: Tensor, edge_index: Tensor) -> Tensor:
    """r_ij = x_j - x_i for each edge, from the receiver to the sender, (E, D) for positions x (N, D)."""
    receiver, sender = edge_index
    return x[sender] - x[receiver]


def norm(r: Tensor) -> Tensor:
    """Lengths (...) of vectors r (..., D). Where r = 0 the gradient is 0; that of `Tensor.norm` divides by zero twice."""
    squared = (r * r).sum(-1)
    zero = squared == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())


# --- From edges to nodes, from nodes to graphs ----------------------------------------------------------------------------


def scatter_sum(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum the rows of `values` (E, ...) that have the same index (E,): (size, ...), zero where there is none."""
    _check_scatter(values, index)
    return values.new_zeros(size, *values.shape[1:]).index_add_(0, index, values)


def scatter_mean(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean of the rows of `values` (E, ...) that have the same index (E,): (size, ...), zero where there is none."""
    count = torch.bincount(index, minlength=size).clamp_min(1).to(values.dtype)
    return scatter_sum(values, index, size) / count.reshape(-1, *[1] * (values.ndim - 1))


def scatter_max(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Largest of the rows of `values` (E, ...) that have the same index (E,): (size, ...), zero where there is none."""
    _check_scatter(values, index)
    rows = index.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)
    return values.new_zeros(size, *values.shape[1:]).scatter_reduce(0, rows, values, "amax", include_self=False)


def scatter_softmax(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Softmax of `values` (E, ...) over the rows with the same index (E,), so that they sum to 1; (E, ...)."""
    largest = scatter_max(values.detach(), index, size)[index]
    weights = (values - largest).exp()
    return weights / scatter_sum(weights, index, size)[index]


def _check_scatter(values: Tensor, index: Tensor) -> None:
    if index.ndim != 1 or len(index) != len(values):
        raise ValueError(f"index: got shape {tuple(index.shape)}, expected ({len(values)},), one for each row of values")


def _check_batch(batch: Tensor) -> None:
    if batch.ndim != 1 or batch.is_floating_point() or (batch.diff() < 0).any():
        raise ValueError("batch: expected one graph number per node, (N,), whole and not decreasing")
