"""Where five charged particles will be: EGNN, radial field, plain messages and x + t v on the published N-body protocol.

Two questions. How many training systems does each network need (`world` "isotropic", the published data: 3,000 / 2,000 /
2,000)? And what happens to systems turned by 90 degrees when the training set has a direction (`world` "stretched")?
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from m2m import checks, runtime, training
from m2m.data import particles
from m2m.messages import egnn, graph
from m2m.tensors import rotations

STRETCH = {"isotropic": (1.0, 1.0, 1.0), "stretched": (0.4, 0.4, 4.0)}
TURN = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # 90 degrees about y: z becomes x
PUBLISHED = {"linear": 0.0819, "radial field": 0.0104, "gnn": 0.0107, "egnn": 0.0071}  # arXiv:2102.09844, table 2
LINEAR = {"steps": 300, "batch_size": 50, "lr": 0.03}
LEVELS = [k / 20 for k in range(21)]  # quantiles of the error of a system that a results file keeps


class NearEGNN(egnn.EGNN):
    """An EGNN that is given 1 / d_ij of the first positions as one more edge attribute, 10 at most."""

    def __init__(self, channels: int = 64):
        super().__init__(channels, edges=2)

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        r = graph.vectors(x, edge_index)
        near = ((r * r).sum(-1, keepdim=True) + 0.01).rsqrt()
        return super().forward(x, v, edge_index, torch.cat([a, near], -1))


NETWORKS = {"linear": egnn.Linear, "radial field": egnn.RadialField, "gnn": egnn.GNN, "egnn": egnn.EGNN, "egnn, 1/d": NearEGNN}


def tasks(scale: str) -> list[dict]:
    """Models by number of training systems and seed. "gpu" has all of the isotropic part of "cpu", and longer runs."""
    seeds = {"cpu": (0,), "gpu": (0, 1, 2)}[scale]
    steps = {"cpu": {300: 600}, "gpu": {300: 600, 1000: 1500, 3000: 3000}}[scale]
    listed = [("isotropic", model, False, systems, number) for systems, number in steps.items() for model in PUBLISHED]
    if scale == "gpu":
        listed.append(("isotropic", "egnn, 1/d", False, 3000, 3000))
    systems, number = {"cpu": (300, 600), "gpu": (3000, 2000)}[scale]
    listed += [("stretched", *which, systems, number) for which in (("egnn", False), ("gnn", False), ("gnn", True))]
    return [
        {"world": world, "model": model, "augment": augment, "systems": systems, "seed": seed}
        | (LINEAR if model == "linear" else {"steps": number, "batch_size": 50, "lr": 5e-3})
        for seed in seeds for world, model, augment, systems, number in listed
    ]  # fmt: skip


def run(*, world: str, model: str, augment: bool, systems: int, seed: int, **fit) -> dict:
    """Train one network and measure it on the test set, as it is and turned."""
    trained, history = train(model, world=world, augment=augment, systems=systems, seed=seed, **fit)
    return {"step": history.best_step(), "validation": min(history.validation)} | measure(trained, world)


def train(
    model: str,
    *,
    world: str = "isotropic",
    augment: bool = False,
    systems: int = 3000,
    seed: int = 0,
    steps: int = 600,
    batch_size: int = 50,
    lr: float = 5e-3,
    progress: bool = False,
) -> tuple[nn.Module, training.History]:
    """A network trained on positions 1,000 steps ahead; the weights of the lowest validation error are kept.

    Args:
        augment: turn every system of every batch by a random rotation of its own.
        systems: how many training systems; seed k takes the k-th slice of the 3,000.
    """
    data, validation, _ = sets(world)
    runtime.seed_everything(seed)
    network = NETWORKS[model]().to(runtime.device())
    history = training.fit(
        network, slice_of(data, systems, seed), turned_loss if augment else loss,
        steps=steps, batch_size=batch_size, lr=lr, warmup=20, clip=1.0, average=0.99,
        validate=lambda m: errors(m, validation).mean().item(), validate_every=max(1, steps // 10), patience=10,
        seed=seed, progress=progress)  # fmt: skip
    return network.cpu(), history


def sets(world: str) -> tuple[particles.Pairs, particles.Pairs, particles.Pairs]:
    """Training, validation and test set: simulated once, then kept."""
    return particles.splits(stretch=STRETCH[world])


def slice_of(data: particles.Pairs, systems: int, seed: int) -> particles.Pairs:
    """As many systems to train on; each seed has others, as far as there are."""
    return data.select(torch.arange(systems) + systems * (seed % (len(data) // systems)))


def loss(model: nn.Module, batch: particles.Batch) -> Tensor:
    """Mean squared error of the coordinates of x1."""
    return (model(batch.x0, batch.v0, batch.edge_index, batch.a)[0] - batch.x1).square().mean()


def turned_loss(model: nn.Module, batch: particles.Batch) -> Tensor:
    """The same for systems turned by a random rotation each."""
    turn = rotations.random(int(batch.batch[-1]) + 1).to(batch.x0.device)[batch.batch]
    x0, v0, x1 = (torch.einsum("nij,nj->ni", turn, part) for part in (batch.x0, batch.v0, batch.x1))
    return (model(x0, v0, batch.edge_index, batch.a)[0] - x1).square().mean()


# --- Measuring ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def errors(model: nn.Module, data: particles.Pairs) -> Tensor:
    """The mean squared error of each system, (samples,)."""
    device = next(model.parameters()).device
    parts = []
    for rows in torch.arange(len(data)).split(100):
        batch = data[rows].to(device)
        x = model(batch.x0, batch.v0, batch.edge_index, batch.a)[0]
        parts.append((x - batch.x1).square().view(len(rows), -1).mean(1).cpu())
    return torch.cat(parts).double()


def measure(model: nn.Module, world: str) -> dict:
    """What the chapter's tables and pictures show."""
    test = sets(world)[2]
    error = errors(model, test)
    return {
        "mse": error.mean().item(),
        "median": error.quantile(0.5).item(),
        "worst": worst_share(error),
        "turned": errors(model, test.rotated(TURN)).mean().item(),
        "equivariance": equivariance(model, test[torch.arange(100)]),
        "parameters": sum(p.numel() for p in model.parameters()),
        "quantiles": torch.quantile(error, torch.tensor(LEVELS).double()).tolist(),
    }


def worst_share(error: Tensor, part: float = 0.05) -> float:
    """The share of the total error (samples,) that its worst `part` carries; `part` itself if all were equal."""
    count = max(1, round(part * len(error)))
    return (error.sort(descending=True).values[:count].sum() / error.sum()).item()


@torch.no_grad()
def equivariance(model: nn.Module, batch: particles.Batch) -> float:
    """Largest difference between turn-then-predict and predict-then-turn, relative to the largest displacement."""
    turns = rotations.random(5, generator=runtime.generator(0))
    step = lambda x, v: model(x, v, batch.edge_index, batch.a)[0] - x
    still = step(batch.x0, batch.v0)
    return max(checks.relative_error(step(batch.x0 @ turn.T, batch.v0 @ turn.T), still @ turn.T) for turn in turns)
