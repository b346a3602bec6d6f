"""Handwritten digits in bits per dimension: flows of equal size against Gaussians.

Every flow is z -> core -> linear map -> histogram marginals -> x. The last two are fitted in closed form, and every core
starts as the identity (in Glow's case as a rotation, which a normal distribution does not feel). So all flows start from the
same density, a full-covariance Gaussian seen through one-dimensional histograms. Core and linear map are then trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m import runtime, training
from m2m.data import digits
from m2m.flows import bijectors, flow

D, LEVELS = digits.DIM, digits.LEVELS
BASELINES = ("uniform", "histograms", "gaussian", "logit gaussian", "copula")
FLOWS = ("made", "maf", "iaf", "realnvp", "spline", "glow")
RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
WEIGHT_DECAY = 1.0  # large, for there are only 1,204 training images
SYMBOLS = "0123456789abcdefg"  # a grey level as one character, so that samples fit into a results file


def tasks(scale: str) -> list[dict]:
    """The baselines once, every flow with each seed."""
    flows, seeds, size = {
        "cpu": (FLOWS, (0,), {"steps": 250, "batch_size": 128, "lr": 5e-3}),
        "gpu": (FLOWS, (0, 1, 2), {"steps": 2000, "batch_size": 256, "lr": 3e-3}),
    }[scale]
    shorter = {"cpu": {"iaf": {"steps": 120}}, "gpu": {}}[scale]  # a step of IAF costs 64 others
    baselines = [{"model": name, "seed": 0} for name in BASELINES]
    return baselines + [{"model": name, "seed": seed, **size, **shorter.get(name, {})} for name in flows for seed in seeds]


def run(*, model: str, seed: int, **fit) -> dict:
    """Bits per dimension on all three splits, samples, the ridge or the step that validation chose."""
    trained, found = train(model, seed=seed, **fit)
    return found | measure(trained)


def train(model: str, *, seed: int = 0, progress: bool = False, **fit) -> tuple[flow.Flow, dict]:
    """A model by its name, fitted, and how that went; `fit` are the steps, batch_size and lr of a flow.

    Raises:
        ValueError: an unknown name.
    """
    if model in BASELINES:
        return baseline(model)
    if model not in FLOWS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(BASELINES + FLOWS)}")
    built = build(model, seed)
    start = bits(built, "test", draws=8)
    history = _fit(built, seed=seed, progress=progress, **fit)
    return built, {"start": start, "step": history.best_step(), "steps_run": history.step[-1], "parameters": parameters(built)}


# --- What all flows share -------------------------------------------------------------------------------------------------


class Histograms(nn.Module):
    """D one-dimensional distributions, uniform within each of 17 grey levels: x = F^-1(Phi(z)), with F piecewise linear.

    Args:
        pixels: training images (N, D) to count; every level gets `smooth` extra counts, so none has probability zero.
    """

    def __init__(self, pixels: Tensor, smooth: float = 0.1):
        super().__init__()
        counts = functional.one_hot(pixels, LEVELS).double().sum(0) + smooth
        p = counts / counts.sum(-1, keepdim=True)
        self.register_buffer("p", p.float())
        self.register_buffer("below", functional.pad(p.cumsum(-1), (1, 0)).float())

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        level = (x * LEVELS).long().clamp(0, LEVELS - 1)
        p = self._at(self.p, level)
        u = self._at(self.below, level) + p * (x * LEVELS - level)
        z = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))  # Phi^-1 of 0 is infinite; one draw in a million feels this
        return z, (p * LEVELS).log().sum(-1) - flow.standard_normal(z)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u = torch.special.ndtr(z)
        edges = self.below[:, 1:-1].expand(*z.shape, -1).contiguous()
        level = torch.searchsorted(edges, u[..., None].contiguous(), right=True)[..., 0]
        p = self._at(self.p, level)
        within = ((u - self._at(self.below, level)) / p).clamp(0, 1 - 2**-24)
        return (level + within) / LEVELS, flow.standard_normal(z) - (p * LEVELS).log().sum(-1)

    @staticmethod
    def _at(table: Tensor, level: Tensor) -> Tensor:
        return table.expand(*level.shape, -1).gather(-1, level[..., None])[..., 0]


class Unchanged(nn.Module):
    """x = z."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z, z.new_zeros(z.shape[:-1])

    inverse = forward


def marginals(name: str) -> nn.Module:
    """What lies between the Gaussian and the pixels."""
    if name == "histograms":
        return Histograms(digits.load("train")[0])
    return {"none": Unchanged, "logit": bijectors.Sigmoid}[name]()


@torch.no_grad()
def moments(outer: nn.Module, draws: int = 20) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of the training images on the Gaussian's side of `outer`, over dequantisation noise."""
    pixels, noise = digits.load("train")[0], runtime.generator(1)
    z = torch.cat([outer.inverse(digits.dequantise(pixels, noise))[0] for _ in range(draws)]).double()
    return z.mean(0), torch.cov(z.T)


def gaussian(outer: nn.Module, full: bool = True) -> tuple[flow.Flow, float]:
    """The maximum-likelihood Gaussian under `outer`, with the ridge that the validation images like best.

    Its linear map is the Cholesky factor. As long as it stays triangular, a MADE before it is a MADE on the pixels themselves;
    trained further, it mixes them.
    """
    mean, covariance = moments(outer)
    if not full:
        covariance = covariance.diagonal().diag()
    candidates = []
    for ridge in RIDGES:
        factor = torch.linalg.cholesky(covariance + ridge * torch.eye(D, dtype=torch.float64))
        candidates.append(flow.Flow(D, [bijectors.Linear(D, factor, mean), outer]))
    values = [bits(candidate, "validation") for candidate in candidates]
    best = min(range(len(RIDGES)), key=values.__getitem__)
    return candidates[best], RIDGES[best]


class Uniform(flow.Flow):
    """The uniform density on the unit cube, and so log2 17 bits for every image."""

    def __init__(self):
        super().__init__(D, [])

    def log_prob(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(n, D, generator=generator)


def baseline(name: str) -> tuple[flow.Flow, dict]:
    """A density without a network."""
    if name == "uniform":
        return Uniform(), {"parameters": 0}
    if name == "histograms":
        return flow.Flow(D, [marginals("histograms")]), {"parameters": D * (LEVELS - 1)}
    model, ridge = gaussian(marginals({"gaussian": "none", "logit gaussian": "logit", "copula": "histograms"}[name]))
    return model, {"ridge": ridge, "parameters": parameters(model) + (D * (LEVELS - 1) if name == "copula" else 0)}


# --- Flows ----------------------------------------------------------------------------------------------------------------


def build(name: str, seed: int = 0) -> flow.Flow:
    """An untrained flow: its core, each of about 50,000 parameters, on the common start."""
    start, _ = gaussian(marginals("histograms"))
    runtime.seed_everything(seed)
    return flow.Flow(D, [*core(name), *start.chain])


def core(name: str) -> Sequence[nn.Module]:
    """The part that is learned from the identity on, in the order in which z meets it."""
    model = {
        "made": lambda: flow.maf(D, 1, (256,)),
        "maf": lambda: flow.maf(D, 2, (128,)),
        "iaf": lambda: flow.iaf(D, 2, (128,)),
        "realnvp": lambda: flow.realnvp(D, 4, (128,)),
        "spline": lambda: flow.maf(D, 1, (64,), bijectors.SplineTransform(bins=4)),
        "glow": lambda: flow.glow(D, 4, (48,)),
    }[name]()
    return list(model.chain)


def parameters(model: nn.Module) -> int:
    """Weights and biases; of a masked layer all, though half are held at zero."""
    return sum(p.numel() for p in model.parameters())


def _fit(model: flow.Flow, *, seed: int, steps: int, batch_size: int, lr: float, progress: bool) -> training.History:
    """Maximum likelihood with fresh dequantisation noise at every step; weight decay on the networks only."""
    nets = [p for name, p in model.named_parameters() if ".net." in name]
    rest = [p for name, p in model.named_parameters() if ".net." not in name]
    groups = [{"params": nets, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    return training.fit(
        model, digits.load("train")[0], lambda m, pixels: -m.log_prob(digits.dequantise(pixels)).mean(),
        steps=steps, batch_size=batch_size, lr=lr, optimizer=lambda _, lr: torch.optim.AdamW(groups, lr=lr), clip=5.0, average=0.99,
        validate=lambda m: bits(m, "validation", draws=2), validate_every=max(1, steps // 20), patience=4, seed=seed,
        device=runtime.device(), progress=progress)  # fmt: skip


# --- Measuring ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def bits(model: flow.Flow, split: str, draws: int = 4) -> float:
    """Bits per dimension of a split, the mean over `draws` dequantisations: an upper bound of that of the discrete images."""
    pixels, noise = digits.load(split)[0], runtime.generator(2)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    nats = [model.log_prob(digits.dequantise(pixels, noise).to(device)).double().mean().item() for _ in range(draws)]
    return digits.bits_per_dim(math.fsum(nats) / draws)


def measure(model: flow.Flow) -> dict:
    """What the chapter's table and its pictures show."""
    model = model.cpu()
    splits = {name: bits(model, name, draws=8) for name in digits.SPLITS}
    x = model.sample(20, runtime.generator(3))
    outside = ((x < 0) | (x > 1)).double().mean().item()
    return {**splits, "outside": outside, "samples": encode(x)}


def encode(x: Tensor) -> str:
    """Images (N, 64) with values in [0, 1] as one character a pixel; what lies outside is shown as black or white."""
    levels = (x * LEVELS).floor().clamp(0, LEVELS - 1).long()
    return "".join(SYMBOLS[level] for level in levels.flatten().tolist())


def decode(text: str) -> Tensor:
    """Images (N, 8, 8) of whole numbers 0 .. 16 from `encode`'s text."""
    return torch.tensor([SYMBOLS.index(symbol) for symbol in text]).view(-1, 8, 8)
