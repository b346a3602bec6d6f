"""The integrator on a spring that is solved exactly, its order, and when a molecule counts as broken."""

import math

import pytest
import torch

from m2m import runtime
from m2m.messages import dynamics

MASS, K = torch.tensor([2.0, 3.0], dtype=torch.float64), 500.0


def spring(x):
    """A bond of rest length 1 and stiffness K in kcal/mol/A^2; x (B, 2, 3)."""
    r = x[:, 1] - x[:, 0]
    d = r.norm(dim=-1)
    pull = (K * (d - 1) / d)[:, None] * r
    return 0.5 * K * (d - 1) ** 2, torch.stack([pull, -pull], 1)


def curl(x):
    """Forces that are no gradient: a constant turning about z."""
    energy, force = spring(x)
    return energy, force + 20 * torch.stack([-x[..., 1], x[..., 0], torch.zeros_like(x[..., 0])], -1)


def stretched():
    x = torch.tensor([[[0.0, 0, 0], [1.1, 0, 0]]], dtype=torch.float64)
    return x, torch.zeros_like(x)


def test_a_spring_swings_with_its_period():
    reduced = 2.0 * 3.0 / 5.0
    period = 2 * math.pi / math.sqrt(K / reduced * dynamics.ACCELERATION)
    run = dynamics.simulate(spring, *stretched(), MASS, steps=1000, dt=period / 1000, every=250)
    length = (run.x[:, 0, 1] - run.x[:, 0, 0]).norm(dim=-1)
    assert torch.allclose(length, torch.tensor([1.1, 1.0, 0.9, 1.0, 1.1], dtype=torch.float64), atol=1e-4)


def test_half_the_step_gives_a_quarter_of_the_fluctuation():
    swing = lambda dt: dynamics.simulate(spring, *stretched(), MASS, steps=round(200 / dt), dt=dt, every=1).total.std().item()
    assert swing(1.0) / swing(0.5) == pytest.approx(4, rel=0.05)


def test_energy_and_momentum_are_kept_by_a_gradient_and_not_by_a_curl():
    x, _ = stretched()
    v = dynamics.thermal_velocities(MASS, 500, 3, runtime.generator(0))
    runs = {
        name: dynamics.simulate(f, x.expand(3, -1, -1), v, MASS, steps=2000, dt=0.25)
        for name, f in (("spring", spring), ("curl", curl))
    }
    assert runs["spring"].drift().abs().max() < 0.05 < 1 < runs["curl"].drift().abs().max()
    start = (MASS[:, None] * runs["spring"].x[0]).sum(1)
    assert torch.allclose((MASS[:, None] * runs["spring"].x[-1]).sum(1), start, atol=1e-9)


def test_starts_do_not_depend_on_each_other():
    v = dynamics.thermal_velocities(MASS, 500, 4, runtime.generator(0))
    x = stretched()[0].expand(4, -1, -1)
    together = dynamics.simulate(spring, x, v, MASS, steps=50)
    alone = dynamics.simulate(spring, x[2:3], v[2:3], MASS, steps=50)
    assert torch.equal(together.x[:, 2:3], alone.x)


def test_temperature_of_thermal_velocities():
    mass = torch.rand(30, dtype=torch.float64) + 1
    v = dynamics.thermal_velocities(mass, 300.0, 4000, runtime.generator(0))
    assert dynamics.temperature(v, mass).mean().item() == pytest.approx(300, rel=0.01)
    assert (mass[:, None] * v).sum(1).abs().max() < 1e-12
    kinetic = 1.5 * 29 * dynamics.BOLTZMANN * 300
    assert dynamics.kinetic_energy(v, mass).mean().item() == pytest.approx(kinetic, rel=0.01)


def test_a_start_that_explodes_is_nan_and_the_others_go_on():
    def repulsive(x):
        energy, force = spring(x)
        return energy, force + 1e9 * (x[:, :1, 2:].abs() > 0.5) * x

    x = stretched()[0].repeat(2, 1, 1)
    x[1, :, 2] = 1.0
    run = dynamics.simulate(repulsive, x, torch.zeros_like(x), MASS, steps=100)
    assert run.total[-1, 0].isfinite() and run.total[-1, 1].isnan()
    assert run.drift().isfinite().all()
    assert dynamics.broken(run, torch.tensor([6, 6]))[-1].tolist() == [False, True]


def test_broken_means_a_long_bond_or_a_lost_hydrogen_and_not_a_proton_that_moves():
    z = torch.tensor([8, 6, 8, 1])
    start = torch.tensor([[0.0, 0, 0], [1.3, 0, 0], [2.6, 0, 0], [-1.0, 0, 0]])
    proton, torn, lost = (start.clone() for _ in range(3))
    proton[3] = torch.tensor([3.6, 0, 0])
    torn[0] -= torch.tensor([1.5, 0, 0])
    torn[3] -= torch.tensor([1.5, 0, 0])
    lost[3] = torch.tensor([-3.0, 0, 0])
    frames = torch.stack(
        [torch.stack([start] * 4), torch.stack([start, proton, torn, lost]), torch.stack([start] * 4)]
    ).double()
    nothing = torch.zeros(3, 4)
    run = dynamics.Run(torch.arange(3.0), frames, nothing, nothing, nothing)
    assert dynamics.broken(run, z).tolist() == [[False] * 4, [False, False, True, True], [False, False, True, True]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps"),
        ({"dt": 0.0}, "dt"),
        ({"mass": torch.ones(3)}, "mass"),
        ({"x": torch.zeros(2, 3)}, "x, v"),
        ({"x": torch.full((1, 2, 3), torch.nan)}, "NaN"),
    ],
)
def test_bad_input(options, message):
    x, v = stretched()
    call = {"x": x, "v": v, "mass": MASS, "steps": 10, **options}
    with pytest.raises(ValueError, match=message):
        dynamics.simulate(spring, **call)


def test_unknown_mass():
    assert dynamics.masses(torch.tensor([1, 6]))[1].item() == 12.011
    with pytest.raises(ValueError, match="79"):
        dynamics.masses(torch.tensor([1, 79]))
