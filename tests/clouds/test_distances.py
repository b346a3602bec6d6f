"""Chamfer and earth mover's distance, against the definition, a k-d tree, all permutations, and autograd."""

import itertools
import math
import os

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from m2m import checks
from m2m.clouds import distances
from m2m.clouds.distances import assignment, chamfer, emd, nearest

CONVENTIONS = [dict(reduction=r, squared=s) for r in ("mean", "sum") for s in (True, False)]
TYPES = [torch.float32, torch.float64]

for _backend in ("TENSORFLOW", "JAX", "CUPY"):  # which POT would import
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_backend}", "1")


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def by_definition(x, y, reduction, squared):
    """The formula, with all differences; differentiable."""
    d = ((x[:, :, None] - y[:, None]) ** 2).sum(-1)
    d = d if squared else d.sqrt()
    return getattr(d.amin(2), reduction)(-1) + getattr(d.amin(1), reduction)(-1)


# --- Chamfer ----------------------------------------------------------------------------------------------------------------


def test_a_pair_by_hand():
    x, y = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    got = {(c["reduction"], c["squared"]): chamfer(x, y, **c).item() for c in CONVENTIONS}
    assert got == {("mean", True): 12.5, ("sum", True): 25.0, ("mean", False): 2.5, ("sum", False): 5.0}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("convention", CONVENTIONS)
@given(st.integers(1, 3), st.integers(1, 90), st.integers(1, 300), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_the_definition_and_its_gradient(convention, dtype, batch, n, m, dim, seed):
    x, y = (draw(batch, k, dim, seed=s, dtype=dtype).requires_grad_() for k, s in ((n, seed), (m, seed + 100)))
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == torch.float32 else dict(rtol=1e-12, atol=1e-12)
    got, expected = chamfer(x, y, **convention), by_definition(x, y, **convention)
    assert got.dtype == dtype
    torch.testing.assert_close(got, expected, **tolerance)
    for a, b in zip(torch.autograd.grad(got.sum(), (x, y)), torch.autograd.grad(expected.sum(), (x, y))):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n, m", [(2048, 2048), (257, 1000), (64, 256), (65, 1), (1, 1)])
def test_against_a_tree(n, m, dtype):
    x, y = draw(n, 3, dtype=dtype), draw(m, 3, seed=1, dtype=dtype)
    near_x, near_y = nearest(x, y)
    assert numpy.array_equal(near_x.numpy(), cKDTree(y.numpy()).query(x.numpy())[1])
    assert numpy.array_equal(near_y.numpy(), cKDTree(x.numpy()).query(y.numpy())[1])
    if m > 1:
        assert not numpy.array_equal(near_x.numpy(), cKDTree(y.numpy()).query(x.numpy(), 2)[1][:, 1])  # the control


@pytest.mark.parametrize("dtype", TYPES)
def test_the_search_for_gpus_in_small_blocks_is_the_same(dtype, monkeypatch):
    x, y = draw(3, 50, 3, dtype=dtype), draw(3, 70, 3, seed=1, dtype=dtype)
    monkeypatch.setattr(distances, "BLOCK", 500)
    for got, expected in zip(distances.nearest_dense(x, y), nearest(x, y)):
        assert torch.equal(got, expected)


def test_the_conventions_differ():
    x, y = draw(1, 20, 3), draw(1, 30, 3, seed=1)
    assert len({round(chamfer(x, y, **c).item(), 6) for c in CONVENTIONS}) == 4


@pytest.mark.parametrize("distance", [*(lambda x, y, c=c: chamfer(x, y, **c) for c in CONVENTIONS), emd])
def test_what_a_distance_does_not_see(distance):
    x, y = draw(30, 3), draw(30, 3, seed=1)
    assert checks.permutation_error(lambda p: distance(p, y), x, equivariant=False) < 1e-12
    assert checks.rotation_error(lambda p: distance(p[:30], p[30:]), torch.cat([x, y])) < 1e-12
    assert checks.rotation_error(lambda p: distance(p, y), x) > 1e-3  # the control: one cloud is turned alone
    assert distance(x, y).item() == pytest.approx(distance(y, x).item(), rel=1e-12)
    assert distance(x, x).item() == 0 and distance(x, x.flip(0)).item() == 0


@pytest.mark.parametrize("distance", [lambda x, y: chamfer(x, y, reduction="mean", squared=False), emd])
def test_equal_points_have_a_finite_gradient(distance):
    x = draw(5, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(x, x.detach()), x)
    assert torch.equal(gradient, torch.zeros(5, 3, dtype=torch.float64))


def test_duplicates_and_far_from_the_origin():
    x, y = draw(40, 3), draw(30, 3, seed=1)
    c = dict(reduction="mean", squared=False)
    assert chamfer(torch.cat([x, x]), y, **c) == pytest.approx(chamfer(x, y, **c).item(), rel=1e-12)  # means do not see it
    far = chamfer((x + 1000).float(), (y + 1000).float(), **c).item()
    assert far == pytest.approx(chamfer(x, y, **c).item(), rel=1e-4)
    product = lambda a, b: (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).amin(1)
    lost = product((x + 1000).float(), (y + 1000).float())  # the control: the matrix product loses all digits there
    assert (lost - product(x, y)).abs().max() > 0.1
    assert chamfer(x.float() * 1e-30, y.float() * 1e-30, **c).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_in_single(dtype):
    x, y = draw(40, 3, dtype=dtype), draw(30, 3, seed=1, dtype=dtype)
    assert torch.equal(nearest(x, y)[0], nearest(x.float(), y.float())[0])
    assert chamfer(x, y, reduction="mean", squared=True).dtype == dtype


def test_chamfer_is_no_metric():
    """It is zero between different clouds, and the triangle inequality fails."""
    at = lambda *points: torch.tensor(points)[:, None]
    c = dict(reduction="mean", squared=False)
    assert chamfer(at(0.0, 0.0, 1.0), at(0.0, 1.0, 1.0), **c) == 0
    assert emd(at(0.0, 0.0, 1.0), at(0.0, 1.0, 1.0)).item() == pytest.approx(1 / 3)
    x, y, z = at(0.0), at(0.0, 3.0), at(3.0)
    assert chamfer(x, z, **c) > chamfer(x, y, **c) + chamfer(y, z, **c)


# --- Earth mover's distance -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("squared", [True, False])
def test_all_permutations(squared):
    x, y = draw(6, 3), draw(6, 3, seed=1)
    d = torch.cdist(x, y) ** (2 if squared else 1)
    sums = [d[range(6), order].sum().item() for order in itertools.permutations(range(6))]
    assert emd(x, y, squared=squared, reduction="sum").item() == pytest.approx(min(sums), rel=1e-12)
    assert emd(x, y, squared=squared).item() == pytest.approx(min(sums) / 6, rel=1e-12)
    assert sorted(sums)[1] > min(sums) * 1.0001  # the control


@pytest.mark.parametrize("dtype", TYPES)
def test_against_scipy(dtype):
    x, y = draw(2, 200, 3, dtype=dtype), draw(2, 200, 3, seed=1, dtype=dtype)
    for k, value in enumerate(emd(x, y)):
        d = cdist(x[k].double().numpy(), y[k].double().numpy())
        assert value.item() == pytest.approx(d[linear_sum_assignment(d)].mean(), rel=1e-6 if dtype == torch.float32 else 1e-13)
        assert value.item() < numpy.diag(d).mean() * 0.9  # the control: the order given is no solution


def test_against_pot():
    ot = pytest.importorskip("ot")
    x, y = draw(150, 3), draw(150, 3, seed=1)
    weights = numpy.full(150, 1 / 150)
    assert emd(x, y).item() == pytest.approx(ot.emd2(weights, weights, cdist(x.numpy(), y.numpy())), rel=1e-10)


def test_on_a_line_sorting_is_the_answer():
    x, y = draw(100, 1), draw(100, 1, seed=1)
    expected = (x[:, 0].sort().values - y[:, 0].sort().values).abs().mean().item()
    assert emd(x, y).item() == pytest.approx(expected, rel=1e-12)
    assert chamfer(x, y, reduction="mean", squared=False).item() < expected  # the control


def test_emd_is_a_metric():
    x, y, z = (draw(20, 3, seed=s) for s in range(3))
    assert emd(x, z) <= emd(x, y) + emd(y, z)
    assert emd(x, x + torch.tensor([3.0, 4.0, 0.0])).item() == pytest.approx(5.0, rel=1e-12)


def test_emd_gradient():
    x, y = draw(2, 12, 3).requires_grad_(), draw(2, 12, 3, seed=1)
    assert torch.autograd.gradcheck(lambda p: emd(p, y), x)
    order = assignment(x[0], y[0])
    (gradient,) = torch.autograd.grad(emd(x, y).sum(), x)
    direction = torch.nn.functional.normalize(x[0].detach() - y[0][order], dim=1) / 12
    torch.testing.assert_close(gradient[0], direction)


# --- Bad input --------------------------------------------------------------------------------------------------------------

ONE = torch.zeros(2, 4, 3)


@pytest.mark.parametrize("distance", [lambda x, y: chamfer(x, y, reduction="sum", squared=True), emd, nearest])
@pytest.mark.parametrize(
    "x, y, message",
    [
        (torch.zeros(4), ONE, r"x: got shape \(4,\)"),
        (torch.zeros(2, 4, 4), ONE, r"x: got shape \(2, 4, 4\)"),
        (torch.zeros(2, 4, 3, dtype=torch.int64), ONE, "torch.int64"),
        (torch.zeros(2, 0, 3), ONE, r"x: got shape \(2, 0, 3\).*at least one point"),
        (ONE, torch.zeros(2, 0, 3), r"y: got shape \(2, 0, 3\).*at least one point"),
        (torch.full((2, 4, 3), math.nan), ONE, "x: got 24 numbers that are NaN"),
        (ONE, torch.full((2, 4, 3), math.inf), "y: got 24 numbers that are NaN or infinite"),
        (ONE, torch.zeros(3, 4, 3), r"y: got shape \(3, 4, 3\), expected as many clouds"),
        (ONE, torch.zeros(2, 4, 2), r"y: got shape \(2, 4, 2\)"),
        (ONE, torch.zeros(4, 3), r"y: got shape \(4, 3\)"),
        (ONE, ONE.double(), "y: got torch.float64"),
    ],
)
def test_bad_clouds(distance, x, y, message):
    with pytest.raises(ValueError, match=message):
        distance(x, y)


def test_bad_choices():
    with pytest.raises(ValueError, match="reduction: got 'average'"):
        chamfer(ONE, ONE, reduction="average", squared=True)
    with pytest.raises(ValueError, match="reduction: got 'max'"):
        emd(ONE, ONE, reduction="max")
    with pytest.raises(TypeError, match="squared"):
        chamfer(ONE, ONE, reduction="mean")
    with pytest.raises(ValueError, match="y: got 5 points, expected 4"):
        emd(ONE, torch.zeros(2, 5, 3))


def test_no_clouds_give_no_distances():
    none = torch.zeros(0, 4, 3)
    assert chamfer(none, none, reduction="mean", squared=True).shape == emd(none, none).shape == (0,)
