"""Two properties of QM9's molecules from four networks that were given the same time: SchNet, EGNN, TFN, SE(3)-Transformer.

The energy of the highest occupied orbital (HOMO, in meV) and the isotropic polarisability (alpha, in bohr^3), both from one
network with two outputs. All four see the same: elements, and pairs of atoms nearer than 4 angstrom with the same radial
functions; each has as many steps as fit into the same processor time.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import molecules
from m2m.experiments import qm9
from m2m.messages import egnn, graph, radial, schnet
from m2m.tensors import factorised, se3_transformer, tfn, votes

TARGETS = {"homo": "meV", "alpha": "bohr^3"}
CUTOFF, BASIS = 4.0, 12


# --- Networks -------------------------------------------------------------------------------------------------------------


class Radials(nn.Module):
    """e_k(d) C(d): Gaussians up to the cutoff, faded out: (...) -> (..., BASIS)."""

    def __init__(self):
        super().__init__()
        self.gaussians, self.size = radial.Gaussians(CUTOFF, BASIS, start=0.8), BASIS

    def forward(self, d: Tensor) -> Tensor:
        return self.gaussians(d) * radial.cosine(d, CUTOFF)[..., None]


class SchNetAtoms(nn.Module):
    """Three continuous-filter layers, (N, C): distances only."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = schnet.SchNet(channels, 3, CUTOFF, basis=Radials())
        self.net.readout = nn.Identity()  # there is another one for all four networks

    def forward(self, z: Tensor, x: Tensor, batch: Tensor) -> Tensor:
        return self.net.atoms(z, x, batch)[0]


class EGNNAtoms(nn.Module):
    """Three EGNN layers with the paper's gate on messages, (N, C): distances, and arrows through the coordinates that move."""

    def __init__(self, channels: int):
        super().__init__()
        self.embedding, self.basis = nn.Embedding(schnet.ELEMENTS, channels), Radials()
        self.layers = nn.ModuleList(egnn.Layer(channels, BASIS, gate=True, velocity=False) for _ in range(3))

    def forward(self, z: Tensor, x: Tensor, batch: Tensor) -> Tensor:
        edge_index = graph.radius(x, CUTOFF, batch)
        a, f = self.basis(graph.norm(graph.vectors(x, edge_index))), self.embedding(z)
        for layer in self.layers:
            f, x, _ = layer(f, x, edge_index, a=a)
        return f


class TFNAtoms(nn.Module):
    """Three tensor field layers with degrees 0 and 1, (N, C). The sums are exchanged, as suits small molecules.

    Layers of convolution, self-interaction, gate and residual, like those that look for the missing atom.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels, self.basis = channels, Radials()
        self.embedding = nn.Embedding(schnet.ELEMENTS, channels)
        both, wide = {0: channels, 1: channels}, {0: 2 * channels, 1: channels}  # a gate for each arrow
        given = [{0: channels}, both, both]
        self.convolutions = nn.ModuleList(factorised.Convolution(c, wide, 1, BASIS) for c in given)
        self.own = nn.ModuleList(votes.self_interaction(c, wide) for c in given)

    def forward(self, z: Tensor, x: Tensor, batch: Tensor) -> Tensor:
        place, present = padded(batch)
        spread = lambda values: (
            values.new_zeros(present.numel(), values.shape[1]).index_copy_(0, place, values).view(*present.shape, -1)
        )
        geometry = factorised.Geometry(spread(x), present, self.basis, 1)
        f = {0: spread(self.embedding(z))[:, None, :, None]}  # (B, 2 l + 1, n, 1, C)
        for k, (convolution, own) in enumerate(zip(self.convolutions, self.own, strict=True)):
            new = votes.layer(f, geometry, convolution, own)
            f = {l: new[l] + f[l] if k else new[l] for l in new}
        return f[0].reshape(-1, self.channels)[place]


def padded(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Molecules of different sizes as rows of n atoms: the place of each atom (N,), and where there are atoms, (B, n) of bool."""
    sizes = torch.bincount(batch)
    present = torch.arange(int(sizes.max()), device=batch.device) < sizes[:, None]
    return present.flatten().nonzero()[:, 0], present


class SE3Atoms(nn.Module):
    """Three layers of attention with degrees 0 and 1 and four heads, (N, 2 C)."""

    def __init__(self, channels: int):
        super().__init__()
        self.embedding = nn.Embedding(schnet.ELEMENTS, channels)
        both = {0: channels, 1: channels}
        self.net = se3_transformer.SE3Transformer(
            {0: channels}, both, {0: 2 * channels}, layers=3, heads=4, l_filter=1, basis=Radials()
        )

    def forward(self, z: Tensor, x: Tensor, batch: Tensor) -> Tensor:
        geometry = tfn.Geometry(x, graph.radius(x, CUTOFF, batch), 1)
        return self.net({0: self.embedding(z)[..., None]}, geometry)[0][..., 0]


class Targets(nn.Module):
    """What atom counts give, and a network for what they leave: molecules -> (B, 2), HOMO and polarisability.

    Each atom gives two numbers. Polarisabilities add up over the atoms, the HOMO's energy is their mean.

    Args:
        atoms: (z, x, batch) -> (N, width).
        weights, scale: of the baseline, (6, 2), and the standard deviation of what it leaves, (2,).
    """

    def __init__(self, atoms: nn.Module, width: int, weights: Tensor, scale: Tensor):
        super().__init__()
        self.atoms = atoms
        self.head = nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, 2))
        nn.init.zeros_(self.head[-1].weight), nn.init.zeros_(self.head[-1].bias)
        self.register_buffer("weights", weights)
        self.register_buffer("scale", scale)

    def forward(self, some: molecules.MoleculeBatch) -> Tensor:
        counted = molecules.from_counts(molecules.counts(some.z, some.batch, len(some)), self.weights)
        return counted + self.learned(some)

    def learned(self, some: molecules.MoleculeBatch) -> Tensor:
        """What the network adds to the baseline, (B, 2)."""
        numbers = self.head(self.atoms(some.z, some.x, some.batch))
        homo = graph.scatter_mean(numbers[:, 0], some.batch, len(some))
        alpha = graph.scatter_sum(numbers[:, 1], some.batch, len(some))
        return torch.stack([homo, alpha], 1).double() * self.scale


# What makes features of the atoms, its channels, and how many numbers of an atom it gives
MODELS = {
    "SchNet": (SchNetAtoms, 64, 64), "EGNN": (EGNNAtoms, 48, 48), "TFN": (TFNAtoms, 24, 24),
    "SE(3)-Transformer": (SE3Atoms, 12, 24),
}  # fmt: skip


def build(model: str, train: molecules.Molecules, *, seed: int = 0) -> Targets:
    """An untrained network of `MODELS`, which predicts what the baseline of atom counts does.

    Raises:
        ValueError: an unknown name.
    """
    if model not in MODELS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(MODELS)}")
    runtime.seed_everything(seed)
    make, channels, width = MODELS[model]
    weights = molecules.fit_counts(train.counts(), train.y)
    return Targets(make(channels), width, weights, (train.y - molecules.from_counts(train.counts(), weights)).std(0))


# --- Data, training -------------------------------------------------------------------------------------------------------


def data(number: int) -> dict[str, molecules.Molecules]:
    """The first `number` training molecules and all test molecules of the shipped QM9, with the two targets.

    Raises:
        ValueError: more molecules than there are to train on, or none.
    """
    shipped = molecules.load()
    shipped = shipped.with_targets(torch.stack([shipped.property(*item) for item in TARGETS.items()], 1))
    return qm9.parts(shipped, number)


def train(model: str, some: molecules.Molecules, *, steps: int, batch_size: int = 16, seed: int = 0) -> Targets:
    """A network trained by the mean absolute error, in units of what the baseline leaves."""
    network, lr = build(model, some, seed=seed), 3e-3 if model in ("SchNet", "EGNN") else 6e-3
    loss = lambda network, batch: ((network(batch) - batch.y) / network.scale).abs().mean()
    training.fit(network, some, loss, steps=steps, batch_size=batch_size, lr=lr, warmup=20, clip=5.0, average=0.99, seed=seed,
                 progress=False)  # fmt: skip
    return network


@torch.no_grad()
def errors(network: Targets, some: molecules.Molecules) -> dict[str, float]:
    """Mean absolute error of each target on molecules."""
    predicted = torch.cat([network(some[rows]) for rows in torch.arange(len(some)).split(200)])
    return dict(zip(TARGETS, (predicted - some.y).abs().mean(0).tolist(), strict=True))


def baseline(parts: dict[str, molecules.Molecules]) -> dict[str, float]:
    """Mean absolute errors of the best linear prediction by atom counts, from which every network starts."""
    train, test = parts["train"], parts["test"]
    left = test.y - molecules.from_counts(test.counts(), molecules.fit_counts(train.counts(), train.y))
    return dict(zip(TARGETS, left.abs().mean(0).tolist(), strict=True))


# --- The table ------------------------------------------------------------------------------------------------------------

# Steps of about two minutes of processor time on one core of the machine that made the table
STEPS = {"SchNet": 6240, "EGNN": 4080, "TFN": 2400, "SE(3)-Transformer": 1344}
SIZES = (500, 2000, 8000)


def tasks(scale: str) -> list[dict]:
    """ "cpu": SchNet and TFN for some seconds on 2,000 molecules. "gpu" has that too, and the whole time for every model and
    number of molecules with three seeds, the largest number first."""
    small = [dict(model=model, number=2000, steps=STEPS[model] // 48, seed=0) for model in ("SchNet", "TFN")]
    if scale == "cpu":
        return small
    each = [(number, seed, model) for number in reversed(SIZES) for seed in range(3) for model in MODELS]
    return small + [dict(model=model, number=number, steps=STEPS[model], seed=seed) for number, seed, model in each]


def run(model: str, number: int, steps: int, seed: int) -> dict:
    """Errors on the test molecules, of the network and of the baseline that it starts from; processor time, parameters."""
    parts = data(number)
    started = time.process_time()
    network = train(model, parts["train"], steps=steps, seed=seed)
    spent = time.process_time() - started
    return errors(network, parts["test"]) | {
        "counts": baseline(parts),
        "processor_seconds": spent,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
