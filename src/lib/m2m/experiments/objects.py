"""Fifteen classes of scans: what a network that knows no direction loses, and what knowing gravity alone gives back.

The same equivariant network without and with the height of each point as a further number (SO(3)-invariant, and "+z",
invariant to turns about gravity only), and PointNet, trained as the scans stand, or turned about gravity, or turned anyhow.
Each is tested on scans turned by an angle about gravity and about random axes, with more and fewer points and neighbours.
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import scans
from m2m.messages import graph, radial
from m2m.tensors import irreps, rotations, tfn
from m2m.tensors.harmonics import harmonics

MODELS = ("invariant", "+z", "PointNet", "PointNet, turned about z", "PointNet, turned anyhow")
ANGLES = (0, 20, 45, 90, 180)  # degrees
POINTS, POINTS_TRAINED = (40, 64, 128, 256), 128
NEIGHBOURS = (4, 7, 10, 20)
TRAIN, TEST = 1500, 300  # scans
K = 10  # neighbours, as in the SE(3)-Transformer's experiment
CENTRES = 32
UP = torch.tensor([0.0, 0.0, 1.0])


# --- Networks -------------------------------------------------------------------------------------------------------------


class Middle(nn.Module):
    """Points tell the middle of the cloud, and hear from it: f (B, n, C) -> f', numbers that no rotation changes.

        F_c^(l) = mean_i s_c(f_i) Y^(l)(x_i)        f_i' = f_i + phi([f_i, <F_c^(l), Y^(l)(x_i)> for all c and l])

    A tensor field layer to one node at the origin, and one back. l goes to 3.
    """

    def __init__(self, channels: int, arrows: int = 8, l_max: int = 3):
        super().__init__()
        self.l_max, self.send = l_max, nn.Linear(channels, arrows)
        self.update = nn.Sequential(
            nn.Linear(channels + arrows * (l_max + 1), 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, f: Tensor, x: Tensor) -> Tensor:
        Y = harmonics(x, self.l_max)
        told = self.send(f).mT @ Y / x.shape[1]  # (B, arrows, (l_max + 1)^2)
        rows = [slice(l * l, (l + 1) ** 2) for l in range(self.l_max + 1)]
        heard = [Y[..., row] @ told[..., row].mT for row in rows]
        return f + self.update(torch.cat([f, *heard], -1))


class Nearest(nn.Module):
    """Centres gather from their nearest points: f (B, n, C) -> (B, CENTRES, C), numbers that no rotation changes.

        g_i^(l) = mean_j phi^(l)(d_ij) * f_j Y^(l)(r_ij)        l = 0, 1, 2

    A tensor field convolution from degree 0. Of its arrows the lengths are kept, and how far they point away from the middle:
    their inner products with Y(x_i).
    """

    def __init__(self, channels: int, hidden: int = 16):
        super().__init__()
        self.radial = nn.Sequential(tfn.Radial(radial.Gaussians(0.6, 12), hidden), nn.Linear(hidden, 3 * channels))
        self.update = nn.Sequential(nn.Linear(6 * channels, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels))

    def forward(self, f: Tensor, x: Tensor, k: int) -> Tensor:
        g, Y = self.gather(f, x, k), harmonics(x[:, :CENTRES], 2)[..., None, :]
        inner = [(g[l] * Y[..., l * l : (l + 1) ** 2]).sum(-1) for l in range(3)]
        return self.update(torch.cat([f[:, :CENTRES], *inner, irreps.norm(g[1]), irreps.norm(g[2])], -1))

    def gather(self, f: Tensor, x: Tensor, k: int) -> dict[int, Tensor]:
        """Features of the centres, {l: (B, CENTRES, C, 2 l + 1)}."""
        sender = neighbours(x, CENTRES, k)
        pick = lambda values: values.flatten(0, 1).index_select(0, sender.flatten()).view(*sender.shape, -1)
        r = pick(x) - x[:, :CENTRES, None]
        phi = self.radial(graph.norm(r.flatten(0, 2))).view(*sender.shape, 3, -1)
        Y, sent = harmonics(r, 2), pick(f)
        return {l: (phi[..., l, :] * sent).mT @ Y[..., l * l : (l + 1) ** 2] / k for l in range(3)}


class Objects(nn.Module):
    """Tensor field network on clouds x (B, n, 3) -> logits (B, 15).

    All points talk by way of the middle; the first 32 points, which come in random order, gather from their k nearest, and
    talk by way of the middle again. The largest of each number over points and centres is read.

    Args:
        height: give each point its height z too, so that directions are no longer alike. Without it any turn of the cloud
            changes nothing, with it turns about the z-axis.
        k: neighbours; it may be changed after training.
    """

    def __init__(self, *, height: bool = False, channels: int = 32, k: int = K, classes: int = len(scans.NAMES)):
        super().__init__()
        self.height, self.k = height, k
        self.bumps = nn.ModuleList([radial.Gaussians(1.0, 8), radial.Gaussians(2.0, 12)])
        self.each = nn.Sequential(nn.Linear(8 + 12 * height, 32), nn.SiLU(), nn.Linear(32, channels))
        self.middle, self.nearest, self.again = Middle(channels), Nearest(channels), Middle(channels)
        self.wide = nn.ModuleList([nn.Linear(channels, 128), nn.Linear(channels, 128)])
        self.read = nn.Sequential(nn.Linear(256, 128), nn.SiLU(), nn.Dropout(0.3), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        f = self.middle(self.each(self.numbers(x)), x)
        g = self.again(self.nearest(f, x, self.k), x[:, :CENTRES])
        return self.read(torch.cat([self.wide[0](f).amax(1), self.wide[1](g).amax(1)], -1))

    def numbers(self, x: Tensor) -> Tensor:
        """What is known of each point alone: its distance from the middle, and perhaps its height, each as several numbers."""
        distance = self.bumps[0](x.norm(dim=-1))
        return torch.cat([distance, self.bumps[1](x[..., 2] + 1)], -1) if self.height else distance


def neighbours(x: Tensor, receivers: int, k: int) -> Tensor:
    """The k nearest others of the first `receivers` points of each cloud x (B, n, 3): (B, receivers, k), as rows of all.

    Raises:
        ValueError: the clouds have no k other points, or not so many receivers.
    """
    batch, n, _ = x.shape
    if not 1 <= k < n or not 1 <= receivers <= n:
        raise ValueError(f"k: got {k} neighbours for {receivers} of {n} points, expected k from 1 to {n - 1}")
    distance = torch.cdist(x[:, :receivers], x)
    itself = torch.arange(receivers, device=x.device)
    distance[:, itself, itself] = torch.inf
    first = n * torch.arange(batch, device=x.device)[:, None, None]
    return distance.topk(k, largest=False).indices + first


class PointNet(nn.Module):
    """The largest over the points of a perceptron of each, and a perceptron: x (B, n, 3) -> logits (B, 15).

    Source: Qi et al., https://arxiv.org/abs/1612.00593, without its small networks that turn the input.
    """

    def __init__(self, classes: int = len(scans.NAMES)):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 256))
        self.read = nn.Sequential(nn.Linear(256, 128), nn.SiLU(), nn.Dropout(0.3), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.each(x).amax(1))


def build(model: str, *, k: int = K, seed: int = 0) -> nn.Module:
    """An untrained network of `MODELS`.

    Raises:
        ValueError: an unknown name.
    """
    if model not in MODELS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(MODELS)}")
    torch.manual_seed(seed)
    return PointNet() if model.startswith("PointNet") else Objects(height=model == "+z", k=k)


# --- Training and tests ---------------------------------------------------------------------------------------------------


def turned(x: Tensor, how: str, generator: torch.Generator) -> Tensor:
    """Clouds (B, n, 3), each turned by a rotation of its own: "about z" or "anyhow"."""
    angles = 2 * torch.pi * torch.rand(len(x), generator=generator)
    R = rotations.about(UP, angles) if how == "about z" else rotations.random(len(x), generator=generator)
    return x @ R.to(x).mT


def train(
    model: str, data: scans.Scans, *, steps: int, k: int = K, batch_size: int = 32, seed: int = 0
) -> tuple[nn.Module, training.History]:
    """A network fitted to the classes; those "turned" see each scan in a new position every time."""
    network, draw, how = build(model, k=k, seed=seed), runtime.generator(seed), model.partition("turned ")[2]

    def loss(network: nn.Module, batch: scans.Scans) -> Tensor:
        x = batch.x[:, torch.randperm(batch.x.shape[1], generator=draw)]  # other points are centres
        x = turned(x, how, draw) if how else x
        return nn.functional.cross_entropy(network(x), batch.y, label_smoothing=0.1)

    lr = 3e-3 if model.startswith("PointNet") else 5e-3
    history = training.fit(network, data, loss, steps=steps, batch_size=batch_size, lr=lr, warmup=20, clip=1.0,
                           weight_decay=1e-3, average=0.99, seed=seed, progress=False)  # fmt: skip
    return network, history


@torch.no_grad()
def answers(network: nn.Module, x: Tensor, batch_size: int = 90) -> Tensor:
    """The class that the network gives each cloud, (n,)."""
    return torch.cat([network(part).argmax(-1) for part in x.split(batch_size)])


def accuracy(network: nn.Module, data: scans.Scans, R: Tensor | None = None) -> float:
    """Share of right answers on clouds, turned by R (3, 3) or each by its own (n, 3, 3)."""
    x = data.x if R is None else data.x @ R.to(data.x).mT
    return (answers(network, x) == data.y).double().mean().item()


def angle_curves(network: nn.Module, data: scans.Scans, angles=ANGLES, seed: int = 0) -> dict[str, list[float]]:
    """Accuracy on scans turned by angles in degrees, about z and about an axis of each scan's own."""
    axes = torch.randn(len(data), 3, generator=runtime.generator(20_000 + seed))
    radians = torch.tensor(angles, dtype=torch.float32).deg2rad()
    return {
        "about z": [accuracy(network, data, rotations.about(UP, angle)) for angle in radians],
        "about random axes": [accuracy(network, data, rotations.about(axes, angle.expand(len(data)))) for angle in radians],
    }


def with_neighbours(network: Objects, data: scans.Scans, k: int) -> float:
    """Accuracy of a trained network that is given another number of neighbours."""
    before, network.k = network.k, k
    try:
        return accuracy(network, data)
    finally:
        network.k = before


# --- The table ------------------------------------------------------------------------------------------------------------

# Steps of about two minutes of processor time on one core of the machine that made the table, and of some seconds
LARGE = {"invariant": 2000, "+z": 2000, "PointNet": 3600, "PointNet, turned about z": 3600, "PointNet, turned anyhow": 3600}
SMALL = {"invariant": 80, "+z": 80, "PointNet": 150}


def tasks(scale: str) -> list[dict]:
    """ "cpu": the two equivariant networks and PointNet, a few steps. "gpu" has that too, and longer trainings with three
    seeds."""
    short = [dict(model=model, k=K, steps=steps, seed=0) for model, steps in SMALL.items()]
    if scale == "cpu":
        return short
    return short + [dict(model=model, k=K, steps=steps, seed=seed) for seed in range(3) for model, steps in LARGE.items()]


def run(model: str, k: int, steps: int, seed: int) -> dict:
    """Accuracies on the test scans: upright, turned, with other numbers of points and neighbours; the answers themselves."""
    data, test = sets()
    started = time.process_time()
    network, history = train(model, data, steps=steps, k=k, seed=seed)
    found = {
        "processor_seconds": time.process_time() - started,
        "parameters": sum(p.numel() for p in network.parameters()),
        "loss": sum(history.loss[-20:]) / len(history.loss[-20:]),
        "accuracy": accuracy(network, test[POINTS_TRAINED]),
        "answers": answers(network, test[POINTS_TRAINED].x).tolist(),
        "angles": angle_curves(network, test[POINTS_TRAINED], seed=seed),
        "points": [accuracy(network, test[n]) for n in POINTS],
    }
    if isinstance(network, Objects):
        found["neighbours"] = [with_neighbours(network, test[POINTS_TRAINED], other) for other in NEIGHBOURS]
    return found


@lru_cache
def sets(number: int = TRAIN) -> tuple[scans.Scans, dict[int, scans.Scans]]:
    """Scans to train on, and the test scans with each number of `POINTS`."""
    test = scans.make(TEST, max(POINTS), seed=1)
    return scans.make(number, POINTS_TRAINED, seed=0), {n: test.first(n) for n in POINTS}
