"""QM9's properties from molecules: what a network gains over counting atoms, without geometry and with it.

All networks have the same layers (`mpnn.PairMessage`) and differ in what they are told: the bonds; the bonds and their
lengths; all pairs of atoms within 4 angstrom and their distances. Each learns four properties at once, as what is left after
the baseline of atom counts, so an untrained network is the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import molecules
from m2m.messages import graph, mpnn

TARGETS = {"U0": "eV", "gap": "eV", "alpha": "bohr^3", "mu": "D"}  # U0 as energy of atomisation
NETWORKS = ("bonds", "bond lengths", "distances")
BASELINES = ("mean", "counts")
CUTOFF = {"bonds": 0.0, "bond lengths": 1.8, "distances": 4.0}  # angstrom; no bond is longer than 1.75


def tasks(scale: str) -> list[dict]:
    """The baselines once, every network with each seed. "gpu" has all of "cpu", and longer runs on more molecules."""
    small = {"molecules": 3000, "steps": 300, "batch_size": 32, "channels": 48, "layers": 3, "lr": 8e-3}
    large = {"molecules": 8000, "steps": 3000, "batch_size": 64, "channels": 64, "layers": 4, "lr": 5e-3}
    listed = []
    for size in [small] if scale == "cpu" else [small, large]:
        listed += [{"model": name, "seed": 0, "molecules": size["molecules"]} for name in BASELINES]
        listed += [{"model": name, "seed": seed, **size} for seed in range(3) for name in NETWORKS]
    return listed


def run(*, model: str, seed: int, **settings) -> dict:
    """Mean absolute error of each property on the test molecules in the units of TARGETS, and what happens to the twins."""
    parts = data(settings.pop("molecules"))
    if model in BASELINES:
        predictor, found = baseline(parts, model), {}
    else:
        network, history = train(model, parts, seed=seed, **settings)
        predictor = lambda some: predict(network, some)
        found = {"parameters": sum(p.numel() for p in network.parameters()), "train_seconds": history.seconds[-1]}
    return errors(parts["test"].y - predictor(parts["test"])) | twins(predictor, parts["twins"]) | found


# --- Data and baseline ----------------------------------------------------------------------------------------------------


def targets(some: molecules.Molecules) -> molecules.Molecules:
    """The molecules with y (n, 4) in the order and the units of TARGETS."""
    columns = [some.atomisation("U0", "eV")] + [some.property(name, unit) for name, unit in list(TARGETS.items())[1:]]
    return some.with_targets(torch.stack(columns, 1))


def data(number: int) -> dict[str, molecules.Molecules]:
    """Training molecules, the first `number` of the split; all test molecules; and the twins that are in no training set.

    Twins stand in pairs: they have other bonds, and no message passing on the bonds alone can tell them apart.

    Raises:
        ValueError: more molecules than there are to train on, or none.
    """
    shipped, pairs = targets(molecules.load()), targets(molecules.load(molecules.TWINS))
    seen = shipped.index[molecules.split(shipped)["train"]]
    unseen = ~torch.isin(pairs.index, seen).view(-1, 2).any(1)
    return parts(shipped, number) | {"twins": pairs.subset(unseen.repeat_interleave(2))}


def parts(some: molecules.Molecules, number: int) -> dict[str, molecules.Molecules]:
    """The first `number` of the molecules to train on, in an order as if drawn at random, and all to test on."""
    split = molecules.split(some)
    order = molecules.fractions(some.index[split["train"]], "order").argsort()
    if not 0 < number <= len(order):
        raise ValueError(f"molecules: got {number}, expected 1 to {len(order)}")
    return {"train": some.subset(split["train"][order[:number]]), "test": some.subset(split["test"])}


def baseline(parts: dict[str, molecules.Molecules], name: str = "counts") -> Callable[[molecules.Molecules], Tensor]:
    """A function molecules -> (n, 4): the mean of the training targets, or their best linear fit by atom counts."""
    train = parts["train"]
    if name == "mean":
        return lambda some: train.y.mean(0).expand(len(some), -1)
    weights = molecules.fit_counts(train.counts(), train.y)
    return lambda some: molecules.from_counts(some.counts(), weights)


def errors(differences: Tensor) -> dict[str, float]:
    """Mean absolute error of each target from differences (n, 4)."""
    return dict(zip(TARGETS, differences.abs().mean(0).tolist(), strict=True))


def twins(predictor: Callable[[molecules.Molecules], Tensor], pairs: molecules.Molecules) -> dict[str, float]:
    """How far apart the energies of twins are, in truth and as predicted, and the error of the predicted difference, in eV."""
    apart = lambda y: y[0::2, 0] - y[1::2, 0]
    true, predicted = apart(pairs.y), apart(predictor(pairs))
    values = {"twins_true": true, "twins_predicted": predicted, "twins_error": predicted - true}
    return {name: value.abs().mean().item() for name, value in values.items()}


# --- Networks -------------------------------------------------------------------------------------------------------------


def bonds(z: Tensor, x: Tensor, batch: Tensor) -> Tensor:
    """The bonds of each molecule, both directions, (2, E)."""
    edge_index = graph.radius(x, CUTOFF["bond lengths"], batch)
    return edge_index[:, molecules.bonded(z, x, edge_index)]


def lengths(cutoff: float, basis: int = 24):
    """A function (z, x, edge_index) -> a (E, basis): Gaussian bumps of the distance, faded out smoothly at the cutoff."""
    centres = torch.linspace(0.8, cutoff, basis)
    width = (cutoff - 0.8) / (basis - 1)

    def attributes(z: Tensor, x: Tensor, edge_index: Tensor) -> Tensor:
        d = graph.norm(graph.vectors(x, edge_index))[:, None]
        fade = 0.5 * (1 + torch.cos(math.pi * (d / cutoff).clamp(max=1)))
        return torch.exp(-0.5 * ((d - centres.to(d)) / width) ** 2) * fade

    return attributes


class Residual(nn.Module):
    """Atom counts, exactly as the baseline has them, plus a network for what they leave: molecules -> (B, 4)."""

    def __init__(self, network: mpnn.Network, weights: Tensor, scale: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("weights", weights)
        self.register_buffer("scale", scale)
        nn.init.zeros_(network.head[-1].weight)
        nn.init.zeros_(network.head[-1].bias)

    def forward(self, batch: molecules.MoleculeBatch) -> Tensor:
        learned = self.network(batch.z, batch.x, batch.batch, graphs=len(batch))
        return self.counted(batch) + learned.double() * self.scale

    def counted(self, batch: molecules.MoleculeBatch) -> Tensor:
        return molecules.from_counts(molecules.counts(batch.z, batch.batch, len(batch)), self.weights)


def build(model: str, parts: dict[str, molecules.Molecules], *, channels: int, layers: int, seed: int = 0) -> Residual:
    """An untrained network; its outputs are in units of the standard deviation of what the baseline leaves.

    Raises:
        ValueError: an unknown name.
    """
    if model not in NETWORKS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(BASELINES + NETWORKS)}")
    runtime.seed_everything(seed)
    train, cutoff = parts["train"], CUTOFF[model]
    edges = (lambda z, x, batch: graph.radius(x, cutoff, batch)) if model == "distances" else bonds
    basis = 0 if model == "bonds" else 24
    network = mpnn.Network(
        [mpnn.PairMessage(channels, basis) for _ in range(layers)], channels, len(TARGETS),
        edges=edges, attributes=lengths(cutoff, basis) if basis else None)  # fmt: skip
    weights = molecules.fit_counts(train.counts(), train.y)
    left = train.y - molecules.from_counts(train.counts(), weights)
    return Residual(network, weights, left.std(0))


def train(
    model: str, parts: dict[str, molecules.Molecules], *, seed: int, steps: int, batch_size: int, channels: int, layers: int,
    lr: float = 5e-3, progress: bool = False,
) -> tuple[Residual, training.History]:  # fmt: skip
    """A network trained by the mean absolute error in units of the baseline's spread."""
    network = build(model, parts, channels=channels, layers=layers, seed=seed)
    loss = lambda m, batch: ((m(batch) - batch.y) / m.scale).abs().mean()
    history = training.fit(
        network, parts["train"], loss, steps=steps, batch_size=batch_size, lr=lr, warmup=steps // 20, clip=5.0, average=0.999,
        seed=seed, device=runtime.device(), progress=progress)  # fmt: skip
    return network, history


@torch.no_grad()
def predict(network: nn.Module, some: molecules.Molecules, batch_size: int = 256) -> Tensor:
    """Predictions for each molecule, (n, 4) float64 on the CPU."""
    device = next(network.parameters()).device
    rows = torch.arange(len(some)).split(batch_size)
    return torch.cat([network(some[part].to(device)).cpu() for part in rows])
