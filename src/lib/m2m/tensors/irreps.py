"""The irreducible representations of SO(3), and features that they act on.

Features of degree l are (N, C_l, 2l + 1); features of several degrees a dict {l: tensor}. A rotation acts on the last axis,
f @ D.T, with the Wigner matrix D of degree l. There is no parity: mirrors are not represented.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from m2m.tensors import rotations
from m2m.tensors.harmonics import harmonics

L_MAX = 12  # to here D is a homomorphism to 1e-13 in float64


def wigner_d(l: int, R: Tensor) -> Tensor:
    """Wigner matrix $D^{(l)}(R)$ in the real basis of `harmonics`, (..., 2l + 1, 2l + 1).

    D is what turns harmonics, Y(R r) = D Y(r); at enough fixed points r this is a linear system, solved once per degree.
    """
    if not isinstance(l, int) or not 0 <= l <= L_MAX:
        raise ValueError(f"l must be an integer from 0 to {L_MAX}, got {l!r}")
    rotations.check(R)
    if l == 0:
        return torch.ones_like(R[..., :1, :1])
    if l == 1:
        return R.clone()
    points, inverse = (value.to(R.device) for value in frame(l))
    turned = harmonics(points @ R.double().mT, l, normalize=False)[..., l * l :]
    return (turned.mT @ inverse).to(R.dtype)


@functools.cache
def frame(l: int) -> tuple[Tensor, Tensor]:
    """Points p_k on the sphere (K, 3), and the matrix (K, 2l + 1) that takes Y_m(R p_k) to D_mn."""
    k = 6 * l + 3
    height = (2 * torch.arange(k, dtype=torch.float64) + 1) / k - 1
    angle = torch.pi * (3 - 5**0.5) * torch.arange(k, dtype=torch.float64)
    ring = (1 - height**2).sqrt()
    points = torch.stack([ring * angle.sin(), height, ring * angle.cos()], -1)
    return points, torch.linalg.pinv(harmonics(points, l)[:, l * l :]).mT


def rotate(f: dict[int, Tensor], R: Tensor) -> dict[int, Tensor]:
    """Features turned by R: (3, 3) for all nodes, or (N, 3, 3)."""
    check(f)
    return {l: value @ wigner_d(l, R.to(value)).mT for l, value in f.items()}


def random(
    channels: dict[int, int], nodes: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
) -> dict[int, Tensor]:
    """Normal features {l: (nodes, C_l, 2l + 1)} of given numbers of channels {l: C_l}."""
    return {l: torch.randn(nodes, c, 2 * l + 1, generator=generator, dtype=dtype) for l, c in channels.items()}


def check(f: dict[int, Tensor], channels: dict[int, int] | None = None) -> None:
    """ValueError unless f is {l: (N, C_l, 2l + 1)}, with one N, and the channels {l: C_l} if given."""
    for l, value in f.items():
        if not isinstance(l, int) or l < 0 or value.ndim != 3 or value.shape[-1] != 2 * l + 1:
            raise ValueError(f"features of degree {l} must be (N, C, {2 * l + 1}), got {tuple(value.shape)}")
    if len({len(value) for value in f.values()}) > 1:
        raise ValueError(f"features must have one number of nodes, got {({l: len(v) for l, v in f.items()})}")
    got = {l: value.shape[1] for l, value in f.items()}
    if channels is not None and got != channels:
        raise ValueError(f"features must have channels {channels}, got {got}")


def norm(f_l: Tensor) -> Tensor:
    """Lengths of features over the last axis, with gradient 0 at 0."""
    square = f_l.square().sum(-1)
    safe = torch.where(square > 0, square, 1)
    return torch.where(square > 0, safe.sqrt(), 0)
