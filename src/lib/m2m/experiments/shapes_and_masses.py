"""Small tasks with a known answer for tensor field networks: the eight Tetris shapes, gravity, and moments of inertia.

Tetris: trained on each shape in one orientation, tested on turned and moved copies; each model lacks something.
Gravity and inertia: the learned radial functions beside those of physics, 1/d^2 and (2/3) d^2, -d^2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import masses, tetris
from m2m.messages import graph, radial
from m2m.tensors import tfn

MODELS = ("all paths", "without 1 x 1 -> 1", "degree 0 only", "MLP", "MLP, augmented")
COPIES = 1000  # turned copies of each shape in the test


# --- Tetris ---------------------------------------------------------------------------------------------------------------


class ShapeNetwork(nn.Module):
    """Three convolutions with gates, degrees 0 and 1, and the mean of the last scalars: positions (B, 4, 3) -> logits (B, 8).

    Args:
        cross: keep the paths 1 x 1 -> 1.
        l_max: 1, or 0 for a network of distances only.
    """

    def __init__(self, *, cross: bool = True, l_max: int = 1, channels: int = 8):
        super().__init__()
        self.l_max, width = l_max, {l: channels for l in range(l_max + 1)}
        basis = radial.Gaussians(3.5, 8, start=0.5)
        self.layers = nn.ModuleList()
        for into, out in (({0: 1}, width), (width, width), (width, {0: 16})):
            layer = tfn.Layer(into, out, l_max, basis, hidden=16, neighbours=3.0)
            kept = [path for path in layer.convolution.paths if cross or path != (1, 1, 1)]
            self.layers.append(tfn.Layer(into, out, l_max, basis, hidden=16, neighbours=3.0, paths=kept))
        self.read = nn.Linear(16, len(tetris.NAMES))

    def forward(self, x: Tensor) -> Tensor:
        geometry = tfn.Geometry(x.flatten(0, 1), tetris.edges(len(x)).to(x.device), self.l_max)
        f = {0: x.new_ones(4 * len(x), 1, 1)}
        for layer in self.layers:
            f = layer(f, geometry)
        return self.read(f[0].view(len(x), 4, -1).mean(1))


class Coordinates(nn.Module):
    """A multilayer perceptron on the twelve coordinates, centred and otherwise as they are: (B, 4, 3) -> logits (B, 8)."""

    def __init__(self, hidden: int = 128):
        super().__init__()
        sizes = [nn.Linear(12, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, len(tetris.NAMES))]
        self.network = nn.Sequential(*sizes)

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - x.mean(1, keepdim=True)).flatten(1))


def shape_model(name: str) -> nn.Module:
    """An untrained model of `MODELS`.

    Raises:
        ValueError: an unknown name.
    """
    if name not in MODELS:
        raise ValueError(f"model: got {name!r}, expected one of {list(MODELS)}")
    if name.startswith("MLP"):
        return Coordinates()
    return ShapeNetwork(cross=name != "without 1 x 1 -> 1", l_max=0 if name == "degree 0 only" else 1)


def train_shapes(model: nn.Module, *, augmented: bool = False, steps: int = 150, seed: int = 0) -> training.History:
    """Fit the eight shapes in the one orientation of `tetris.shapes`, or, augmented, in one drawn anew at every step."""
    draw = runtime.generator(seed)

    def loss(model: nn.Module, label: Tensor) -> Tensor:
        x = tetris.turned(8, generator=draw) if augmented else tetris.shapes()[None]
        target = label.expand(len(x), 8).flatten()
        return nn.functional.cross_entropy(model(x[:, label].flatten(0, 1)), target)

    return training.fit(model, torch.arange(8), loss, steps=steps, batch_size=8, lr=0.01, seed=seed, progress=False)


@torch.no_grad()
def confusion(model: nn.Module, copies: int = COPIES, seed: int = 0) -> Tensor:
    """Shares of answers (true shape, answer) on turned and moved copies of every shape, (8, 8), rows sum to 1."""
    x = tetris.turned(copies, generator=runtime.generator(10_000 + seed))
    answer = torch.cat([model(part.flatten(0, 1)).argmax(-1).view(-1, 8) for part in x.split(250)])
    return nn.functional.one_hot(answer, 8).double().mean(0)


# --- Gravity and inertia --------------------------------------------------------------------------------------------------


class Masses:
    """Clouds of n masses for `training.fit`: indices -> positions (B, n, 3), masses (B, n), target."""

    def __init__(self, task: str, samples: int, n: int, seed: int):
        options = {"gravity": dict(apart=0.5), "inertia": dict(apart=0.0, even=True)}[task]
        self.x, self.m = masses.random(samples, n, generator=runtime.generator(seed), **options)
        self.y = masses.gravity(self.x, self.m) if task == "gravity" else masses.inertia(self.x, self.m)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> tuple[Tensor, Tensor, Tensor]:
        return self.x[index], self.m[index], self.y[index]


class Pull(nn.Module):
    """One convolution 0 x 1 -> 1 from masses to accelerations: x (B, n, 3), m (B, n) -> (B, n, 3)."""

    def __init__(self):
        super().__init__()
        self.convolution = tfn.Convolution({0: 1}, {1: 1}, 1, radial.Gaussians(2.0, 16), hidden=64)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        batch = graph.of_sizes([x.shape[1]] * len(x))
        geometry = tfn.Geometry(x.flatten(0, 1), graph.complete(batch), 1)
        return self.convolution({0: m.reshape(-1, 1, 1)}, geometry)[1].reshape(x.shape)


class Moment(nn.Module):
    """One convolution 0 x 0 -> 0 and 0 x 2 -> 2 from masses to a point at the origin: x, m -> (B, 3, 3)."""

    def __init__(self):
        super().__init__()
        self.convolution = tfn.Convolution({0: 1}, {0: 1, 2: 1}, 2, radial.Gaussians(1.2, 8), hidden=64)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        batch, n = len(x), x.shape[1] + 1  # the point comes first in its graph, and only it receives
        place = torch.cat([x.new_zeros(batch, 1, 3), x], 1).flatten(0, 1)
        mass = torch.cat([m.new_zeros(batch, 1), m], 1).reshape(-1, 1, 1)
        centre = torch.arange(0, batch * n, n)
        edge_index = torch.stack([centre.repeat_interleave(n - 1), torch.arange(batch * n).view(batch, n)[:, 1:].flatten()])
        f = self.convolution({0: mass}, tfn.Geometry(place, edge_index, 2))
        return masses.from_degrees({l: value[centre, 0] for l, value in f.items()})


@torch.no_grad()
def learned(model: Pull | Moment, d: Tensor) -> dict[str, Tensor]:
    """What one unit mass at distance d (K,) does, as radial functions: {"pull"}, or {"degree 0", "degree 2"}.

    Read off the outputs: a is pull times r / d, and I is "degree 0" times 1 plus "degree 2" times (r r^T / d^2 - 1 / 3).
    """
    x = torch.stack([d, 0 * d, 0 * d], -1)[:, None]
    if isinstance(model, Pull):
        pair = torch.cat([torch.zeros_like(x), x], 1)
        return {"pull": model(pair, torch.tensor([0.0, 1.0]).expand(len(d), 2))[:, 0, 0]}
    matrix = model(x, torch.ones(len(d), 1))
    trace = matrix.diagonal(dim1=1, dim2=2).sum(-1) / 3
    return {"degree 0": trace, "degree 2": (matrix[:, 0, 0] - trace) * 1.5}


EXACT = {"pull": lambda d: 1 / d**2, "degree 0": lambda d: 2 / 3 * d**2, "degree 2": lambda d: -(d**2)}
STEPS = {"gravity": 1000, "inertia": 1500}
RANGE = {"gravity": (0.5, 1.9), "inertia": (0.1, 0.95)}  # distances that the training clouds have many of


def train_masses(task: str, *, steps: int | None = None, seed: int = 0) -> Pull | Moment:
    """A network fitted to the accelerations of 200 triples of masses, or to the moments of inertia of 300 pairs."""
    torch.manual_seed(seed)
    model, samples, n, lr = (Pull(), 200, 3, 0.05) if task == "gravity" else (Moment(), 300, 2, 0.1)
    loss = lambda model, batch: (model(*batch[:2]) - batch[2]).square().mean()
    data, steps = Masses(task, samples, n, seed), steps or STEPS[task]
    training.fit(model, data, loss, steps=steps, batch_size=None, lr=lr, seed=seed, progress=False)
    return model


def radial_errors(task: str, model: Pull | Moment) -> dict[str, float]:
    """Mean relative and largest absolute error of the learned radial functions over `RANGE`, and relative error on new clouds.

    The new clouds have eight masses, more than the network was trained with.
    """
    d = torch.linspace(*RANGE[task], 100)
    pairs = [(values, EXACT[name](d)) for name, values in learned(model, d).items()]
    x, m, y = Masses(task, 200, 8, 10_000)[:]
    with torch.no_grad():
        more = (model(x, m) - y).norm() / y.norm()
    return {
        "mean_relative": sum(((got - exact).abs() / exact.abs()).mean().item() for got, exact in pairs) / len(pairs),
        "largest": max((got - exact).abs().max().item() for got, exact in pairs),
        "eight_masses": more.item(),
    }


# --- The table ------------------------------------------------------------------------------------------------------------


def tasks(scale: str) -> list[dict]:
    """All models; "cpu" has three seeds, "gpu" ten and more steps for the masses."""
    times, seeds = {"cpu": (1, 3), "gpu": (3, 10)}[scale]
    shape = [dict(task="tetris", model=model, steps=1500 if "aug" in model else 150) for model in MODELS]
    mass = [dict(task=task, model="one convolution", steps=times * steps) for task, steps in STEPS.items()]
    return [settings | dict(seed=seed) for settings in shape + mass for seed in range(seeds)]


def run(task: str, model: str, steps: int, seed: int) -> dict:
    """Accuracy in all orientations and on the mirror pair, or errors of the radial functions."""
    if task != "tetris":
        return radial_errors(task, train_masses(task, steps=steps, seed=seed))
    torch.manual_seed(seed)
    network = shape_model(model)
    history = train_shapes(network, augmented="augmented" in model, steps=steps, seed=seed)
    shares = confusion(network, seed=seed)
    pair = list(tetris.MIRROR_PAIR)
    return {
        "accuracy": shares.diagonal().mean().item(),
        "mirror_pair": shares[pair, pair].mean().item(),
        "others": shares.diagonal()[2:].mean().item(),
        "loss": history.loss[-1],
        "confusion": shares.tolist(),
    }
