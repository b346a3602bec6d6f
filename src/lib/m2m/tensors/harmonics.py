"""Real spherical harmonics, as polynomials of x, y and z.

Order and axes are e3nn's: within degree l the entries are m = -l..l about the y axis, so that degree 1 is (x, y, z).
With the azimuth phi = atan2(x, z) and cos(theta) = y,

    Y_lm = n_l sqrt((2 - delta_m0) (l - |m|)! / (l + |m|)!) P_l^|m|(cos theta) {sin(|m| phi) if m < 0, cos(m phi) if m >= 0},

without the Condon-Shortley sign. The normalisations differ in n_l alone:

    "norm"       n_l = 1                        |Y_l| = 1 on the sphere
    "component"  n_l = sqrt(2l + 1)             |Y_l|^2 = 2l + 1: each entry has mean square 1
    "integral"   n_l = sqrt((2l + 1) / 4 pi)    orthonormal over the sphere, as in physics books

Physics books order m about z: their (x, y, z) is our (z, x, y).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NORMALIZATIONS = {
    "norm": lambda l: 1.0,
    "component": lambda l: math.sqrt(2 * l + 1),
    "integral": lambda l: math.sqrt((2 * l + 1) / (4 * math.pi)),
}


def harmonics(r: Tensor, l_max: int, *, normalization: str = "component", normalize: bool = True) -> Tensor:
    """Harmonics $Y^{(0)}, ..., Y^{(l_max)}$ of the directions of r, (..., (l_max + 1)^2)."""
    check(r, l_max, normalization)
    x, y, z = r.unbind(-1)
    if normalize:
        d2 = x * x + y * y + z * z
        inverse = torch.where(d2 > 0, torch.where(d2 > 0, d2, 1).rsqrt(), 0)
        x, y, z = x * inverse, y * inverse, z * inverse
    return torch.stack(solid(x, y, z, l_max, NORMALIZATIONS[normalization])).movedim(0, -1)


def solid(x: Tensor, y: Tensor, z: Tensor, l_max: int, scale) -> list[Tensor]:
    """Rows |r|^l Y_lm, in order."""
    d2 = x * x + y * y + z * z
    rows: list = [None] * (l_max + 1) ** 2
    cosine, sine = torch.ones_like(x), torch.zeros_like(x)
    for m in range(l_max + 1):
        if m:
            cosine, sine = z * cosine - x * sine, z * sine + x * cosine
        before, now = None, None
        for l in range(m, l_max + 1):
            if l == m:
                q = torch.full_like(x, math.prod(range(1, 2 * m, 2)) * factor(m, m))
            else:
                a = (2 * l - 1) / (l - m) * factor(l, m) / factor(l - 1, m)
                q = a * y * now
                if l > m + 1:
                    q = q - (l + m - 1) / (l - m) * factor(l, m) / factor(l - 2, m) * d2 * before
            before, now = now, q
            centre = l * l + l
            rows[centre + m] = scale(l) * q * cosine
            if m:
                rows[centre - m] = scale(l) * q * sine
    return rows


def factor(l: int, m: int) -> float:
    return math.sqrt((2 if m else 1) * math.factorial(l - m) / math.factorial(l + m))


def check(r: Tensor, l_max: int, normalization: str) -> None:
    if not isinstance(l_max, int) or l_max < 0:
        raise ValueError(f"l_max must be an integer of 0 or more, got {l_max!r}")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}")
    if r.ndim < 1 or r.shape[-1] != 3 or r.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"r must be (..., 3) of float32 or float64, got {tuple(r.shape)} of {r.dtype}")


def split(y: Tensor) -> dict[int, Tensor]:
    """Harmonics of several degrees (..., (l_max + 1)^2) by degree, {l: (..., 2l + 1)}."""
    l_max = math.isqrt(y.shape[-1]) - 1
    if l_max < 0 or y.shape[-1] != (l_max + 1) ** 2:
        raise ValueError(f"y must have 1, 4, 9, 16, ... entries on its last axis, got {tuple(y.shape)}")
    return {l: y[..., l * l : (l + 1) ** 2] for l in range(l_max + 1)}
