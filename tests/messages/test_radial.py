"""Bases and cutoffs: known values, continuity at the cutoff up to the order that each promises, bad arguments."""

import math

import pytest
import torch

from m2m.messages import radial


def derivatives(f, at, order):
    """Value and derivatives of f at a point, by autograd in float64."""
    d = torch.tensor(float(at), dtype=torch.float64, requires_grad=True)
    value, found = f(d), []
    for _ in range(order + 1):
        found.append(value.item())
        value = torch.autograd.grad(value, d, create_graph=True)[0] if value.requires_grad else torch.tensor(0.0)
    return found


def test_gaussians_are_one_at_their_centres():
    basis = radial.Gaussians(5.0, 11)
    assert torch.equal(basis(basis.centres).diagonal(), torch.ones(11))
    neighbour = basis(basis.centres)[0, 1].item()
    assert neighbour == pytest.approx(math.exp(-0.5))


def test_bessel_matches_its_formula_vanishes_at_the_cutoff_and_is_finite_at_zero():
    basis, d = radial.Bessel(4.0, 6), torch.linspace(0.1, 4.0, 50, dtype=torch.float64)
    k = torch.arange(1, 7, dtype=torch.float64)
    formula = math.sqrt(2 / 4.0) * torch.sin(k * math.pi * d[:, None] / 4.0) / d[:, None]
    assert torch.allclose(basis.double()(d), formula, atol=1e-6)
    assert basis(torch.tensor([4.0])).abs().max() < 1e-12
    assert torch.allclose(basis(torch.zeros(1))[0], math.sqrt(0.5) * k * math.pi / 4.0, atol=1e-6)


def test_bessel_is_orthonormal_in_the_ball():
    d = torch.linspace(0, 4, 20001, dtype=torch.float64)
    e = radial.Bessel(4.0, 5).double()(d)
    inner = torch.trapezoid(e[:, :, None] * e[:, None, :] * (d**2)[:, None, None], d, dim=0)
    assert torch.allclose(inner, torch.eye(5, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("name, order", [("cosine", 1), ("polynomial", 2)])
def test_smooth_cutoffs_start_at_one_and_end_with_vanishing_derivatives(name, order):
    cutoff = radial.CUTOFFS[name]
    assert cutoff(torch.zeros(1), 5.0).item() == 1
    assert torch.equal(cutoff(torch.tensor([5.0, 6.0, 1e3]), 5.0), torch.zeros(3))
    before = derivatives(lambda d: cutoff(d, 5.0), 5.0 - 1e-7, 3)
    assert max(abs(value) for value in before[: order + 1]) < 1e-6
    assert abs(before[order + 1]) > 0.1  # and no smoother than promised


def test_the_hard_cutoff_jumps():
    d = torch.tensor([4.999, 5.001])
    assert radial.hard(d, 5.0).tolist() == [1, 0]


@pytest.mark.parametrize(
    "make", [lambda: radial.Gaussians(5.0, 1), lambda: radial.Gaussians(1.0, 5, start=2.0), lambda: radial.Bessel(-1.0)]
)
def test_bad_arguments(make):
    with pytest.raises(ValueError, match="got"):
        make()
