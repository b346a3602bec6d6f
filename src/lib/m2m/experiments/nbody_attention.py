"""Five charged particles for networks with and without attention, and with and without symmetry.

`world` "walls" is the protocol of the SE(3)-Transformer's authors: 5,000 systems to train and 1,000 to test, walls at +- 5,
500 steps ahead, positions and velocities. All networks are given the same numbers, x, v and q, predict the change from free
flight, (x + time v, v), and have about equally many parameters. "free" is the protocol of EGNN's authors, positions 1,000
steps ahead.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import particles
from m2m.experiments import nbody
from m2m.messages import graph, radial, sets
from m2m.tensors import rotations, tfn
from m2m.tensors.se3_transformer import SE3Transformer

TIME = {"walls": 0.5, "free": 1.0}  # from the frame that is given to the one to predict
# Mean squared errors of positions and velocities, those of arXiv:2006.10503, table 1; its "linear" is "at rest" here
PUBLISHED = {
    "at rest": (0.0691, 0.261),
    "deep set": (0.0639, 0.246),
    "tfn": (0.0151, 0.125),
    "set transformer": (0.0139, 0.101),
    "se3 transformer": (0.0076, 0.075),
}


# --- The networks: model(batch) gives positions and velocities -------------------------------------------------------------


class Flight(nn.Module):
    """x + time v, and v as it was; with time 0 nothing changes, which is the row that the paper calls linear."""

    def __init__(self, time: float):
        super().__init__()
        self.time = time

    def forward(self, batch: particles.Batch) -> tuple[Tensor, Tensor]:
        return batch.x0 + self.time * batch.v0, batch.v0


class Sets(nn.Module):
    """A network on sets of the seven numbers (x, v, q) of each particle; all systems have n particles."""

    def __init__(self, network: type[nn.Module], time: float, n: int = 5, **options):
        super().__init__()
        self.time, self.n, self.network = time, n, network(7, 6, **options)

    def forward(self, batch: particles.Batch) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([batch.x0, batch.v0, batch.q[:, None]], -1)
        x, v = self.network(inputs.unflatten(0, (-1, self.n))).flatten(0, 1).chunk(2, -1)
        return batch.x0 + self.time * batch.v0 + x, batch.v0 + v


class LogGaussians(radial.Gaussians):
    """Gaussians of log d, close together where particles are near each other and their force changes fast."""

    def __init__(self, start: float = 0.05, stop: float = 10.0, size: int = 16):
        super().__init__(float(torch.tensor(stop / start).log()), size)
        self.first = start

    def forward(self, d: Tensor) -> Tensor:
        return super().forward((d.clamp_min(1e-3) / self.first).log())


class Tensors(nn.Module):
    """An SE(3)-Transformer, or without attention a tensor field network, from (|v|, q) and v to two arrows.

    Edges carry the distance and the four numbers of `invariants`.
    """

    def __init__(self, time: float, channels: int = 16, l_max: int = 1, l_filter: int = 2, layers: int = 4, **options):
        super().__init__()
        self.time, self.l_filter = time, l_filter
        width = {l: channels for l in range(l_max + 1)}
        options = {"heads": 4, "l_filter": l_filter, "basis": LogGaussians(), "edge_features": 4, "hidden": 64} | options
        self.network = SE3Transformer({0: 2, 1: 1}, width, {1: 2}, layers=layers, **options)

    def inputs(self, batch: particles.Batch) -> tuple[dict[int, Tensor], tfn.Geometry, Tensor]:
        """What the network is given: features of the particles, geometry, features of the edges."""
        f = {0: torch.stack([graph.norm(batch.v0), batch.q], -1)[..., None], 1: batch.v0[:, None]}
        return f, tfn.Geometry(batch.x0, batch.edge_index, self.l_filter), invariants(batch)

    def forward(self, batch: particles.Batch) -> tuple[Tensor, Tensor]:
        arrows = self.network(*self.inputs(batch))[1]
        return batch.x0 + self.time * batch.v0 + arrows[:, 0], batch.v0 + arrows[:, 1]


def invariants(batch: particles.Batch) -> Tensor:
    """q_i q_j and three products of r_ij, v_i and v_j, (E, 4), each arrow shortened to less than 1 by u / (s + |u|)."""
    i, j = batch.edge_index
    shorten = lambda u, s: u / (s + graph.norm(u)[:, None])
    r, v = shorten(graph.vectors(batch.x0, batch.edge_index), 0.1), shorten(batch.v0, 0.3)
    products = [(p * q).sum(-1, keepdim=True) for p, q in ((r, v[i]), (r, v[j]), (v[i], v[j]))]
    return torch.cat([batch.a, *products], -1)


NETWORKS = {
    "at rest": lambda time: Flight(0.0),
    "free flight": Flight,
    "deep set": lambda time: Sets(sets.DeepSet, time, channels=64),
    "set transformer": lambda time: Sets(sets.SetTransformer, time, channels=40, heads=4),
    "tfn": lambda time: Tensors(time, channels=20, attention=False),
    "se3 transformer": Tensors,
}
UNTRAINED = ("at rest", "free flight")


# --- The table ------------------------------------------------------------------------------------------------------------


def tasks(scale: str) -> list[dict]:
    """Networks by world and seed; "gpu" has the full length and three seeds."""
    if scale == "cpu":
        return [_task("free", "se3 transformer", 0, 500)]
    steps = {"se3 transformer": 1000, "tfn": 1000, "set transformer": 2500, "deep set": 4000}
    listed = [_task("walls", model, 0, 0) for model in UNTRAINED]
    for seed in range(3):
        listed += [_task("walls", model, seed, number) for model, number in steps.items()]
        listed.append(_task("free", "se3 transformer", seed, 1500))
    return listed


def _task(world: str, model: str, seed: int, steps: int) -> dict:
    lr = 3e-2 if model in ("tfn", "se3 transformer") else 2e-3
    return {"world": world, "model": model, "seed": seed, "steps": steps, "batch_size": 50, "lr": lr}


def run(*, world: str, model: str, seed: int, **fit) -> dict:
    """Train one network and measure it on the test set."""
    network = train(model, world=world, seed=seed, **fit)
    return measure(network, world)


def train(
    model: str,
    *,
    world: str = "walls",
    seed: int = 0,
    steps: int = 500,
    batch_size: int = 50,
    lr: float = 3e-2,
    progress: bool = False,
) -> nn.Module:
    """A network trained on positions, and on velocities within walls; its weights are averaged over the last steps."""
    runtime.seed_everything(seed)
    network = NETWORKS[model](TIME[world]).to(runtime.device())
    if model not in UNTRAINED:
        training.fit(
            network, data(world)[0], loss if world == "walls" else position_loss, steps=steps, batch_size=batch_size, lr=lr,
            warmup=20, clip=1.0, average=0.99, seed=seed, progress=progress)  # fmt: skip
    return network.cpu()


@lru_cache(maxsize=2)
def data(world: str) -> tuple[particles.Pairs, particles.Pairs]:
    """Training and test set: simulated once, then kept."""
    if world == "walls":
        return particles.boxed(5000, seed=1), particles.boxed(1000, seed=2)
    return particles.splits()[0], particles.splits()[2]


def loss(model: nn.Module, batch: particles.Batch) -> Tensor:
    """Mean squared error of the coordinates of x1 plus that of v1."""
    x, v = model(batch)
    return (x - batch.x1).square().mean() + (v - batch.v1).square().mean()


def position_loss(model: nn.Module, batch: particles.Batch) -> Tensor:
    """Mean squared error of the coordinates of x1."""
    return (model(batch)[0] - batch.x1).square().mean()


# --- Measuring ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def errors(model: nn.Module, test: particles.Pairs) -> tuple[Tensor, Tensor]:
    """Mean squared errors of positions and of velocities of each system, (samples,) both."""
    found = []
    for rows in torch.arange(len(test)).split(200):
        batch = test[rows]
        x, v = model(batch)
        pair = torch.stack([x - batch.x1, v - batch.v1]).square()
        found.append(pair.view(2, len(rows), -1).mean(-1))
    return tuple(torch.cat(found, 1).double())


def measure(model: nn.Module, world: str) -> dict:
    """Errors as mean, median, mean of the worst 5 % and their share of the total; equivariance errors; parameters."""
    test = data(world)[1]
    result = {"parameters": sum(p.numel() for p in model.parameters())}
    broken = equivariance(model, test[torch.arange(100)])
    for name, error, equivariant in zip(("x", "v"), errors(model, test), broken, strict=True):
        share = nbody.worst_share(error)
        result |= {
            f"{name}_mse": error.mean().item(),
            f"{name}_median": error.median().item(),
            f"{name}_worst": share * error.mean().item() / 0.05,
            f"{name}_share": share,
            f"{name}_equivariance": equivariant,
        }
    return result


@torch.no_grad()
def equivariance(model: nn.Module, batch: particles.Batch, turns: int = 10) -> tuple[float, float]:
    """|R model(s) - model(R s)| / |R model(s)| for displacements and for velocities, means over random rotations.

    The norms run over all particles. Source: arXiv:2006.10503, section 4.1, for the displacement in place of the position,
    which does not move with the origin.
    """
    still, found = model(batch), []
    for R in rotations.random(turns, generator=runtime.generator(0), dtype=batch.x0.dtype):
        turned = replace(batch, x0=batch.x0 @ R.T, v0=batch.v0 @ R.T)
        x, v = model(turned)
        pairs = ((x - turned.x0, (still[0] - batch.x0) @ R.T), (v, still[1] @ R.T))
        found.append([((got - want).norm() / want.norm().clamp_min(1e-12)).item() for got, want in pairs])
    return tuple(torch.tensor(found).mean(0).tolist())
