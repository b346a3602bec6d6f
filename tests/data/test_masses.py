"""Point masses: Newton's laws, known moments of inertia, and the split of a matrix into degrees."""

import pytest
import torch

from m2m import checks, runtime
from m2m.data import masses
from m2m.tensors import irreps, rotations


def system(samples=20, n=6, **options):
    return masses.random(samples, n, generator=runtime.generator(0), dtype=torch.float64, **options)


def test_points_are_apart_and_in_the_ball():
    x, m = system(200, 8)
    d = torch.cdist(x, x) + 3 * torch.eye(8)
    assert x.shape == (200, 8, 3) and m.shape == (200, 8)
    assert d.min() >= 0.5 and x.norm(dim=-1).max() <= 1 and 0.5 <= m.min() <= m.max() <= 2
    assert d.min() < 0.51  # the bound is met, not overdone
    assert torch.equal(x, system(200, 8)[0])


def test_distances_from_the_centre():
    for even, median in ((False, 0.5 ** (1 / 3)), (True, 0.5)):
        d = system(500, 8, apart=0.0, even=even)[0].norm(dim=-1)
        assert d.median().item() == pytest.approx(median, abs=0.03)


def test_gravity_of_two_masses():
    x = torch.tensor([[0.0, 0, 0], [0, 2, 0]]).double()
    a = masses.gravity(x, torch.tensor([3.0, 5.0]).double())
    assert torch.allclose(a, torch.tensor([[0, 5 / 4, 0], [0, -3 / 4, 0]]).double())


def test_gravity_is_the_slope_of_the_potential_and_keeps_momentum():
    x, m = system()
    x.requires_grad_()
    i, j = torch.triu_indices(6, 6, 1)
    energy = -(m[:, i] * m[:, j] / (x[:, i] - x[:, j]).norm(dim=-1)).sum()
    (slope,) = torch.autograd.grad(energy, x)
    a = masses.gravity(x, m)
    assert torch.allclose(m[..., None] * a, -slope, atol=1e-12)
    assert (m[..., None] * a).sum(1).abs().max() < 1e-12


def test_coincident_masses_and_one_mass():
    x = torch.zeros(2, 3).requires_grad_()
    a = masses.gravity(x, torch.ones(2))
    a.sum().backward()
    assert torch.equal(a.detach(), torch.zeros(2, 3)) and x.grad.isfinite().all()
    assert torch.equal(masses.gravity(torch.ones(1, 3), torch.ones(1)), torch.zeros(1, 3))


def test_inertia_of_known_bodies():
    dumbbell = torch.tensor([[0.0, 0, 1], [0, 0, -1]]).double()
    assert torch.equal(masses.inertia(dumbbell, torch.ones(2).double()), torch.diag(torch.tensor([2.0, 2, 0]).double()))
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3)
    assert torch.allclose(masses.inertia(cube, torch.ones(8).double()), 16 * torch.eye(3).double())
    x, m = system()
    about = torch.tensor([0.0, 0.6, 0.8]).double()
    distance = x - (x @ about)[..., None] * about
    assert torch.allclose(about @ masses.inertia(x, m) @ about, (m * distance.square().sum(-1)).sum(-1))


def test_both_turn_with_the_masses():
    x, m = system()
    assert checks.equivariance_error(lambda p: masses.gravity(p, m), x, generator=runtime.generator(1)) < 1e-12
    turn = lambda R, matrix: R @ matrix @ R.T
    inertia = lambda p: masses.inertia(p, m)
    assert checks.equivariance_error(inertia, x, turn, generator=runtime.generator(1)) < 1e-12
    assert checks.equivariance_error(inertia, x, lambda R, matrix: matrix, generator=runtime.generator(1)) > 0.01


def test_degrees_of_a_matrix():
    matrix = masses.inertia(*system())
    f = masses.to_degrees(matrix)
    assert f[0].shape == (20, 1) and f[2].shape == (20, 5)
    assert torch.allclose(masses.from_degrees(f), matrix, atol=1e-12)
    assert torch.allclose(f[0][:, 0], matrix.diagonal(dim1=1, dim2=2).sum(-1) / 3**0.5)
    assert torch.allclose(f[0].square().sum(-1) + f[2].square().sum(-1), matrix.square().sum((1, 2)))
    R = rotations.random(generator=runtime.generator(2), dtype=torch.float64)
    turned = masses.to_degrees(R @ matrix @ R.T)
    assert torch.allclose(turned[0], f[0]) and torch.allclose(turned[2], f[2] @ irreps.wigner_d(2, R).T, atol=1e-12)
    assert not torch.allclose(turned[2], f[2] @ irreps.wigner_d(2, R), atol=1e-3)


def test_wrong_input():
    x, m = system(2, 3)
    with pytest.raises(ValueError, match="do not fit into the unit ball"):
        masses.random(1, 30, apart=1.0)
    for wrong in ({"samples": 0, "n": 2}, {"samples": 2, "n": 1.5}):
        with pytest.raises(ValueError, match="expected a whole number from 1 on"):
            masses.random(**wrong)
    for task in (masses.gravity, masses.inertia):
        with pytest.raises(ValueError, match=r"x, m: got shapes \(2, 3, 3\) and \(2, 2\)"):
            task(x, m[:, :2])
        with pytest.raises(ValueError, match="NaN"):
            task(x * float("nan"), m)
    with pytest.raises(ValueError, match="expected symmetric"):
        masses.to_degrees(torch.arange(9.0).view(3, 3))
    with pytest.raises(ValueError, match="f: got"):
        masses.from_degrees({0: torch.zeros(1), 1: torch.zeros(3)})
