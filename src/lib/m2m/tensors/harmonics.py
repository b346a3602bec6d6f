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
from collections.abc import Callable

import torch
from torch import Tensor

from m2m import arguments

NORMALIZATIONS = {
    "norm": lambda l: 1.0,
    "component": lambda l: math.sqrt(2 * l + 1),
    "integral": lambda l: math.sqrt((2 * l + 1) / (4 * math.pi)),
}


def harmonics(r: Tensor, l_max: int, *, normalization: str = "component", normalize: bool = True) -> Tensor:
    """Harmonics $Y^{(0)}, ..., Y^{(l_max)}$ of vectors r (..., 3), one degree after the other: (..., (l_max + 1)^2).

    By recursion over l and m in x, y and z: no angles, so nothing special happens at the poles. Memory holds one contiguous
    row per (l, m), and what is returned is a transposed view of the rows.

    Args:
        r: vectors of float32 or float64. NaN gives NaN in all degrees but 0.
        normalization: "component", "norm" or "integral", see the top of this file.
        normalize: take the direction of r. A vector of length 0 has none: there Y_l = 0 for l > 0, and the gradient is 0.
            Otherwise the result is |r|^l Y_l(r / |r|), a homogeneous polynomial: a *solid* harmonic.

    Raises:
        ValueError: wrong shape or dtype, l_max not a whole number from 0 on, unknown normalization.

    Source: the recursion is that of the SE(3)-Transformer, https://arxiv.org/abs/2006.10503, appendix C, in Cartesian form.

    >>> harmonics(torch.tensor([0.0, 2.0, 0.0]), 1, normalization="norm")
    tensor([1., 0., 1., 0.])
    """
    check(r, l_max, normalization)
    x, y, z = torch.stack(r.unbind(-1)).unbind(0)  # contiguous, and a buffer of its own in compiled code: 3 times faster there
    d2 = torch.addcmul(torch.addcmul(x * x, y, y), z, z)
    if normalize:
        one = d2.sign()  # |r / |r||^2, which is 0 where r = 0
        inverse = (d2 + (1 - one)).rsqrt() * one
        x, y, z, d2 = x * inverse, y * inverse, z * inverse, one
    rows = solid(x, y, z, d2, l_max, NORMALIZATIONS[normalization])
    return torch.stack(rows).movedim(0, -1)


def solid(x: Tensor, y: Tensor, z: Tensor, d2: Tensor, l_max: int, size: Callable[[int], float]) -> list[Tensor]:
    """Solid harmonics as rows (...), in order, of coordinates (...); d2 = x^2 + y^2 + z^2 and size(l) = n_l.

    Each is a function of y and d2 times rho^m sin(m phi) or rho^m cos(m phi), where rho^2 = z^2 + x^2.
    """
    rows: list = [None] * (l_max + 1) ** 2
    sine, cosine = x, z
    for m in range(l_max + 1):
        if m > 1:  # (z + ix)^m
            sine, cosine = torch.addcmul(z * sine, x, cosine), torch.addcmul(z * cosine, x, sine, value=-1)
        for l, q in enumerate(legendre(y, d2, m, l_max, size), start=m):
            centre = l * l + l
            if m == 0:
                rows[centre] = q if l else torch.full_like(x, q)
            else:
                rows[centre - m], rows[centre + m] = sine * q, cosine * q
    return rows


def legendre(y: Tensor, d2: Tensor, m: int, l_max: int, size: Callable[[int], float]) -> list:
    """Legendre functions P_l^m(y) without the factor rho^m, normalised, (...) for l = m .. l_max; the first is a number.

    With (l - m) P_l = (2l - 1) y P_{l-1} - (l + m - 1) d2 P_{l-2}, and P_m = (2m - 1)!!
    """
    n = [size(l) * math.sqrt((2 if m else 1) * math.factorial(l - m) / math.factorial(l + m)) for l in range(m, l_max + 1)]
    rows: list = [n[0] * math.prod(range(1, 2 * m, 2))]
    for k in range(1, len(n)):
        l = m + k
        a = (2 * l - 1) / k * n[k] / n[k - 1]
        if k == 1:
            rows.append(y * (a * rows[0]))
        else:
            b = (l + m - 1) / k * n[k] / n[k - 2]
            rest = d2 * (-b * rows[0]) if k == 2 else (d2 * rows[k - 2]) * -b
            rows.append(torch.addcmul(rest, y, rows[k - 1], value=a))
    return rows


def check(r: Tensor, l_max: int, normalization: str) -> None:
    """Raise a ValueError unless r is (..., 3) in float32 or float64, l_max from 0 on and the normalization a known one."""
    arguments.whole(0, l_max=l_max)
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization: got {normalization!r}, expected one of {', '.join(NORMALIZATIONS)}")
    if r.ndim < 1 or r.shape[-1] != 3 or r.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"r: got shape {tuple(r.shape)} of {r.dtype}, expected (..., 3) of float32 or float64")


def split(y: Tensor) -> dict[int, Tensor]:
    """Harmonics of degrees 0 .. l_max, (..., (l_max + 1)^2), one by one: {l: (..., 2l + 1)}, as views.

    Raises:
        ValueError: not 1, 4, 9, 16 ... entries on the last axis.
    """
    l_max = math.isqrt(y.shape[-1]) - 1 if y.ndim else -1
    if l_max < 0 or y.shape[-1] != (l_max + 1) ** 2:
        raise ValueError(f"y: got shape {tuple(y.shape)}, expected 1, 4, 9, 16 ... entries on the last axis")
    return {l: y[..., l * l : (l + 1) ** 2] for l in range(l_max + 1)}
