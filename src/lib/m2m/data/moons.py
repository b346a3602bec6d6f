"""Two moons: two half circles with Gaussian noise, and their exact density.

The outer moon is (cos t, sin t), the inner one (1 - cos t, 1/2 - sin t), with t uniform on [0, pi]: the data of
scikit-learn's `make_moons`, except that there t lies on a grid.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy
import torch
from torch import Tensor


def arcs(t: Tensor) -> Tensor:
    """Points of the outer and the inner half circle at the angles t (n,), as (2, n, 2)."""
    outer = torch.stack([t.cos(), t.sin()], -1)
    inner = torch.stack([1 - t.cos(), 0.5 - t.sin()], -1)
    return torch.stack([outer, inner])


def sample(n: int, noise: float = 0.05, generator: torch.Generator | None = None) -> Tensor:
    """n points drawn from the density that `log_prob` gives, (n, 2).

    Raises:
        ValueError: n below 1, or a noise that is not positive.
    """
    _check_noise(noise)
    if n < 1:
        raise ValueError(f"n: got {n}, expected at least 1 point")
    t = math.pi * torch.rand(n, generator=generator)
    moon = torch.randint(2, (n,), generator=generator)
    on_arc = arcs(t)[moon, torch.arange(n)]
    return on_arc + noise * torch.randn(n, 2, generator=generator)


def log_prob(x: Tensor, noise: float = 0.05, nodes: int = 200) -> Tensor:
    """The exact log-density in nats, (...,), for x (..., 2).

    p(x) = 1/2 sum over moons of (1/pi) int_0^pi N(x; arc(t), noise^2 I) dt, by Gauss-Legendre quadrature in t.
    The nodes must lie closer than the noise; 200 suffice down to a noise of 0.03 (to 1e-10), more are used below that.
    """
    _check_noise(noise)
    _check_points(x)
    centres, log_weights = _quadrature(max(nodes, math.ceil(6 / noise)))
    centres, log_weights = centres.to(x.device), log_weights.to(x.device)
    flat = x.reshape(-1, 2).double()
    parts = []
    for chunk in flat.split(4096):
        squares = torch.cdist(chunk, centres, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        parts.append(torch.logsumexp(log_weights - squares / (2 * noise**2), -1))
    return (torch.cat(parts) - math.log(2 * math.pi * noise**2)).to(x.dtype).reshape(x.shape[:-1])


@lru_cache
def _quadrature(nodes: int) -> tuple[Tensor, Tensor]:
    """At least `nodes` points on each arc, (2 nodes, 2), and the logarithms of their weights, which sum to one."""
    # Gauss-Legendre piece by piece: the nodes of one rule cost their number cubed
    pieces = math.ceil(nodes / 200)
    u, w = (torch.as_tensor(a) for a in numpy.polynomial.legendre.leggauss(math.ceil(nodes / pieces)))
    t = math.pi / pieces * ((u + 1) / 2 + torch.arange(pieces)[:, None]).reshape(-1)
    return arcs(t).reshape(-1, 2), (w / (4 * pieces)).log().repeat(2 * pieces)


@lru_cache
def entropy(noise: float = 0.05, step: float | None = None) -> float:
    """-int p log p in nats: the smallest mean negative log-likelihood that any model can reach on held-out points."""
    points, area = grid(noise, step)
    log_p = log_prob(points, noise)
    return -(log_p.exp() * log_p).sum().item() * area


def grid(noise: float = 0.05, step: float | None = None) -> tuple[Tensor, float]:
    """A fine grid over all but a negligible part of the mass: points (n, 2) in float64, and the area of a cell.

    Raises:
        ValueError: a noise or a step that is not positive.
    """
    _check_noise(noise)
    step = min(0.25 * noise, 0.02) if step is None else step
    if not step > 0:
        raise ValueError(f"step: got {step}, expected a positive number")
    margin = 8 * noise
    xs = torch.arange(-1 - margin, 2 + margin, step, dtype=torch.float64)
    ys = torch.arange(-0.5 - margin, 1 + margin, step, dtype=torch.float64)
    return torch.cartesian_prod(xs, ys), step * step


def distance_to_arcs(x: Tensor) -> Tensor:
    """Distance of each point to the nearer half circle, (...,), for x (..., 2): exact, by geometry."""
    _check_points(x)

    def to_half_circle(u: Tensor, v: Tensor) -> Tensor:
        # On the side of the half circle the nearest point lies radially; on the other side it is an end point
        radial = ((u * u + v * v).sqrt() - 1).abs()
        end = ((u.abs() - 1) ** 2 + v * v).sqrt()
        return torch.where(v >= 0, radial, end)

    u, v = x.unbind(-1)
    return torch.minimum(to_half_circle(u, v), to_half_circle(u - 1, 0.5 - v))


def _check_noise(noise: float) -> None:
    if not (math.isfinite(noise) and noise > 0):
        raise ValueError(f"noise: got {noise}, expected a positive number")


def _check_points(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.shape[-1:] != (2,):
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x: got {got}, expected a floating-point tensor (..., 2)")
