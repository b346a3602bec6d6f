"""Convolution over a Lie group on sets of points in the plane.

A point has no neighbours in an order, so a kernel is a *function*, of the relative group element g_i^-1 g_j:

    f_i' = b + 1/|N(i)| sum over j in N(i), m of k_m(log(g_i^-1 g_j)) W_m f_j.

The group decides what the kernel sees of a pair of points. `lift` takes points to elements of the group, `relative` gives the
coordinates, `MLPKernel` and `SplineKernel` are the functions k_m, `LieConv` is the sum. Finzi & others 2020 (arXiv:2002.12880);
splines: Bekkers 2020 (arXiv:1909.12057).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from m2m.messages import graph, lie

GROUPS = ("trivial", "T(2)", "SO(2)", "SE(2)")
COORDINATES = 4  # of a pair in every group, zeros where it needs fewer: equal kernels for all


@dataclass
class Elements:
    """Group elements made from points.

    group: one of GROUPS. x: positions (L, 2). theta: angles (L,). point: which point (L,) an element was made from.
    """

    group: str
    x: Tensor
    theta: Tensor
    point: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def matrices(self) -> Tensor:
        """The elements as motions (L, 3, 3): of T(2) shifts, of SO(2) turns, of SE(2) both, of the trivial group none."""
        x = self.x if self.group in ("T(2)", "SE(2)") else torch.zeros_like(self.x)
        theta = self.theta if self.group in ("SO(2)", "SE(2)") else torch.zeros_like(self.theta)
        return lie.motion(lie.so2_exp(theta), x)


def lift(x: Tensor, group: str, rotations: int = 1, angles: Tensor | None = None) -> Elements:
    """Points x (N, 2) as elements of a group.

    "trivial" and "T(2)": a point is itself. "SO(2)": the angle at which the point stands about the origin (its radius is what
    the group cannot change; a point *at* the origin has no angle, gets 0, and turns wrongly). "SE(2)": any rotation takes the
    origin's frame to the point, so there is a choice: `rotations` of them, evenly spaced, or `angles` (N, K) of your own.
    With LieConv's random angles a network is equivariant in distribution; with a grid exactly for the grid's rotations.

    Raises:
        ValueError: an unknown group, points or angles of another shape, or a number of rotations that the group does not have.
    """
    if group not in GROUPS:
        raise ValueError(f"group: got {group!r}, expected one of {', '.join(GROUPS)}")
    if x.ndim != 2 or x.shape[1] != 2 or not x.is_floating_point() or not x.isfinite().all():
        raise ValueError(f"x: got shape {tuple(x.shape)} of {x.dtype}, expected finite positions (N, 2)")
    point = torch.arange(len(x), device=x.device)
    if group != "SE(2)":
        if rotations != 1 or angles is not None:
            raise ValueError(f"rotations: got {rotations}, expected 1 and no angles for {group}, which has no choice of them")
        theta = torch.atan2(x[:, 1], x[:, 0]) if group == "SO(2)" else torch.zeros_like(x[:, 0])
        return Elements(group, x, theta, point)
    if angles is None:
        if rotations < 1:
            raise ValueError(f"rotations: got {rotations}, expected at least 1")
        angles = (2 * math.pi / rotations * torch.arange(rotations, device=x.device, dtype=x.dtype)).expand(len(x), -1)
    if angles.ndim != 2 or len(angles) != len(x):
        raise ValueError(f"angles: got shape {tuple(angles.shape)}, expected ({len(x)}, K)")
    k = angles.shape[1]
    return Elements(group, x.repeat_interleave(k, 0), angles.flatten().to(x.dtype), point.repeat_interleave(k))


def relative(elements: Elements, edge_index: Tensor, chart: str = "log", unit: float = 1.0) -> Tensor:
    """What a kernel may see of the pair (i, j), (E, 4), lengths in `unit`s, zeros at the end:

    "trivial": x_i and x_j. "T(2)": x_j - x_i. "SO(2)": the angle from i to j in (-pi, pi], then the two radii.
    "SE(2)": log(g_i^-1 g_j) = (v_1, v_2, theta); with chart="product" R_i^-1 (x_j - x_i) and theta instead.

    Raises:
        ValueError: an unknown chart, or a unit that is not positive.
    """
    if chart not in ("log", "product") or not unit > 0:
        raise ValueError(f"chart, unit: got {chart!r}, {unit}, expected 'log' or 'product', and a positive length")
    graph.check(edge_index, len(elements))
    (i, j), x = edge_index, elements.x / unit
    angle = lie.wrap(elements.theta[j] - elements.theta[i])[:, None]
    if elements.group == "trivial":
        a = torch.cat([x[i], x[j]], -1)
    elif elements.group == "T(2)":
        a = x[j] - x[i]
    elif elements.group == "SO(2)":
        radius = graph.norm(x)
        a = torch.cat([angle, radius[i, None], radius[j, None]], -1)
    else:
        seen = (lie.so2_exp(-elements.theta[i]) @ (x[j] - x[i])[..., None])[..., 0]
        a = torch.cat([seen, angle], -1)
        if chart == "log":
            a = lie.se2_log(lie.motion(lie.so2_exp(angle[:, 0]), seen))
    return nn.functional.pad(a, (0, COORDINATES - a.shape[-1]))


def neighbours(elements: Elements, cutoff: float, batch: Tensor | None = None) -> Tensor:
    """Edges (2, E) between elements whose *points* are nearer than `cutoff`, (i, i) among them; by receiver, then sender.

    Args:
        batch: graph number of each point (N,), not decreasing.
    """
    batch = None if batch is None else batch[elements.point]
    loops = torch.arange(len(elements), device=elements.x.device).expand(2, -1)
    edge_index = torch.cat([graph.radius(elements.x, cutoff, batch), loops], 1)
    return edge_index[:, (edge_index[0] * len(elements) + edge_index[1]).argsort()]


def sample(edge_index: Tensor, keep: int, generator: torch.Generator | None = None) -> Tensor:
    """At most `keep` random edges of each receiver, of edges (2, E).

    The mean over them is a Monte-Carlo estimate of the mean over all.

    Raises:
        ValueError: keep below 1.
    """
    if keep < 1:
        raise ValueError(f"keep: got {keep}, expected at least 1")
    place = edge_index.device if generator is None else generator.device
    key = torch.rand(edge_index.shape[1], generator=generator, device=place, dtype=torch.float64).to(edge_index.device)
    shuffled = edge_index[:, (edge_index[0] + key).argsort()]  # each receiver's edges stay together, in random order
    count = torch.bincount(shuffled[0])
    first = (count.cumsum(0) - count)[shuffled[0]]
    return shuffled[:, torch.arange(shuffled.shape[1], device=first.device) - first < keep]


# --- Kernels --------------------------------------------------------------------------------------------------------------


class MLPKernel(nn.Module):
    """k_m as a small network of the coordinates: (E, 4) -> (E, size), for any group the same number of parameters.

    `sharpness` widens the first weights: a network of coordinates of size 1 starts almost linear, and learns slowly to be local.
    """

    def __init__(self, size: int = 6, hidden: int = 16, sharpness: float = 3.0):
        super().__init__()
        self.size = size
        self.net = nn.Sequential(
            nn.Linear(COORDINATES, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, size)
        )
        with torch.no_grad():
            self.net[0].weight.mul_(sharpness)

    def forward(self, a: Tensor) -> Tensor:
        return self.net(a)


def bspline(x: Tensor, degree: int = 3) -> Tensor:
    """The B-spline of a degree with whole knots, centred at 0, at each x (...,).

    A bump of width degree + 1 whose integer shifts sum to 1.

    Raises:
        ValueError: a negative degree.
    """
    if degree < 0:
        raise ValueError(f"degree: got {degree}, expected 0 or more")
    if degree == 0:
        return ((x >= -0.5) & (x < 0.5)).to(x)
    half = (degree + 1) / 2
    shifted = [bspline(x + s / 2, degree - 1) for s in (1, -1)]
    return ((half + x) * shifted[0] + (half - x) * shifted[1]) / degree


class SplineKernel(nn.Module):
    """k_m as products of B-splines on a grid over the first coordinates: (E, 4) -> (E, size). Local, and nothing to learn.

    Args:
        low, high: ends of the grid, one for each coordinate used.
        count: splines along each coordinate.
        periodic: for which coordinates high is the same as low, as for an angle.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float], count: Sequence[int],
                 periodic: Sequence[bool] | None = None, degree: int = 3):  # fmt: skip
        super().__init__()
        periodic = [False] * len(low) if periodic is None else list(periodic)
        if not 1 <= len(low) == len(high) == len(count) == len(periodic) <= COORDINATES or min(count) < 2:
            raise ValueError(f"low, high, count: got {low}, {high}, {count}, expected as many of each (1 to 4), counts from 2")
        self.degree, self.periodic = degree, periodic
        step = [(b - a) / (n if p else n - 1) for a, b, n, p in zip(low, high, count, periodic, strict=True)]
        if min(step) <= 0 or any(p and n < degree + 1 for n, p in zip(count, periodic, strict=True)):
            raise ValueError(f"low, high, count: got {low}, {high}, {count}, expected low < high, and degree + 1 for a period")
        axes = [[a + k * s for k in range(n)] for a, s, n in zip(low, step, count, strict=True)]
        self.register_buffer("centres", torch.tensor(list(itertools.product(*axes))))
        self.register_buffer("step", torch.tensor(step))
        self.register_buffer("period", torch.tensor([b - a for a, b in zip(low, high, strict=True)]))
        self.size = len(self.centres)

    def forward(self, a: Tensor) -> Tensor:
        away = a[..., None, : len(self.step)] - self.centres.to(a)
        around = away - self.period * (away / self.period).round()
        away = torch.where(torch.tensor(self.periodic, device=a.device), around, away)
        return bspline(away / self.step, self.degree).prod(-1)


# --- The layer ------------------------------------------------------------------------------------------------------------


class LieConv(nn.Module):
    """f_i' = b + mean over j in N(i) of sum_m k_m(a_ij) W_m f_j.

    Args:
        inputs, outputs: channels.
        kernel: (E, 4) -> (E, kernel.size).
    """

    def __init__(self, inputs: int, outputs: int, kernel: nn.Module):
        super().__init__()
        self.kernel = kernel
        self.mix = nn.Linear(kernel.size * inputs, outputs)

    def forward(self, f: Tensor, a: Tensor, edge_index: Tensor) -> Tensor:
        """f (L, inputs), or (B, L, inputs) of B sets with the same geometry, which costs less; -> (..., L, outputs).

        An element without edges gets the bias.
        """
        graph.check(edge_index, f.shape[-2])
        if f.ndim not in (2, 3) or a.shape != (edge_index.shape[1], COORDINATES):
            got, edges = f"{tuple(f.shape)} and {tuple(a.shape)}", edge_index.shape[1]
            raise ValueError(f"f, a: got shapes {got}, expected (L, C) or (B, L, C), and ({edges}, {COORDINATES})")
        (i, j), size = edge_index, f.shape[-2]
        count = graph.degree(edge_index, size).clamp_min(1).to(f.dtype)
        k = self.kernel(a) / count[i, None]
        if f.ndim == 2:
            return self.mix(graph.scatter_sum(k[:, :, None] * f[j][:, None, :], i, size).flatten(1))
        # One matrix (L, L) for each k_m serves all sets of the batch
        matrices = k.new_zeros(size * size, k.shape[1]).index_add(0, i * size + j, k).T.reshape(-1, size, size)
        seen = torch.einsum("mij,bjc->bimc", matrices, f)
        return self.mix(seen.flatten(2))
