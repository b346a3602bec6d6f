"""Lie groups of motions by exp and log: SO(2), SE(2), SO(3), SE(3).

A group element is a matrix: a rotation (..., d, d), or a motion x -> R x + t as (..., d + 1, d + 1),

    g = [R t]
        [0 1].

`log` gives it coordinates in the Lie algebra: an angle or a rotation vector (axis times angle, of length at most pi), in a
motion after the d numbers of a velocity. `exp` walks from the identity along these coordinates for a time of 1. All is
batched, exact to rounding for small angles and at pi, and has finite gradients at the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from m2m.messages.graph import norm

SMALL = 0.1  # below this angle, series: their first term left out is 1e-17


# --- The plane ------------------------------------------------------------------------------------------------------------


def so2_exp(theta: Tensor) -> Tensor:
    """Rotation matrices (..., 2, 2) by angles (...), counterclockwise."""
    c, s = theta.cos(), theta.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)


def so2_log(r: Tensor) -> Tensor:
    """Angles (...) in (-pi, pi] of rotation matrices (..., 2, 2)."""
    _check(r, 2, "r")
    return wrap(torch.atan2(r[..., 1, 0], r[..., 0, 0]))


def wrap(theta: Tensor) -> Tensor:
    """The same angles (...,) in (-pi, pi]. What is pi up to rounding is +pi: else rounding would decide between two ends."""
    theta = math.pi - torch.remainder(math.pi - theta, 2 * math.pi)
    return torch.where(theta < -math.pi * (1 - 8 * torch.finfo(theta.dtype).eps), theta + 2 * math.pi, theta)


def se2_exp(a: Tensor) -> Tensor:
    """Motions (..., 3, 3) of coordinates (v_1, v_2, theta) (..., 3): t = V(theta) v, an arc of a circle."""
    _check_last(a, 3)
    theta = a[..., 2]
    p, q = _sinc(theta), theta * _cosc(theta)
    v1, v2 = a[..., 0], a[..., 1]
    return motion(so2_exp(theta), torch.stack([p * v1 - q * v2, q * v1 + p * v2], -1))


def se2_log(g: Tensor) -> Tensor:
    """Coordinates (v_1, v_2, theta) (..., 3) of motions (..., 3, 3), theta in (-pi, pi]."""
    _check(g, 3, "g")
    theta, (t1, t2) = so2_log(g[..., :2, :2]), g[..., :2, 2].unbind(-1)
    half = theta / 2
    p = 1 - _tangent_term(theta) * theta**2  # (theta / 2) cot(theta / 2)
    return torch.stack([p * t1 + half * t2, p * t2 - half * t1, theta], -1)


# --- Space ----------------------------------------------------------------------------------------------------------------


def so3_exp(w: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), Rodrigues' formula."""
    _check_last(w, 3)
    theta, k = norm(w)[..., None, None], hat(w)
    return torch.eye(3, dtype=w.dtype, device=w.device) + _sinc(theta) * k + _cosc(theta) * (k @ k)


def so3_log(r: Tensor) -> Tensor:
    """Rotation vectors (..., 3), of length up to pi, of rotation matrices (..., 3, 3).

    By way of the unit quaternion, which is well conditioned everywhere. A half turn has two vectors, w and -w; the one whose
    largest component is positive is given.
    """
    _check(r, 3, "r")
    q = _quaternion(r)
    scalar, vector = q[..., 0], q[..., 1:]
    largest = vector.gather(-1, vector.abs().argmax(-1, keepdim=True))[..., 0]
    half_turn = scalar.abs() < 8 * torch.finfo(r.dtype).eps
    sign = torch.where(half_turn, largest, scalar).sign()
    sign = torch.where(sign == 0, 1.0, sign)
    scalar, vector = scalar * sign, vector * sign[..., None]
    sine = norm(vector)
    small = sine < 1e-4
    factor = 2 * torch.atan2(sine, scalar) / torch.where(small, 1.0, sine)
    return vector * torch.where(small, 2 + sine**2 / 3, factor)[..., None]


def se3_exp(a: Tensor) -> Tensor:
    """Motions (..., 4, 4) of coordinates (v, w) (..., 6): a screw about the axis w."""
    _check_last(a, 6)
    v, w = a[..., :3], a[..., 3:]
    theta, k = norm(w)[..., None, None], hat(w)
    walk = torch.eye(3, dtype=a.dtype, device=a.device) + _cosc(theta) * k + _third(theta) * (k @ k)
    return motion(so3_exp(w), (walk @ v[..., None])[..., 0])


def se3_log(g: Tensor) -> Tensor:
    """Coordinates (v, w) (..., 6) of motions (..., 4, 4)."""
    _check(g, 4, "g")
    w = so3_log(g[..., :3, :3])
    theta, k = norm(w)[..., None, None], hat(w)
    back = torch.eye(3, dtype=g.dtype, device=g.device) - k / 2 + _tangent_term(theta) * (k @ k)
    return torch.cat([(back @ g[..., :3, 3:])[..., 0], w], -1)


def hat(w: Tensor) -> Tensor:
    """The antisymmetric matrices (..., 3, 3) with hat(w) u = w x u."""
    x, y, z = w.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


# --- Products -------------------------------------------------------------------------------------------------------------


def inverse(g: Tensor) -> Tensor:
    """g^-1 of motions (..., d + 1, d + 1): (R^T, -R^T t)."""
    d = g.shape[-1] - 1
    back = g[..., :d, :d].transpose(-1, -2)
    return motion(back, -(back @ g[..., :d, d:])[..., 0])


def relative(g_i: Tensor, g_j: Tensor) -> Tensor:
    """g_i^-1 g_j (..., d + 1, d + 1), where j is as seen from i: unchanged when both are moved, g -> h g."""
    return inverse(g_i) @ g_j


def motion(r: Tensor, t: Tensor) -> Tensor:
    """The matrices (..., d + 1, d + 1) of x -> R x + t, of R (..., d, d) and t (..., d)."""
    below = torch.zeros_like(torch.cat([t, t[..., :1]], -1))
    below[..., -1] = 1
    return torch.cat([torch.cat([r, t[..., None]], -1), below[..., None, :]], -2)


# --- Functions of an angle that divide by it ------------------------------------------------------------------------------


def _series(theta: Tensor, coefficients: tuple[float, ...], formula) -> Tensor:
    """The formula, and for small angles the series in theta^2; neither branch divides by zero, so gradients are finite."""
    small, square = theta.abs() < SMALL, theta**2
    value = torch.full_like(theta, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = value * square + c
    return torch.where(small, value, formula(torch.where(small, 1.0, theta)))


def _sinc(theta: Tensor) -> Tensor:
    """sin(theta) / theta."""
    return _series(theta, (1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800), lambda t: t.sin() / t)


def _cosc(theta: Tensor) -> Tensor:
    """(1 - cos(theta)) / theta^2."""
    return _series(theta, (1 / 2, -1 / 24, 1 / 720, -1 / 40320, 1 / 3628800), lambda t: 2 * (t / 2).sin() ** 2 / t**2)


def _third(theta: Tensor) -> Tensor:
    """(theta - sin(theta)) / theta^3."""
    return _series(theta, (1 / 6, -1 / 120, 1 / 5040, -1 / 362880, 1 / 39916800), lambda t: (t - t.sin()) / t**3)


def _tangent_term(theta: Tensor) -> Tensor:
    """(1 - (theta / 2) cot(theta / 2)) / theta^2."""
    coefficients = (1 / 12, 1 / 720, 1 / 30240, 1 / 1209600, 1 / 47900160, 691 / 1307674368000)
    return _series(theta, coefficients, lambda t: (1 - t / 2 * (t / 2).cos() / (t / 2).sin()) / t**2)


def _quaternion(r: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) (..., 4) of rotation matrices; from the largest of its components, as 4 q q^T is known."""
    a, b, c, d, e, f, g, h, i = r.flatten(-2).unbind(-1)
    rows = [
        1 + a + e + i, h - f, c - g, d - b,
        h - f, 1 + a - e - i, b + d, c + g,
        c - g, b + d, 1 - a + e - i, f + h,
        d - b, c + g, f + h, 1 - a - e + i,
    ]  # fmt: skip
    outer = torch.stack(rows, -1).unflatten(-1, (4, 4))
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    return torch.nn.functional.normalize(row, dim=-1)


def _check(g: Tensor, size: int, name: str) -> None:
    if g.ndim < 2 or g.shape[-2:] != (size, size) or not g.is_floating_point():
        raise ValueError(f"{name}: got shape {tuple(g.shape)} of {g.dtype}, expected (..., {size}, {size}), floating-point")


def _check_last(a: Tensor, size: int) -> None:
    if a.ndim < 1 or a.shape[-1] != size or not a.is_floating_point():
        raise ValueError(f"coordinates: got shape {tuple(a.shape)} of {a.dtype}, expected (..., {size}), floating-point")
