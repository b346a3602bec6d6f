"""Point masses and what physics says about them: how they pull each other, and how hard they are to turn.

Units are such that the gravitational constant is 1. Tasks of Thomas et al., Tensor field networks,
https://arxiv.org/abs/1802.08219, section 5.2, where the targets are equivariant by nature: vectors, and a symmetric matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from m2m import arguments
from m2m.tensors.clebsch_gordan import clebsch_gordan

TRIES = 1000


def random(
    samples: int,
    n: int,
    *,
    apart: float = 0.5,
    even: bool = False,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Positions (samples, n, 3) in the unit ball with distances of `apart` or more, masses (samples, n) in 0.5 to 2.

    Points are uniform in the ball, or, where `even`, as many at each distance from its centre. Distances are at most 2.

    Raises:
        ValueError: a count below 1, or points that do not fit into the ball that far apart.
    """
    arguments.whole(samples=samples, n=n)
    x = torch.zeros(samples, n, 3, dtype=torch.float64)
    bad = torch.ones(samples, dtype=torch.bool)
    for _ in range(TRIES):  # draw the clouds again in which two points are too near
        direction = torch.nn.functional.normalize(
            torch.randn(int(bad.sum()), n, 3, generator=generator, dtype=torch.float64), dim=-1
        )
        radius = torch.rand(int(bad.sum()), n, 1, generator=generator, dtype=torch.float64) ** (1 if even else 1 / 3)
        x[bad] = radius * direction
        distance = torch.cdist(x, x) + 3 * torch.eye(n, dtype=torch.float64)
        bad = (distance < apart).flatten(1).any(1)
        if not bad.any():
            break
    else:
        raise ValueError(
            f"n, apart: got {n} points {apart} apart, expected fewer or nearer: they do not fit into the unit ball"
        )
    m = 0.5 + 1.5 * torch.rand(samples, n, generator=generator, dtype=torch.float64)
    return x.to(dtype), m.to(dtype)


def gravity(x: Tensor, m: Tensor) -> Tensor:
    """Accelerations a_i = sum_j m_j r_ij / d_ij^3, (..., n, 3), of masses m (..., n) at x (..., n, 3).

    Masses at the same place do not pull each other.
    """
    _check(x, m)
    r = x[..., None, :, :] - x[..., :, None, :]  # r[i, j] = x_j - x_i
    d2 = (r * r).sum(-1, keepdim=True)
    pull = torch.where(d2 > 0, r / torch.where(d2 > 0, d2, 1) ** 1.5, 0)
    return (m[..., None, :, None] * pull).sum(-2)


def inertia(x: Tensor, m: Tensor) -> Tensor:
    """Moment of inertia about the origin, sum_j m_j (|x_j|^2 1 - x_j x_j^T), (..., 3, 3)."""
    _check(x, m)
    outer = x[..., :, None] * x[..., None, :]
    trace = (x * x).sum(-1)[..., None, None]
    return (m[..., None, None] * (trace * torch.eye(3, dtype=x.dtype, device=x.device) - outer)).sum(-3)


def to_degrees(matrix: Tensor) -> dict[int, Tensor]:
    """A symmetric matrix (..., 3, 3) as features of degree 0, (..., 1), and degree 2, (..., 5).

    Degree 0 is the trace over sqrt(3); lengths are kept, |M|^2 = f_0^2 + |f_2|^2.

    Raises:
        ValueError: not symmetric matrices (..., 3, 3).
    """
    if matrix.shape[-2:] != (3, 3) or not torch.allclose(
        matrix, matrix.mT, atol=1e-5 * float(matrix.abs().max() if matrix.numel() else 1)
    ):
        raise ValueError(f"matrix: got shape {tuple(matrix.shape)}, expected symmetric matrices (..., 3, 3)")
    return {l: torch.einsum("...ab,abm->...m", matrix, _coupling(l, matrix)) for l in (0, 2)}


def from_degrees(f: dict[int, Tensor]) -> Tensor:
    """The inverse of `to_degrees`: features (..., 1) and (..., 5) as a symmetric matrix (..., 3, 3).

    Raises:
        ValueError: the features are not {0: (..., 1), 2: (..., 5)}.
    """
    if set(f) != {0, 2} or any(value.shape[-1] != 2 * l + 1 for l, value in f.items()):
        raise ValueError(f"f: got { ({l: tuple(v.shape) for l, v in f.items()}) }, expected {{0: (..., 1), 2: (..., 5)}}")
    return sum(torch.einsum("...m,abm->...ab", value, _coupling(l, value)) for l, value in f.items())


def _coupling(l: int, like: Tensor) -> Tensor:
    """C[a, b, m] of 1 x 1 -> l times sqrt(2 l + 1): orthonormal matrices, one for each m."""
    c = (2 * l + 1) ** 0.5 * clebsch_gordan(1, 1, l)
    return (c * c[0, 0, 0].sign() if l == 0 else c).to(like)


def _check(x: Tensor, m: Tensor) -> None:
    if x.ndim < 2 or x.shape[-1] != 3 or m.shape != x.shape[:-1]:
        raise ValueError(f"x, m: got shapes {tuple(x.shape)} and {tuple(m.shape)}, expected (..., n, 3) and (..., n)")
    if not (x.isfinite().all() and m.isfinite().all()):
        raise ValueError("x, m: got NaN or infinite numbers, expected finite ones")
