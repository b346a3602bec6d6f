"""Clebsch-Gordan coefficients: the only product of degrees l1 and l2 with a result of degree l that rotations leave alone.

A bilinear map is a tensor C, (C(a, b))_m = sum over m1, m2 of C[m1, m2, m] a_m1 b_m2, and must obey

    C(D1 a, D2 b) = D C(a, b)    for every rotation.

This is linear in C: its solutions are a null space. It has dimension 1 where |l1 - l2| <= l <= l1 + l2, and 0 elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch
from torch import Tensor

from m2m.tensors import irreps


def clebsch_gordan(l1: int, l2: int, l: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Coefficients $C^{(l_1 l_2 l)}$ in the real basis of `harmonics`, (2 l1 + 1, 2 l2 + 1, 2l + 1).

    Their squares sum to 1, as in e3nn's `wigner_3j`. The sign, which the constraint leaves open: where l1 + l2 + l is even,
    the entry of m1 = m2 = m = 0 is positive, so that Y_l1 times Y_l2 of one direction gives a positive multiple of Y_l;
    where it is odd that entry is 0, and the first entry that is not, in the order of memory, is positive. So C(1, 1, 0) is
    the dot product over sqrt(3) and C(1, 1, 1) the cross product over sqrt(6). e3nn has the same signs for even sums.

    Raises:
        ValueError: a degree out of range, or l not from |l1 - l2| to l1 + l2.
    """
    for degree in (l1, l2, l):
        irreps.degree(degree)
    if not abs(l1 - l2) <= l <= l1 + l2:
        raise ValueError(f"l: got {l}, expected |l1 - l2| to l1 + l2, here {abs(l1 - l2)} to {l1 + l2}")
    return solve(l1, l2, l).to(dtype, copy=True)


@functools.cache
def solve(l1: int, l2: int, l: int) -> Tensor:
    """The null space of J^2 = -sum over axes a of (X1_a + X2_a + X3_a)^2, X_a the generators on the three indices of C.

    J^2 is symmetric and never negative, and J^2 C = 0 says that no turn changes C. Multiplied out it is a number on the
    diagonal, l (l + 1) for each index, and products of generators of two indices.
    """
    degrees = (l1, l2, l)
    m1, m2, m = orders = torch.cartesian_prod(*[torch.arange(-k, k + 1) for k in degrees]).reshape(-1, 3).T
    # Turns about y leave alone no other entries than these, a few out of a hundred
    kept = (m.abs() == (m1.abs() - m2.abs()).abs()) | (m.abs() == m1.abs() + m2.abs())
    index = [(order[kept] + k) for order, k in zip(orders, degrees, strict=True)]
    same = [(i[:, None] == i).double() for i in index]
    j2 = torch.eye(len(index[0]), dtype=torch.float64) * sum(k * (k + 1) for k in degrees)
    for axis in range(3):
        x = [generators(k)[axis][i[:, None], i] for k, i in zip(degrees, index, strict=True)]
        j2 -= 2 * (x[0] * x[1] * same[2] + x[0] * x[2] * same[1] + x[1] * x[2] * same[0])
    found = torch.zeros([2 * k + 1 for k in degrees], dtype=torch.float64)
    found[tuple(index)] = torch.linalg.eigh(j2).eigenvectors[:, 0]
    found[found.abs() < 1e-12] = 0  # rounding: up to degree 6 the smallest entry is 0.006
    first = found[l1, l2, l] if (l1 + l2 + l) % 2 == 0 else found[found != 0][0]
    return found * first.sign() + 0.0  # + 0 makes -0 to 0


@functools.cache
def generators(l: int) -> Tensor:
    """Derivatives at 0 of D(l, turn by t about x, y, z), antisymmetric: (3, 2l + 1, 2l + 1)."""
    m = torch.arange(-l, l + 1, dtype=torch.float64)
    about_y = torch.diag(-m).flip(1)  # cos(m phi) becomes -m sin(m phi), sin(m phi) becomes m cos(m phi)
    d = irreps.wigner_d(l, torch.eye(3, dtype=torch.float64).roll(1, 0))  # takes x to y, y to z, z to x
    return torch.stack([d.T @ about_y @ d, about_y, d @ about_y @ d.T])


def paths(degrees_in: Iterable[int], degrees_filter: Iterable[int], degrees_out: Iterable[int]) -> list[tuple[int, int, int]]:
    """All (l_in, l_filter, l_out) for which there are Clebsch-Gordan coefficients, by l_out, then l_in, then l_filter.

    >>> paths([0, 1], [0, 1], [1])
    [(0, 1, 1), (1, 0, 1), (1, 1, 1)]
    """
    degrees = [sorted({irreps.degree(l) for l in given}) for given in (degrees_in, degrees_filter, degrees_out)]
    return [(a, b, l) for l in degrees[2] for a in degrees[0] for b in degrees[1] if abs(a - b) <= l <= a + b]
