"""Clebsch-Gordan coefficients: the one way to multiply degrees l1 and l2 into degree l that rotations leave alone.

The constraint is C(D1 a, D2 b) = D C(a, b) for all rotations. Its derivative at the identity is linear in C, with one
equation per axis; the solutions are a null space, of dimension 1 where |l1 - l2| <= l <= l1 + l2 and 0 elsewhere.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from m2m.tensors import irreps


def clebsch_gordan(l1: int, l2: int, l: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Coefficients $C^{(l_1 l_2 l)}$ (2 l1 + 1, 2 l2 + 1, 2l + 1), of Frobenius norm 1."""
    return solve(l1, l2, l).to(dtype, copy=True)


@functools.cache
def solve(l1: int, l2: int, l: int) -> Tensor:
    if not abs(l1 - l2) <= l <= l1 + l2:
        raise ValueError(f"l must be from |l1 - l2| to l1 + l2, got l1 = {l1}, l2 = {l2}, l = {l}")
    degrees = (l1, l2, l)
    orders = torch.cartesian_prod(*[torch.arange(-k, k + 1) for k in degrees])
    a, b, c = orders.abs().T
    orders = orders[(c == a + b) | (c == (a - b).abs())]  # what turns about y leave alone has no other entries
    index = [orders[:, i] + k for i, k in enumerate(degrees)]
    equal = [i[:, None] == i for i in index]
    # J^2 = sum over axes of (X1 + X2 + X3)^2, up to sign: zero exactly on the invariant tensors
    j2 = torch.eye(len(orders), dtype=torch.float64) * sum(k * (k + 1) for k in degrees)
    for axis in range(3):
        x = [generators(k)[axis][i[:, None], i] for k, i in zip(degrees, index, strict=True)]
        j2 -= 2 * (x[0] * x[1] * equal[2] + x[0] * x[2] * equal[1] + x[1] * x[2] * equal[0])
    vector = torch.linalg.eigh(j2).eigenvectors[:, 0]
    tensor = torch.zeros([2 * k + 1 for k in degrees], dtype=torch.float64)
    tensor[tuple(index)] = vector
    tensor[tensor.abs() < 1e-13] = 0
    centre = tensor[l1, l2, l]
    first = centre if centre.abs() > 1e-9 else tensor[tensor.abs() > 1e-9][0]
    return tensor * first.sign() + 0.0  # no negative zeros


@functools.cache
def generators(l: int) -> Tensor:
    """Derivatives of D(l, R) for turns about x, y and z, (3, 2l + 1, 2l + 1)."""
    m = torch.arange(-l, l + 1, dtype=torch.float64)
    about_y = torch.diag(-m).flip(1)  # cos(m phi) goes to -m sin(m phi), sin(m phi) to m cos(m phi)
    cycle = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)  # x -> y -> z -> x
    d = irreps.wigner_d(l, cycle)
    return torch.stack([d.T @ about_y @ d, about_y, d @ about_y @ d.T])


def paths(degrees_in, degrees_filter, degrees_out) -> list[tuple[int, int, int]]:
    """All (l_in, l_filter, l_out) with |l_in - l_filter| <= l_out <= l_in + l_filter."""
    return [
        (a, b, c) for c in sorted(degrees_out) for a in sorted(degrees_in) for b in sorted(degrees_filter)
        if abs(a - b) <= c <= a + b
    ]  # fmt: skip
