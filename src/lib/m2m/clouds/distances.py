"""Distances between two point clouds: Chamfer, and the earth mover's distance by the best assignment.

Both choose partners for the points and then add up the lengths. Which partner is chosen does not change when a point moves
a little, so the choice needs no gradient: it is searched for outside of autograd, and the lengths to the chosen partners
are what is differentiated. This is exact wherever the distance has a gradient, and keeps no N x M matrix for it.
"""

from __future__ import annotations

import numpy
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from m2m.messages.graph import norm

BLOCK = 2**24  # distances held at a time on a GPU


def chamfer(x: Tensor, y: Tensor, *, reduction: str, squared: bool) -> Tensor:
    r"""Chamfer distance: $\sum_i w \min_j d(x_i, y_j) + \sum_j w' \min_i d(x_i, y_j)$ of each pair of clouds.

    The literature means four things by the name. They differ in scale and in gradient, so both choices are to be named.

    Args:
        x, y: clouds (B, N, D) and (B, M, D), or one of each, (N, D) and (M, D); D up to 3.
        reduction: "mean", w = 1/N and w' = 1/M; or "sum", w = w' = 1.
        squared: d is $|x_i - y_j|^2$; otherwise $|x_i - y_j|$, whose gradient at equal points is 0.

    Returns:
        (B,), or a number for one pair, in the unit of x or its square.

    Raises:
        ValueError: shapes that do not fit, empty clouds, numbers that are not finite, an unknown reduction.

    Source: Fan et al. 2017, arXiv:1612.00603, eq. 1 (squared, sums).

    >>> chamfer(torch.zeros(1, 3), torch.ones(1, 3), reduction="mean", squared=True)
    tensor(6.)
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction: got {reduction!r}, expected 'mean' or 'sum'")
    near_x, near_y = nearest(x, y)
    there, back = _lengths(x, _gather(y, near_x), squared), _lengths(y, _gather(x, near_y), squared)
    return there.mean(-1) + back.mean(-1) if reduction == "mean" else there.sum(-1) + back.sum(-1)


def emd(x: Tensor, y: Tensor, *, reduction: str = "mean", squared: bool = False) -> Tensor:
    r"""Earth mover's distance of clouds of equal size: $\min_\pi \frac1N \sum_i d(x_i, y_{\pi(i)})$ over assignments $\pi$.

    Exact. The time grows as N^3: about a second for 2,048 points. `transport.sinkhorn` gives bounds of it on any device.

    Args:
        x, y: clouds (B, N, D), or one of each, (N, D).
        reduction: "mean", or "sum" without the 1/N.
        squared: d is $|x_i - y_j|^2$, the best assignment then being another one; otherwise $|x_i - y_j|$.

    Returns:
        (B,), or a number for one pair.

    Raises:
        ValueError: as `chamfer`, and clouds of different sizes.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction: got {reduction!r}, expected 'mean' or 'sum'")
    lengths = _lengths(x, _gather(y, assignment(x, y, squared=squared)), squared)
    return lengths.mean(-1) if reduction == "mean" else lengths.sum(-1)


# --- Who is whose partner ---------------------------------------------------------------------------------------------------


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest point of the other cloud, for clouds (B, N, D) and (B, M, D), or one of each.

    Of equally near points any is taken. On the CPU the time grows as N M, about a millisecond for 2,048 x 2,048.

    Returns:
        its index in y for each point of x (B, N), and its index in x for each point of y (B, M).
    """
    check_pair(x, y)
    if x.ndim == 2:
        near_x, near_y = nearest(x[None], y[None])
        return near_x[0], near_y[0]
    if x.is_cuda:
        return nearest_dense(x, y)
    from m2m.clouds import loops  # numba takes a second to import

    a, b = columns(x), columns(y)
    near_x, near_y = loops.nearest(a, b, *loops.workspace(a.dtype))
    return torch.from_numpy(near_x), torch.from_numpy(near_y)


@torch.no_grad()
def nearest_dense(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`nearest` of batches (B, N, D) and (B, M, D) on any device, from at most BLOCK distances at a time."""
    found = []
    for a, b in ((x, y), (y, x)):
        rows = max(1, BLOCK // (len(a) * b.shape[1]))
        # The matrix product that `cdist` may use loses half of the digits between near points
        blocks = [torch.cdist(part, b, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1) for part in a.split(rows, 1)]
        found.append(torch.cat(blocks, 1))
    return found[0], found[1]


def assignment(x: Tensor, y: Tensor, *, squared: bool = False) -> Tensor:
    """The permutation of y (B, N) with the smallest sum of (squared) distances to x; clouds (B, N, D), or one of each."""
    check_pair(x, y)
    if x.shape != y.shape:
        raise ValueError(f"y: got {y.shape[-2]} points, expected {x.shape[-2]}, as in x: an assignment needs equal sizes")
    if x.ndim == 2:
        return assignment(x[None], y[None], squared=squared)[0]
    order = torch.empty(x.shape[:2], dtype=torch.int64)
    for k, (a, b) in enumerate(zip(x, y)):
        order[k] = torch.from_numpy(linear_sum_assignment(cost(a, b, squared=squared).cpu().numpy())[1])
    return order.to(x.device)


@torch.no_grad()
def cost(x: Tensor, y: Tensor, *, squared: bool) -> Tensor:
    """All (squared) distances of clouds (..., N, D) and (..., M, D), in float64, without gradient."""
    d = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return d * d if squared else d


def _gather(y: Tensor, index: Tensor) -> Tensor:
    return y.gather(-2, index[..., None].expand(*index.shape, y.shape[-1]))


def _lengths(x: Tensor, y: Tensor, squared: bool) -> Tensor:
    step = x - y
    return (step * step).sum(-1) if squared else norm(step)


# --- What comes in ----------------------------------------------------------------------------------------------------------


def columns(x: Tensor) -> numpy.ndarray:
    """Clouds (B, N, D) as the loops read them: (B, 3, N), with zeros for the axes that are not there."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    out = torch.zeros(len(x), 3, x.shape[1], dtype=dtype)
    out[:, : x.shape[2]] = x.detach().transpose(1, 2)
    return out.numpy()


def check(name: str, x: Tensor) -> None:
    """Refuse what is not a batch of clouds (B, N, D), or one cloud (N, D)."""
    if x.ndim not in (2, 3) or not 1 <= x.shape[-1] <= 3 or not x.is_floating_point():
        raise ValueError(
            f"{name}: got shape {tuple(x.shape)} of {x.dtype}, expected clouds (B, N, D) or a cloud (N, D) with D up to 3, "
            "floating-point numbers"
        )
    if not x.shape[-2]:
        raise ValueError(
            f"{name}: got shape {tuple(x.shape)}, expected at least one point: to an empty cloud there is no distance"
        )
    if not x.isfinite().all():
        raise ValueError(f"{name}: got {(~x.isfinite()).sum()} numbers that are NaN or infinite, expected finite positions")


def check_pair(x: Tensor, y: Tensor) -> None:
    """Refuse what is not two batches of as many clouds, (B, N, D) and (B, M, D), or one of each, (N, D) and (M, D).

    They are to be in the same space, of the same precision, on the same device.
    """
    check("x", x)
    check("y", y)
    if x.ndim != y.ndim or x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"y: got shape {tuple(y.shape)}, expected as many clouds in the same space as x, {tuple(x.shape)}")
    if x.dtype != y.dtype or x.device != y.device:
        raise ValueError(f"y: got {y.dtype} on {y.device}, expected {x.dtype} on {x.device}, as x")
