"""Constant-energy dynamics of molecules, many starts at once, with any function that gives energies and forces.

Units: positions in Angstrom, times in fs, masses in amu, energies in kcal/mol, temperatures in K.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from m2m.atoms import MASSES, RADII

ACCELERATION = 4.184e-4  # Angstrom / fs^2 from 1 kcal/mol/Angstrom on 1 amu
BOLTZMANN = 1.987204259e-3  # kcal/mol/K

EnergyAndForces = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Run:
    """What a simulation left: frame times (T,) in fs, positions (T, B, N, 3), energies and temperatures (T, B)."""

    time: Tensor
    x: Tensor
    potential: Tensor
    kinetic: Tensor
    temperature: Tensor

    @property
    def total(self) -> Tensor:
        """Potential plus kinetic energy, (T, B): constant, if the forces are the gradient of the potential."""
        return self.potential + self.kinetic

    def drift(self) -> Tensor:
        """Change of the total energy per ps (B,), in kcal/mol/ps: the slope of a straight line through its finite values,
        0 where there are fewer than two."""
        t = (self.time / 1000).to(self.total.dtype)[:, None].expand_as(self.total)
        t = torch.where(self.total.isfinite(), t, torch.nan)
        t = t - t.nanmean(0)
        return (t * (self.total - self.total[0])).nansum(0) / (t * t).nansum(0).clamp_min(1e-30)


def masses(z: Tensor) -> Tensor:
    """Masses (N,) in amu of the atomic numbers z (N,).

    Raises:
        ValueError: an element that the table of masses does not have.
    """
    unknown = sorted({number for number in z.tolist() if number not in MASSES})
    if unknown:
        raise ValueError(f"z: got atomic numbers {unknown}, expected some of {sorted(MASSES)}")
    return torch.tensor([MASSES[number] for number in z.tolist()], dtype=torch.float64)


def kinetic_energy(v: Tensor, mass: Tensor) -> Tensor:
    """sum_i m_i |v_i|^2 / 2 in kcal/mol, (...) for velocities (..., N, 3) in Angstrom/fs."""
    return 0.5 * (mass[:, None] * v**2).sum((-1, -2)) / ACCELERATION


def temperature(v: Tensor, mass: Tensor) -> Tensor:
    """2 E_kin / (3 (N - 1) k_B), (...): the total momentum is zero, and so three degrees of freedom less."""
    return 2 * kinetic_energy(v, mass) / (3 * (len(mass) - 1) * BOLTZMANN)


def thermal_velocities(mass: Tensor, kelvin: float, starts: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """Velocities (starts, N, 3) in Angstrom/fs drawn at a temperature, without total momentum."""
    noise = torch.randn(starts, len(mass), 3, generator=generator, dtype=torch.float64)
    v = noise * (BOLTZMANN * kelvin * ACCELERATION / mass[:, None]).sqrt()
    return v - (mass[:, None] * v).sum(1, keepdim=True) / mass.sum()


def simulate(
    energy_and_forces: EnergyAndForces,
    x: Tensor,
    v: Tensor,
    mass: Tensor,
    *,
    steps: int,
    dt: float = 0.5,
    every: int = 10,
) -> Run:
    """Velocity Verlet at constant energy, all starts at once; positions and velocities are kept in float64.

    Args:
        energy_and_forces: positions (B, N, 3) -> energies (B,), forces (B, N, 3).
        x, v: positions and velocities at the start (B, N, 3).
        mass: (N,) in amu.
        steps, dt: how many steps of how many fs.
        every: steps between two frames kept; the start is kept too.

    A start that flies apart (no longer finite, or an atom beyond 10,000 Angstrom) is NaN from there on; the others go on.
    """
    _check(x, v, mass, steps, dt, every)
    x, v, mass = x.detach().double(), v.double(), mass.double()
    push = (0.5 * dt * ACCELERATION / mass)[:, None]

    def evaluate() -> tuple[Tensor, Tensor]:
        lost = ~(x.abs().amax((1, 2)) < 1e4)
        energy, force = energy_and_forces(torch.where(lost[:, None, None], 0.0, x))
        lost = lost | ~energy.isfinite()
        nan = lambda value: torch.where(lost.view(-1, *[1] * (value.ndim - 1)), torch.nan, value.detach().double())
        return nan(energy), nan(force)

    energy, force = evaluate()
    frames = [(x, energy, v)]
    for step in range(1, steps + 1):
        v = v + push * force
        x = x + dt * v
        energy, force = evaluate()
        v = v + push * force
        if step % every == 0:
            frames.append((x, energy, v))
    x, potential, v = (torch.stack(parts) for parts in zip(*frames))
    time = torch.arange(len(x), dtype=torch.float64) * (dt * every)
    return Run(time, x, potential, kinetic_energy(v, mass), temperature(v, mass))


def broken(run: Run, z: Tensor, longest: float = 1.6) -> Tensor:
    """Whether the molecule has come apart by this frame, (T, B): once broken it stays so, and NaN is broken.

    It has if a bond between heavy atoms is longer than `longest` times what it was in the first frame, or if a hydrogen is
    farther than `longest` Angstrom from every heavy atom. A proton may go from one atom to another: malonaldehyde's does.
    Bonds are pairs nearer than 1.3 times the sum of the covalent radii.
    """
    distance = torch.cdist(run.x, run.x, compute_mode="donot_use_mm_for_euclid_dist")  # (T, B, N, N)
    radii = torch.tensor([RADII.get(number, 0.77) for number in z.tolist()], dtype=distance.dtype)
    heavy = z > 1
    pairs = heavy[:, None] & heavy & ~torch.eye(len(z), dtype=torch.bool)
    bonded = (distance[0] < 1.3 * (radii[:, None] + radii)) & pairs
    whole = ((distance < longest * distance[0]) | ~bonded).all(-1).all(-1)
    if heavy.any() and not heavy.all():
        whole &= (distance[:, :, ~heavy][..., heavy].amin(-1) < longest).all(-1)
    return (~whole).cummax(0).values


def _check(x: Tensor, v: Tensor, mass: Tensor, steps: int, dt: float, every: int) -> None:
    if x.ndim != 3 or x.shape[-1] != 3 or v.shape != x.shape:
        raise ValueError(f"x, v: got shapes {tuple(x.shape)} and {tuple(v.shape)}, expected both (B, N, 3)")
    if mass.shape != x.shape[1:2] or not (mass > 0).all():
        raise ValueError(f"mass: got shape {tuple(mass.shape)}, expected {x.shape[1]} positive masses")
    if not x.isfinite().all() or not v.isfinite().all():
        raise ValueError("x, v: got NaN or infinity, expected finite positions and velocities")
    if steps < 1 or every < 1 or not dt > 0:
        raise ValueError(f"steps, every, dt: got {steps}, {every}, {dt}, expected all positive")
