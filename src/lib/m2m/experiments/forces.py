"""Energies and forces of molecules by SchNet: error against training frames, with and without symmetry, and what dynamics say.

All data are the shipped GFN2-xTB trajectories. Every model has the same features, layers, basis and cutoff.

- "gradient": filters of the distance, forces as the gradient of the energy;
- "vector": the same with a head of its own for the forces;
- "oriented": filters of the distance and the direction of r_ij, so that translations are built in and rotations are not; its
  frames are all laid onto the first one; "augmented": the same, each batch turned at random.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import trajectories
from m2m.data.trajectories import Batch, Trajectory
from m2m.messages import dynamics, graph, radial, schnet
from m2m.tensors import rotations

FEATURES, CHANNELS, LAYERS, CUTOFF, BASIS = 64, 32, 3, 5.0, 25
KELVIN = 500.0
IMPOSSIBLE = 3.0  # kcal/mol below the energy of the relaxed molecule: below this a model has made up a hole
MODELS = ("gradient", "vector", "oriented", "augmented")
SYMMETRIES = ("gradient", "oriented", "augmented")


def tasks(scale: str) -> list[dict]:
    """Settings of one row each. "gpu" has all of "cpu", and longer trainings."""
    row = lambda model, molecule, frames, steps, ps, seed: dict(
        model=model, molecule=molecule, frames=frames, steps=steps, ps=ps, seed=seed)  # fmt: skip
    seeds = range(3)
    listed = [row("gradient", "ethanol", n, 250, 0.0, seed) for n in (100, 700) for seed in seeds]
    listed += [row(model, "ethanol", 700, 250, 0.0, seed) for model in ("oriented", "augmented") for seed in seeds]
    if scale == "gpu":
        sizes = (100, 300, 700)
        ps = {("ethanol", 700): 2.0, ("malonaldehyde", 100): 2.0, ("malonaldehyde", 700): 2.0}
        for molecule, steps in (("ethanol", 2500), ("malonaldehyde", 2500), ("aspirin", 1000)):
            listed += [row("gradient", molecule, n, steps, ps.get((molecule, n), 0.0), seed) for n in sizes for seed in seeds]
        listed += [row("gradient", "aspirin", 700, 4000, 0.0, seed) for seed in seeds]
        listed += [row("vector", "ethanol", 700, 2500, 2.0, seed) for seed in seeds]
        brief = [row(model, "ethanol", n, 250, 0.0, seed) for model in SYMMETRIES for n in sizes for seed in seeds]
        listed += [task for task in brief if task not in listed]
    return listed


def run(*, model: str, molecule: str, frames: int, steps: int, ps: float, seed: int, starts: int = 16) -> dict:
    """Train one model; mean absolute errors on the test blocks, as they are and turned, and the dynamics if `ps` > 0."""
    trained, test = train(model, molecule, frames, steps, seed)
    turned = rotate(test, rotations.random(len(test), generator=runtime.generator(9)))
    result = errors(trained, test) | {f"turned_{key}": value for key, value in errors(trained, turned).items()}
    result["parameters"] = sum(p.numel() for p in trained.parameters())
    if ps:
        result |= summary(constant_energy(trained, test, starts, ps, seed), test)
    return result


# --- Training ---------------------------------------------------------------------------------------------------------------


class OrientedFilters(schnet.Filters):
    """Filters of the distance and of the direction r_ij / d_ij: everything that the invariant ones read, and three numbers more.

    They do not change when the molecule is moved, and do when it is turned.
    """

    symmetric = False

    def __init__(self, basis: nn.Module, layers: int, channels: int, cutoff: float, envelope: str):
        super().__init__(basis, layers, channels, cutoff, envelope)
        self.first = nn.Linear(basis.size + 3, layers * channels)

    def features(self, r: Tensor, d: Tensor) -> Tensor:
        """The basis of the distances d (P,), then the directions of r (P, 3): (P, K + 3)."""
        return torch.cat([self.basis(d), r / d.clamp_min(1e-6)[:, None]], 1)


def network(model: str, scale: float = 1.0) -> schnet.SchNet:
    """An untrained model of this name; `scale` in kcal/mol.

    Raises:
        ValueError: an unknown name.
    """
    if model not in MODELS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(MODELS)}")
    kind = schnet.VectorForces if model == "vector" else schnet.SchNet
    made = kind(FEATURES, LAYERS, CUTOFF, channels=CHANNELS, basis=radial.Gaussians(CUTOFF, BASIS), scale=scale)
    if model in ("oriented", "augmented"):
        made.filters = OrientedFilters(made.filters.basis, LAYERS, CHANNELS, CUTOFF, "cosine")
    return made


def data(molecule: str, frames: int, seed: int, aligned: bool = False) -> tuple[Trajectory, Trajectory]:
    """`frames` training frames drawn from the training blocks, and all test frames; energies from the training mean.

    Raises:
        ValueError: more frames than the training blocks have, or none.
    """
    whole = trajectories.load(molecule)
    whole = align(whole) if aligned else whole
    train, test = trajectories.block_split(len(whole))
    if not 1 <= frames <= len(train):
        raise ValueError(f"frames: got {frames}, expected 1 to {len(train)}, the number in the training blocks")
    chosen = train[torch.randperm(len(train), generator=runtime.generator(seed))[:frames]]
    known = whole.frames(chosen).centred()
    return known, whole.frames(test).centred(known.reference)


def train(
    model: str, molecule: str, frames: int, steps: int, seed: int = 0, lr: float = 5e-3
) -> tuple[schnet.SchNet, Trajectory]:
    """A trained model, on the CPU, and the test frames for it."""
    runtime.seed_everything(seed)
    known, test = data(molecule, frames, seed, aligned=model in ("oriented", "augmented"))
    force_scale, energy_scale = known.forces.square().mean().sqrt().item(), known.energy.std().item()
    made = network(model, scale=force_scale).to(runtime.device())

    def loss(m: nn.Module, batch: Batch) -> Tensor:
        if model == "augmented":
            turns = rotations.random(len(batch.energy), dtype=batch.x.dtype).to(batch.x.device)[batch.batch]
            turn = lambda value: torch.einsum("nab,nb->na", turns, value)
            batch = Batch(batch.z, turn(batch.x), batch.batch, batch.energy, turn(batch.forces))
        energy, forces = evaluate(m, batch.z, batch.x, batch.batch, create_graph=True)
        energy_loss = (energy - batch.energy).square().mean() / energy_scale**2
        return (forces - batch.forces).square().mean() / force_scale**2 + 0.1 * energy_loss

    training.fit(
        made, known, loss, steps=steps, batch_size=min(10, frames), lr=lr, clip=5.0, average=0.99, seed=seed, progress=False
    )
    return made.cpu(), test


def evaluate(model: nn.Module, z: Tensor, x: Tensor, batch: Tensor, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Energies (B,) and forces (N, 3) of a model, by its own head for forces if it has one, else as the gradient."""
    if isinstance(model, schnet.VectorForces):
        return model.energy_and_forces(z, x, batch)
    return schnet.energy_and_forces(model, z, x, batch, create_graph)


def errors(model: nn.Module, test: Trajectory) -> dict[str, float]:
    """Mean absolute errors: "energy" in kcal/mol, "force" in kcal/mol/A, per component."""
    total = {"energy": 0.0, "force": 0.0}
    for index in torch.arange(len(test)).split(50):
        batch = test[index]
        energy, forces = evaluate(model, batch.z, batch.x, batch.batch)
        total["energy"] += (energy - batch.energy).abs().sum().item() / len(test)
        total["force"] += (forces - batch.forces).abs().mean().item() * len(index) / len(test)
    return total


# --- Turning ----------------------------------------------------------------------------------------------------------------


def rotate(trajectory: Trajectory, turns: Tensor) -> Trajectory:
    """Each frame and its forces turned by its own rotation (T, 3, 3)."""
    turn = lambda value: torch.einsum("tab,tnb->tna", turns.to(value.dtype), value)
    return replace(trajectory, x=turn(trajectory.x), forces=turn(trajectory.forces))


def align(trajectory: Trajectory) -> Trajectory:
    """Every frame centred, and turned to lie as well as it can on the first one (Kabsch, doi:10.1107/S0567739476001873)."""
    x = trajectory.x.double()
    x = x - x.mean(1, keepdim=True)
    u, _, vt = torch.linalg.svd(x.transpose(1, 2) @ x[0])
    proper = torch.ones(len(x), 3, dtype=x.dtype)
    proper[:, 2] = torch.linalg.det(u @ vt)
    return rotate(replace(trajectory, x=x.to(trajectory.x.dtype)), (u * proper[:, None] @ vt).transpose(1, 2))


# --- Dynamics ---------------------------------------------------------------------------------------------------------------


def constant_energy(
    model: nn.Module, test: Trajectory, starts: int, ps: float, seed: int = 0, dt: float = 0.5, every: int = 10
) -> dynamics.Run:
    """`starts` simulations of `ps` picoseconds from test frames, with velocities of 500 K."""
    generator, mass = runtime.generator(100 + seed), dynamics.masses(test.z)
    x = test.x[torch.randperm(len(test), generator=generator)[:starts]]
    v = dynamics.thermal_velocities(mass, KELVIN, starts, generator)
    return dynamics.simulate(potential(model, test.z), x, v, mass, steps=round(1000 * ps / dt), dt=dt, every=every)


def potential(model: nn.Module, z: Tensor) -> dynamics.EnergyAndForces:
    """The model as a function of positions (B, N, 3) of copies of one molecule z (N,)."""
    dtype = next(model.parameters()).dtype

    def energy_and_forces(x: Tensor) -> tuple[Tensor, Tensor]:
        batch = graph.of_sizes([len(z)] * len(x))
        energy, forces = evaluate(model, z.repeat(len(x)), x.flatten(0, 1).to(dtype), batch)
        return energy, forces.view(x.shape)

    return energy_and_forces


def summary(done: dynamics.Run, test: Trajectory) -> dict:
    """Per start: drift of the total energy in kcal/mol/ps, its standard deviation, temperature in the last half, and when the
    molecule failed, in fs, -1 if it did not: "broken_fs" by its bonds, "fallen_fs" by an energy that is impossible."""
    fallen = (done.potential + test.reference < test.minimum - IMPOSSIBLE).cummax(0).values
    first = lambda failed: torch.where(failed.any(0), done.time[failed.int().argmax(0)], -1.0).tolist()
    lowest = (done.potential + test.reference - test.minimum).nan_to_num(torch.inf).amin(0)
    rounded = lambda values: [round(value, 4) for value in values.tolist()]
    half = len(done.time) // 2
    return {
        "drift": rounded(done.drift()),
        "fluctuation": rounded((done.total - done.total[0]).nan_to_num(0).std(0)),
        "temperature": rounded(done.temperature[half:].nan_to_num(1e6).mean(0).clamp_max(1e6)),
        "lowest": rounded(lowest),
        "broken_fs": first(dynamics.broken(done, test.z)),
        "fallen_fs": first(fallen),
    }
