"""How many layers do the moons need? Gap to the true density, bridge and stretch of masked autoregressive flows by depth."""

from __future__ import annotations

import numpy
import scipy.ndimage
import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import moons
from m2m.flows import flow

NOISE = 0.05
OFF_MOON = 4 * NOISE  # 4 standard deviations from both half circles
WINDOW = (-2.0, 3.0, -1.5, 2.0)  # x_min, x_max, y_min, y_max


def tasks(scale: str) -> list[dict]:
    """Depths, each with several seeds, and one depth without permutations. "gpu" has all of "cpu", and longer runs."""
    short = {"steps": 1000, "batch_size": 256, "points": 10_000}
    long = {"steps": 3000, "batch_size": 512, "points": 50_000}
    swapped = lambda depths: [{"layers": k, "permute": True} for k in depths]
    variants = swapped([1, 2, 4, 8]) + [{"layers": 4, "permute": False}]
    listed = [{**variant, "seed": seed, **short} for variant in variants for seed in range(3)]
    if scale == "gpu":
        listed += [{**variant, "seed": seed, **long} for variant in swapped([2, 4, 8, 12]) for seed in range(3)]
    return listed


def run(*, layers: int, permute: bool, seed: int, steps: int, batch_size: int, points: int) -> dict:
    """Train one flow and measure it: gap in nats, share of samples off the moons, log-density on the pass, stretch."""
    model, _ = train(layers, permute=permute, seed=seed, steps=steps, batch_size=batch_size, points=points)
    return measure(model)


def train(
    layers: int, *, permute: bool = True, seed: int = 0, steps: int = 1000, batch_size: int = 256, points: int = 10_000
) -> tuple[flow.Flow, training.History]:
    """A masked autoregressive flow trained on the moons by maximum likelihood, on the CPU afterwards."""
    runtime.seed_everything(seed)
    device = runtime.device()
    x = moons.sample(points, NOISE, runtime.generator(1000 + seed)).to(device)
    model = flow.maf(2, layers, (64, 64), permute=permute).to(device)
    history = training.fit(
        model, x, lambda m, batch: -m.log_prob(batch).mean(),
        steps=steps, batch_size=batch_size, lr=5e-3, clip=5.0, average=0.99, seed=seed, progress=False)  # fmt: skip
    return model.cpu(), history


def measure(model: flow.Flow) -> dict:
    """What the chapter's table shows, on the same held-out points for every model."""
    x = held_out()
    with torch.no_grad():
        gap = (moons.log_prob(x, NOISE) - model.log_prob(x)).mean().item()
    samples = model.sample(20_000, runtime.generator(1))
    return {
        "gap": gap,
        "off_moon": off_moon(samples),
        "pass": pass_level(model.log_prob),
        "stretch": stretch(model, runtime.generator(2)),
        "integral": integral(model.log_prob),
    }


def held_out(n: int = 20_000) -> Tensor:
    """Points that no model was trained on, (n, 2)."""
    return moons.sample(n, NOISE, runtime.generator(0))


def off_moon(samples: Tensor) -> float:
    """Share of samples (B, 2) farther than 4 standard deviations from both half circles; in the data it is below 1e-4."""
    return (moons.distance_to_arcs(samples) > OFF_MOON).double().mean().item()


def window(step: float) -> tuple[Tensor, tuple[int, int]]:
    """A grid over WINDOW as points (rows * columns, 2), and (rows, columns)."""
    xs = torch.arange(WINDOW[0], WINDOW[1], step)
    ys = torch.arange(WINDOW[2], WINDOW[3], step)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2), (len(ys), len(xs))


@torch.no_grad()
def integral(log_prob, step: float = 0.02) -> float:
    """int p over WINDOW by a Riemann sum."""
    points, _ = window(step)
    return log_prob(points).double().exp().sum().item() * step * step


@torch.no_grad()
def pass_level(log_prob, step: float = 0.02) -> float:
    """The highest log-density at which one can still walk from moon to moon: the height of the pass between them, in nats."""
    points, shape = window(step)
    level = log_prob(points).reshape(shape).numpy()
    tops = [_nearest(points, centre, shape) for centre in ((0.0, 1.0), (1.0, -0.5))]
    low, high = float(level.min()), float(min(level[top] for top in tops))
    while high - low > 0.01:
        middle = (low + high) / 2
        labels, _ = scipy.ndimage.label(level >= middle, structure=numpy.ones((3, 3)))
        joined = labels[tops[0]] == labels[tops[1]] != 0
        low, high = (middle, high) if joined else (low, middle)
    return low


def _nearest(points: Tensor, centre: tuple[float, float], shape: tuple[int, int]) -> tuple[int, int]:
    index = int(((points - torch.tensor(centre)) ** 2).sum(-1).argmin())
    return index // shape[1], index % shape[1]


def stretch(model: nn.Module, generator: torch.Generator, samples: int = 2000) -> float:
    """The largest singular value of dx/dz over samples: a lower bound of the flow's Lipschitz constant."""
    z = torch.randn(samples, 2, generator=generator).requires_grad_()
    x, _ = model.forward(z)
    rows = [torch.autograd.grad(x[:, i].sum(), z, retain_graph=True)[0] for i in range(2)]
    return torch.linalg.matrix_norm(torch.stack(rows, 1), ord=2).max().item()
