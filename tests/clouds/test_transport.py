"""Entropic transport: its bounds hold, they close, and its plan is POT's."""

import math
import os

import numpy
import pytest
import torch
from scipy.spatial.distance import cdist

from m2m.clouds import transport
from m2m.clouds.distances import emd
from m2m.clouds.transport import sinkhorn

for _backend in ("TENSORFLOW", "JAX", "CUPY"):  # which POT would import
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_backend}", "1")


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("reg", [1.0, 0.1, 0.02])
def test_the_exact_distance_lies_between_the_bounds(reg, squared, dtype):
    x, y = draw(3, 80, 3, dtype=dtype), draw(3, 80, 3, seed=1, dtype=dtype)
    got, exact = sinkhorn(x, y, reg=reg, squared=squared), emd(x, y, squared=squared)
    assert (got.lower <= exact * (1 + 1e-6)).all() and (exact <= got.cost * (1 + 1e-6)).all()
    assert (got.error <= 1e-3).all() and 0 < got.steps < 1000 and got.cost.dtype == dtype
    if reg == 1.0:
        assert (got.cost > 1.05 * exact).all()  # the control: so the bounds say something


def test_the_bounds_close():
    x, y = draw(60, 3), draw(60, 3, seed=1)
    gaps = [got.cost - got.lower for got in (sinkhorn(x, y, reg=reg, max_steps=20_000) for reg in (0.3, 0.03, 0.003))]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] and gaps[2] < 0.01 * emd(x, y)


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_bounds_that_have_not_converged_hold_and_say_so(steps):
    x, y = draw(60, 3), draw(60, 3, seed=1)
    got = sinkhorn(x, y, reg=0.01, tolerance=1e-6, max_steps=steps)
    assert got.lower <= emd(x, y) <= got.cost and got.steps == steps and got.error > 1e-6


@pytest.mark.parametrize("n, m", [(60, 60), (60, 40), (1, 30), (30, 1)])
def test_against_pot(n, m):
    ot = pytest.importorskip("ot")
    x, y = draw(n, 3), draw(m, 3, seed=1)
    a, b, d = numpy.full(n, 1 / n), numpy.full(m, 1 / m), cdist(x.numpy(), y.numpy())
    plan = ot.sinkhorn(a, b, d, reg=0.1, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    got = sinkhorn(x, y, reg=0.1, tolerance=1e-12, max_steps=100_000)
    assert got.cost.item() == pytest.approx((plan * d).sum(), rel=1e-9)
    assert got.lower.item() <= ot.emd2(a, b, d) + 1e-12 <= got.cost.item() + 2e-12


def test_a_mended_plan_moves_exactly_the_masses():
    plan = torch.rand(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 35
    mended = transport._mend(plan)
    torch.testing.assert_close(mended.sum(1), torch.full((7,), 1 / 7, dtype=torch.float64), rtol=1e-14, atol=0)
    torch.testing.assert_close(mended.sum(0), torch.full((5,), 1 / 5, dtype=torch.float64), rtol=1e-14, atol=0)
    assert (mended >= 0).all() and (plan.sum(1) - 1 / 7).abs().max() > 0.01  # the control: it was not right before


@pytest.mark.parametrize("squared", [True, False])
def test_the_gradient_is_that_of_the_entropic_objective(squared):
    """d/dx of min <P, d> - reg H(P) is <P, dd/dx>: the plan's own change does not count."""
    y, step = draw(8, 3, seed=1), draw(8, 3, seed=2)

    def objective(x):
        d = torch.cdist(x, y) ** (2 if squared else 1)
        plan = transport._plan(d, 0.5, 1e-14, 10_000)
        p = ((plan[1][:, None] + plan[2] - d) / 0.5).exp() / 64
        return ((p * d).sum() + 0.5 * torch.special.xlogy(p, p).sum()).item()

    x = draw(8, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn(x, y, reg=0.5, squared=squared, tolerance=1e-14, max_steps=10_000).cost, x)
    h = 1e-4
    numeric = (objective(x.detach() + h * step) - objective(x.detach() - h * step)) / (2 * h)
    assert (gradient * step).sum().item() == pytest.approx(numeric, rel=1e-6)


def test_duplicates_equal_clouds_and_far_from_the_origin():
    x, y = draw(40, 3), draw(40, 3, seed=1)
    assert sinkhorn(torch.zeros(5, 3), torch.zeros(5, 3), reg=0.1).cost == 0
    got = sinkhorn(torch.cat([x, x]), y, reg=0.1, tolerance=1e-10, max_steps=10_000)
    assert got.cost.item() == pytest.approx(sinkhorn(x, y, reg=0.1, tolerance=1e-10, max_steps=10_000).cost.item(), rel=1e-8)
    far = sinkhorn((x + 1000).float(), (y + 1000).float(), reg=0.1)
    assert far.cost.item() == pytest.approx(sinkhorn(x.float(), y.float(), reg=0.1).cost.item(), rel=1e-3)
    shifted = sinkhorn(x, x + torch.tensor([50.0, 0, 0]), reg=0.01)
    assert shifted.lower <= 50.0 + 1e-9 and shifted.cost >= 50.0 - 1e-9 and shifted.cost - shifted.lower < 0.1


def test_no_clouds():
    none = sinkhorn(torch.zeros(0, 4, 3), torch.zeros(0, 4, 3), reg=0.1)
    assert none.cost.shape == none.lower.shape == none.error.shape == (0,) and none.steps == 0


ONE = torch.zeros(2, 4, 3)


@pytest.mark.parametrize(
    "x, y, options, message",
    [
        (torch.full((2, 4, 3), math.nan), ONE, {}, "x: got 24 numbers that are NaN"),
        (ONE, torch.zeros(2, 0, 3), {}, "y: got.*at least one point"),
        (ONE, ONE, dict(reg=0.0), "reg: got 0.0"),
        (ONE, ONE, dict(reg=math.nan), "reg: got nan"),
        (ONE, ONE, dict(tolerance=-1), "tolerance: got -1"),
        (ONE, ONE, dict(max_steps=0), "max_steps: got 0"),
    ],
)
def test_bad_input(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(x, y, **{"reg": 0.1, **options})
