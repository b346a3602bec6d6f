"""The irreducible representations of SO(3), and the features that they act on.

Features of degree l are (N, C_l, 2l + 1): N nodes, C_l channels. Features of several degrees are a dict {l: tensor}, their
numbers of channels a dict {l: C_l}. A rotation R acts on the last axis, f @ D.T, with the Wigner matrix D of degree l and R.

Features carry no parity: how a mirror acts on them is not said, so networks built on them know rotations and nothing else.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from m2m.messages import graph
from m2m.tensors import rotations
from m2m.tensors.harmonics import harmonics

L_MAX = 12


def wigner_d(l: int, R: Tensor) -> Tensor:
    """Wigner matrix $D^{(l)}(R)$ in the basis of `harmonics`, real and orthogonal: (..., 2l + 1, 2l + 1).

    It is what turns harmonics, Y(R r) = D(R) Y(r), and that is how it is found: at enough points r this is a linear system
    for D, whose pseudo-inverse is made once per degree. The entries are polynomials of R, computed in float64.
    D(R S) = D(R) D(S) to 1e-13. D of degree 1 is R itself.

    Args:
        l: degree, 0 to 12.
        R: rotations (..., 3, 3).

    Raises:
        ValueError: l out of range, or a matrix that is not a rotation.
    """
    degree(l)
    rotations.check(R)
    if l == 0:
        return torch.ones_like(R[..., :1, :1])
    if l == 1:
        return R.clone()
    points, inverse = (value.to(R.device) for value in frame(l))
    turned = harmonics(points @ R.double().mT, l, normalize=False)[..., l * l :]
    return (turned.mT @ inverse).to(R.dtype)


def degree(l: int, name: str = "l") -> int:
    """l, if it is a degree that this module knows; `name` is what an error calls it.

    Raises:
        ValueError: it is not a whole number from 0 to 12.
    """
    if isinstance(l, bool) or not isinstance(l, int) or not 0 <= l <= L_MAX:
        raise ValueError(f"{name}: got {l!r}, expected a whole number from 0 to {L_MAX}")
    return l


@functools.cache
def frame(l: int) -> tuple[Tensor, Tensor]:
    """Points p on the sphere (K, 3), and the matrix (K, 2l + 1) that takes Y(R p) (2l + 1, K) to D."""
    k = 6 * l + 3  # 2l + 1 would do in exact arithmetic; on three times as many the condition number is below 4
    height = (2 * torch.arange(k, dtype=torch.float64) + 1) / k - 1
    angle = math.pi * (3 - math.sqrt(5)) * torch.arange(k, dtype=torch.float64)  # the golden angle
    ring = (1 - height**2).sqrt()
    points = torch.stack([ring * angle.sin(), height, ring * angle.cos()], -1)
    return points, torch.linalg.pinv(harmonics(points, l)[:, l * l :]).mT


def rotate(f: dict[int, Tensor], R: Tensor) -> dict[int, Tensor]:
    """Features {l: (N, C_l, 2l + 1)} turned by one rotation R (3, 3), or each node by its own, R (N, 3, 3).

    Raises:
        ValueError: R is neither (3, 3) nor a rotation for each node.
    """
    check(f)
    nodes = {len(value) for value in f.values()}
    if R.ndim not in (2, 3) or (R.ndim == 3 and nodes and {len(R)} != nodes):
        raise ValueError(f"R: got shape {tuple(R.shape)}, expected (3, 3), or (N, 3, 3) with one rotation for each node")
    return {l: value @ wigner_d(l, R.to(value)).mT for l, value in f.items()}


def random(
    channels: dict[int, int], nodes: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
) -> dict[int, Tensor]:
    """Standard normal features {l: (nodes, C_l, 2l + 1)} for numbers of channels {l: C_l}."""
    return {degree(l): torch.randn(nodes, c, 2 * l + 1, generator=generator, dtype=dtype) for l, c in channels.items()}


def check(f: dict[int, Tensor], channels: dict[int, int] | None = None) -> None:
    """ValueError unless f is {l: (N, C_l, 2l + 1)} with one N for all degrees, and the channels {l: C_l} if they are given."""
    for l, value in f.items():
        if value.ndim != 3 or value.shape[-1] != 2 * degree(l) + 1:
            raise ValueError(f"f: got shape {tuple(value.shape)} for degree {l}, expected (N, C, {2 * l + 1})")
    nodes = {l: len(value) for l, value in f.items()}
    if len(set(nodes.values())) > 1:
        raise ValueError(f"f: got {nodes} nodes by degree, expected the same number for all")
    got = {l: value.shape[1] for l, value in f.items()}
    if channels is not None and got != channels:
        raise ValueError(f"f: got channels {got}, expected {channels}")


def norm(f_l: Tensor) -> Tensor:
    """Lengths of features over the last axis, (N, C, 2l + 1) to (N, C): no rotation changes them. The gradient at 0 is 0."""
    return graph.norm(f_l)
