"""Exact likelihoods of sorted point clouds: MADE's and a stack's, with the points drawn independently beside them.

All numbers are nats for each coordinate of the sorted list, of test shapes whose training made them of unit variance, with
normal noise of NOISE on every point: without it parts of the shapes are flat, and no bound holds the densities.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from m2m import runtime, training
from m2m.clouds.decoders import Autoregressive, sort
from m2m.data import cloud_scaling, shapes
from m2m.flows import bijectors, flow

NOISE = 0.02
AXIS = 1  # y, up


class Clouds(NamedTuple):
    """Training and test clouds of one category, and how they were scaled."""

    train: Tensor  # (S, 2048, 3), without noise: each batch draws points and noise anew
    test: Tensor  # (T, N, 3), with noise
    scaling: cloud_scaling.Scaling


def clouds(category: str, points: int, shapes_train: int = 500, shapes_test: int = 200, drawn: int = shapes.POINTS) -> Clouds:
    """Training and test clouds of one category, standardised."""
    train = shapes.clouds(category, shapes_train, points=drawn)
    test = shapes.clouds(category, shapes_test, split="test", points=points)
    scaling = cloud_scaling.standardisation(train)
    return Clouds(scaling.apply(train), noisy(scaling.apply(test), runtime.generator(0)), scaling)


def noisy(x: Tensor, generator: torch.Generator | None = None, noise: float = NOISE) -> Tensor:
    """The clouds (B, N, 3) with normal noise on every point."""
    return x + noise * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def independent(data: Clouds, components: int) -> float:
    """Points drawn one by one from one mixture of normal distributions, then sorted: log p = log N! + sum log f(x_i)."""
    points = data.test.shape[1]
    heap = noisy(data.train[:, :20], runtime.generator(1)).reshape(-1, 3)
    covariance = "diag" if components == 1 else "full"
    mixture = GaussianMixture(components, covariance_type=covariance, random_state=0, max_iter=40, tol=0.01)
    mixture.fit(heap.double().numpy())
    nll = -mixture.score_samples(data.test.reshape(-1, 3).double().numpy()).mean() / 3
    return float(nll) - math.lgamma(points + 1) / (3 * points)


def build(form: str, points: int, hidden: tuple[int, int]) -> torch.nn.Module:
    """"normal" and "steps", a MADE with or without normal steps; "stack", five MADEs, the list turned round between them.

    Raises:
        ValueError: an unknown form.
    """
    if form == "stack":
        return flow.maf(3 * points, layers=5, hidden=hidden, transform=bijectors.AffineTransform(7.0))
    if form not in ("normal", "steps"):
        raise ValueError(f"form: got {form!r}, expected 'normal', 'steps' or 'stack'")
    return Autoregressive(0, points, hidden, steps=AXIS if form == "steps" else None)


def nll(model: torch.nn.Module, x: Tensor) -> Tensor:
    """Nats for each coordinate of clouds (B, N, 3), sorted by height."""
    x = sort(x, AXIS)
    return -model.log_prob(x.flatten(1) if isinstance(model, flow.Flow) else x).mean() / x[0].numel()


def tasks(scale: str) -> list[dict]:
    """Both forms with three seeds, small; at full size these, larger ones, and the study's: 512 points, five layers, one seed."""
    small = _both([64, 64], steps=60)
    if scale == "cpu":
        return small
    return small + _both([512, 512], steps=1000) + [
        dict(category="chair", hidden=[512, 512], form="stack", points=512, steps=400, seed=0)
    ]


def _both(hidden: list[int], steps: int) -> list[dict]:
    some = dict(category="chair", hidden=hidden, points=128, steps=steps)
    return [dict(some, form=form, seed=seed) for form in ("normal", "steps") for seed in range(3)]


def run(category: str, form: str, points: int, hidden: list[int], steps: int, seed: int, **sizes: int) -> dict[str, float]:
    """The model's nats for each coordinate, and those of independent points; `sizes` are passed on to `clouds`."""
    data = clouds(category, points, **sizes)
    runtime.seed_everything(seed)
    model = build(form, points, tuple(hidden))

    def loss(model: torch.nn.Module, x: Tensor) -> Tensor:
        return nll(model, noisy(x[:, torch.randperm(x.shape[1])[:points]]))

    training.fit(model, data.train, loss, steps=steps, batch_size=min(64, len(data.train)), lr=2e-3, clip=5.0, seed=seed)
    with torch.no_grad():
        test = nll(model, data.test).item()
    return {"nll": test, "one normal": independent(data, 1), "64 normals": independent(data, 64)}
