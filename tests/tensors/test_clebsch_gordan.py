"""Clebsch-Gordan coefficients: equivariant, unique, with e3nn's values; dot and cross product among them."""

import math

import pytest
import torch
from e3nn import o3

from m2m import runtime
from m2m.tensors import clebsch_gordan as cg
from m2m.tensors import harmonics, irreps, rotations

TRIPLES = [(a, b, l) for a in range(7) for b in range(7) for l in range(abs(a - b), min(a + b, 6) + 1)]
SMALL = [triple for triple in TRIPLES if max(triple) <= 3]


def change(c, R):
    """How much C(D1 a, D2 b) differs from D C(a, b)."""
    d1, d2, d = (irreps.wigner_d((k - 1) // 2, R) for k in c.shape)
    return (torch.einsum("abc,ai,bj->ijc", c, d1, d2) - torch.einsum("ijk,ck->ijc", c, d)).abs().max()


def test_all_are_equivariant_to_degree_6():
    R = rotations.random(generator=runtime.generator(0), dtype=torch.float64)
    assert max(change(cg.clebsch_gordan(*triple), R) for triple in TRIPLES) < 1e-13
    # The control: one entry a little off
    broken = cg.clebsch_gordan(2, 2, 2)
    broken[0, 0, 2] += 1e-3
    assert change(broken, R) > 1e-4


def test_e3nn_to_degree_6():
    """Equal where l1 + l2 + l is even; up to the sign where it is odd."""
    torch.set_default_dtype(torch.float64)
    try:
        expected = {triple: o3.wigner_3j(*triple) for triple in TRIPLES}
    finally:
        torch.set_default_dtype(torch.float32)
    signs = set()
    for triple, theirs in expected.items():
        ours = cg.clebsch_gordan(*triple)
        sign = 1.0 if sum(triple) % 2 == 0 else (ours * theirs).sum().sign().item()
        signs.add((sum(triple) % 2, sign))
        torch.testing.assert_close(ours, sign * theirs, rtol=0, atol=1e-12)
    assert signs == {(0, 1.0), (1, 1.0), (1, -1.0)}


@pytest.mark.parametrize("triple", SMALL)
def test_the_null_space_is_one_dimensional(triple):
    """By brute force, all entries and all three axes at once."""
    x = [cg.generators(l) for l in triple]
    one = [torch.eye(2 * l + 1, dtype=torch.float64) for l in triple]
    kron = lambda a, b, c: torch.kron(torch.kron(a, b), c)
    constraint = torch.cat([
        kron(x[0][i], one[1], one[2]) + kron(one[0], x[1][i], one[2]) + kron(one[0], one[1], x[2][i]) for i in range(3)
    ])  # fmt: skip
    values, rows = torch.linalg.svd(constraint)[1:]
    assert values[-1] < 1e-12 and (len(values) == 1 or values[-2] > 0.5)
    found = rows[-1].reshape(cg.clebsch_gordan(*triple).shape)
    assert ((found * cg.clebsch_gordan(*triple)).sum().abs() - 1).abs() < 1e-12


def test_dot_cross_and_product_with_a_number():
    a, b = torch.randn(2, 3, generator=runtime.generator(0), dtype=torch.float64)
    product = lambda l: torch.einsum("abc,a,b->c", cg.clebsch_gordan(1, 1, l), a, b)
    torch.testing.assert_close(product(0), (a @ b)[None] / math.sqrt(3))
    torch.testing.assert_close(product(1), torch.linalg.cross(a, b) / math.sqrt(6))
    for l in range(5):
        eye = torch.eye(2 * l + 1, dtype=torch.float64) / math.sqrt(2 * l + 1)
        torch.testing.assert_close(cg.clebsch_gordan(0, l, l)[0], eye)
        torch.testing.assert_close(cg.clebsch_gordan(l, 0, l)[:, 0], eye)
        torch.testing.assert_close(cg.clebsch_gordan(l, l, 0)[..., 0], eye)


def test_orthogonal_and_complete():
    """All l together are an orthogonal change of basis of the (2 l1 + 1)(2 l2 + 1) products."""
    for a in range(4):
        for b in range(4):
            basis = [math.sqrt(2 * l + 1) * cg.clebsch_gordan(a, b, l).flatten(0, 1) for l in range(abs(a - b), a + b + 1)]
            q = torch.cat(basis, 1)
            torch.testing.assert_close(q @ q.T, torch.eye(len(q), dtype=q.dtype), rtol=0, atol=1e-12)


def test_sign_rule():
    Y = harmonics.split(harmonics.harmonics(torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64), 6))
    for a, b, l in TRIPLES:
        c = cg.clebsch_gordan(a, b, l)
        product = torch.einsum("abc,a,b->c", c, Y[a], Y[b])
        if (a + b + l) % 2 == 0:
            assert c[a, b, l] > 0 and (product / Y[l]).min() > 0
        else:
            assert c[a, b, l] == 0 and c[c != 0][0] > 0 and product.abs().max() < 1e-12


def test_generators():
    for l in range(1, 5):
        x = cg.generators(l)
        torch.testing.assert_close(x, -x.mT)
        torch.testing.assert_close(x[0] @ x[1] - x[1] @ x[0], x[2], rtol=0, atol=1e-12)
        torch.testing.assert_close((x @ x).sum(0), -l * (l + 1) * torch.eye(2 * l + 1, dtype=x.dtype), rtol=0, atol=1e-12)
        for i, axis in enumerate(torch.eye(3, dtype=torch.float64)):
            D = irreps.wigner_d(l, rotations.about(axis, 0.7))
            torch.testing.assert_close(torch.linalg.matrix_exp(0.7 * x[i]), D, rtol=0, atol=1e-12)


def test_what_is_returned_is_the_callers():
    first = cg.clebsch_gordan(1, 1, 2)
    first.zero_()
    assert cg.clebsch_gordan(1, 1, 2).norm() > 0.9
    assert cg.clebsch_gordan(1, 1, 2, dtype=torch.float32).dtype == torch.float32


def test_paths():
    assert cg.paths([0, 1], [0, 1, 2], [0, 1]) == [(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1), (1, 2, 1)]
    assert cg.paths([0], [1], [2]) == [] and cg.paths([], [0], [0]) == []
    assert all(cg.clebsch_gordan(*path).norm() > 0.99 for path in cg.paths(range(4), range(4), range(4)))
    assert cg.paths({1: 8, 0: 4}, [0], {0: 1}) == [(0, 0, 0)]  # dicts of channels will do


@pytest.mark.parametrize("triple", [(1, 1, 3), (0, 0, 1), (3, 1, 1), (-1, 1, 1), (1, 1, 13), (1.0, 1, 1), (1, True, 1)])
def test_bad_degrees(triple):
    with pytest.raises(ValueError, match="l: got"):
        cg.clebsch_gordan(*triple)


def test_bad_paths():
    with pytest.raises(ValueError, match="l: got -1"):
        cg.paths([-1], [0], [0])
