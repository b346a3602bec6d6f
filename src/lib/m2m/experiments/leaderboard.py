"""Point-cloud VAEs under one set of metrics, in the layout of a study that has been published: which of its conclusions hold.

Each model changes one part of a plain VAE (PointNet, Gaussian posterior, N(0, I), MLP): the encoder, the posterior, the prior
or the decoder; one changes all. Each has as many steps as fit into the same processor time; some are trained for the same
number of steps too. Each row has both sides of the study's table, training and test clouds, reconstruction and generation.

Clouds of 512 points, 1,000 to train on and 200 to test on, of chairs, cars and airplanes that are generated here. Trained
with coordinates of deviation 1, judged in the unit sphere.
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch
from torch import Tensor, nn

from m2m import runtime
from m2m.clouds import decoders, encoders, latents, metrics, vae
from m2m.clouds.distances import chamfer
from m2m.data import cloud_scaling, shapes
from m2m.data.cloud_scaling import Scaling

CATEGORIES = ("chair", "car", "airplane")  # the study's
LATENT, POINTS, BATCH = 64, 512, 32
ROUTES = ("prior", "posterior flow")

# What differs from a PointNet encoder, a Gaussian posterior, N(0, I) and an MLP
MODELS = {
    "PointNet": {},
    "transformer over points": {"encoder": "points"},
    "transformer over the batch": {"encoder": "batch"},  # as the study's code has it
    "transformer over neighbours": {"encoder": "neighbours"},
    "IAF with context": {"posterior": "IAF with context"},
    "IAF without context": {"posterior": "IAF without context"},  # likewise
    "flow prior": {"prior": "realnvp"},
    "8 groups": {"decoder": "groups"},
    "MADE": {"decoder": "MADE"},
    "all combined": {"encoder": "neighbours", "posterior": "IAF with context", "prior": "realnvp", "decoder": "MADE"},
    "all but MADE": {"encoder": "neighbours", "posterior": "IAF with context", "prior": "realnvp", "decoder": "groups"},
}
REAL = ("real against real", "resampled")  # what a perfect model would get, and copies of the test shapes


# --- Networks and data ------------------------------------------------------------------------------------------------------


def build(model: str, *, read: int = POINTS, seed: int = 0) -> vae.VAE:
    """An untrained VAE of `MODELS`, whose encoder, if it is a transformer, reads the first `read` points of a cloud."""
    if model not in MODELS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(MODELS)}")
    runtime.seed_everything(seed)
    parts = MODELS[model]
    posterior = _posterior(parts.get("posterior", "Gaussian"))
    prior = latents.prior(parts.get("prior", "normal"), LATENT)
    encoder = _encoder(parts.get("encoder", "PointNet"), posterior.inputs, read)
    return vae.VAE(encoder, posterior, _decoder(parts.get("decoder", "MLP")), prior)


def _encoder(kind: str, out: int, read: int) -> nn.Module:
    if kind == "PointNet":
        return encoders.PointNet(out, point=(64, 128, 256), points=read)
    return encoders.Attention(out, over=kind, points=read)


def _posterior(kind: str) -> nn.Module:
    if kind == "Gaussian":
        return latents.Gaussian(LATENT)
    return latents.IAF(LATENT, steps=2, hidden=(128,), context=64 if kind == "IAF with context" else 0)


def _decoder(kind: str) -> nn.Module:
    if kind == "groups":
        return decoders.Groups(LATENT, POINTS, groups=8)
    return decoders.Autoregressive(LATENT, POINTS) if kind == "MADE" else decoders.MLP(LATENT, POINTS)


@lru_cache
def data(category: str, train: int, test: int) -> tuple[Tensor, Tensor]:
    """Clouds of 2,048 points in their unit spheres: to train on, of which each step draws 512 points, and to test on."""
    return shapes.clouds(category, train), shapes.clouds(category, test, split="test")


def fit(model: str, x: Tensor, *, steps: int, read: int = POINTS, seed: int = 0) -> vae.VAE:
    """A VAE of `MODELS` fitted to scaled clouds. beta is 0.3 beside a Chamfer distance, and 1 beside a likelihood."""
    network = build(model, read=read, seed=seed)
    vae.train(network, x, steps=steps, beta=1.0 if network.is_density else 0.3, points=POINTS, batch_size=BATCH, seed=seed,
              progress=False)  # fmt: skip
    return network


# --- What is measured -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def judge(network: vae.VAE, scaling: Scaling, sets: dict[str, Tensor], seed: int = 0) -> dict[str, float]:
    """Everything about a trained VAE, for sets of equally many clouds (S, 512, 3) in the unit sphere, "train" and "test"."""
    some = sets["test"]
    found = {f"{split}_{key}": value for split, x in sets.items() for key, value in rebuilt(network, scaling, x, seed).items()}
    for route in ROUTES if isinstance(network.posterior, latents.IAF) and network.posterior.context == 0 else ROUTES[:1]:
        clouds = scaling.undo(network.sample(len(some), runtime.generator(seed), route=route))
        name = "generation" if route == "prior" else "generation_by_posterior_flow"
        within = pairs(clouds)
        found[f"{name}_spread"] = spread(within)
        for split, x in sets.items():
            found |= {f"{split}_{name}_{key}": value for key, value in against(clouds, x, within).items()}
    return found | properties(network, scaling.apply(some))


def rebuilt(network: vae.VAE, scaling: Scaling, x: Tensor, seed: int) -> dict[str, float]:
    """Reconstruction of clouds from latents of their posteriors: the terms of the loss, Chamfer distance, JSD, COV, MMD.

    `reconstruction` is what the model is trained by; `chamfer` is the same quantity for all of them, the weighted distance.
    """
    noise = torch.randn(len(x), LATENT, generator=runtime.generator(10_000 + seed))
    clouds, terms, y = [], [], scaling.apply(x)
    for part, own in zip(y.split(BATCH), noise.split(BATCH)):  # as many at a time as in training
        clouds.append(network.reconstruct(part, own, runtime.generator(seed)))
        terms.append(network.terms(part, noise=own))
    clouds = torch.cat(clouds)
    loss, kl = (torch.cat(values).mean().item() for values in zip(*terms))
    distance = vae.WEIGHT * chamfer(clouds, y, reduction="mean", squared=True).mean().item()
    shown = {f"reconstruction_{key}": value for key, value in against(scaling.undo(clouds), x).items()}
    return {"nelbo": loss + kl, "kl": kl, "reconstruction": loss, "chamfer": distance} | shown


def against(clouds: Tensor, real: Tensor, within: Tensor | None = None) -> dict[str, float]:
    """JSD, coverage and MMD of clouds against real ones; 1-NNA too if the distances within the clouds are given."""
    between = pairs(clouds, real)
    found = {"jsd": metrics.jsd(clouds, real), "coverage": metrics.coverage(between), "mmd": metrics.mmd(between)}
    return found if within is None else found | {"one_nna": metrics.one_nna(between, within, pairs(real))}


def pairs(*sets: Tensor) -> Tensor:
    """Chamfer distances of all pairs, means of squares."""
    return metrics.chamfer_pairs(*sets, reduction="mean", squared=True)


def spread(within: Tensor) -> float:
    """Mean distance of two clouds of a set, from the distances within it."""
    return (within.sum() / (len(within) * (len(within) - 1))).item()


@torch.no_grad()
def properties(network: vae.VAE, x: Tensor, seed: int = 0) -> dict[str, float]:
    """By how much codes change that should not, as shares of how much codes of different clouds differ; active dimensions.

    order: the points of each cloud in another order. mates: half of the batch replaced. alone: a cloud at a time.
    """
    x, draw = x[:, : getattr(network.encoder, "points", None)], runtime.generator(seed)
    n = min(BATCH, len(x) // 3 * 2)
    batch, other = x[:n], torch.cat([x[: n // 2], x[n : n + n // 2]])
    order = torch.rand(batch.shape[:2], generator=draw).argsort(1)[..., None].expand_as(batch)
    code = network.encode(batch)
    apart = (code - code.mean(0)).norm(dim=-1).mean()
    share = lambda new: ((new - code[: len(new)]).norm(dim=-1).mean() / apart).item()
    return {
        "change_by_order": share(network.encode(batch.gather(1, order))),
        "change_by_mates": share(network.encode(other)[: n // 2]),
        "change_alone": share(torch.cat([network.encode(cloud[None]) for cloud in batch])),
        "active_dimensions": int((torch.cat([network.encode(part) for part in x.split(BATCH)]).var(0) > 0.01).sum()),
    }


def reference(model: str, category: str, sets: dict[str, Tensor], seed: int) -> dict[str, float]:
    """The metrics of real clouds in place of generated ones: other shapes, or other points of the test shapes."""
    n = len(sets["test"])
    if model == "resampled":
        clouds = shapes.clouds(category, n, split="test", points=POINTS, draw=1 + seed)
    else:
        clouds = shapes.clouds(category, n, split="validation", points=POINTS, first=n * seed)
    within = pairs(clouds)
    found = {f"{split}_generation_{k}": v for split, x in sets.items() for k, v in against(clouds, x, within).items()}
    scaling = cloud_scaling.standardisation(data(category, len(sets["train"]), n)[0])
    if model == "resampled":
        same = chamfer(scaling.apply(clouds), scaling.apply(sets["test"]), reduction="mean", squared=True)
        found["test_chamfer"] = vae.WEIGHT * same.mean().item()
    return found | {"generation_spread": spread(within)}


# --- The table --------------------------------------------------------------------------------------------------------------

PART = 128  # points of which a transformer's cost is near a PointNet's of all

# Points that the encoder reads, and steps of about 100 s of processor time on one core of the machine that made the table
EQUAL_TIME = [
    ("PointNet", POINTS, 1350),
    ("flow prior", POINTS, 1100),
    ("transformer over points", PART, 880),
    ("transformer over the batch", PART, 1150),
    ("transformer over neighbours", PART, 800),
    ("IAF with context", POINTS, 1250),
    ("IAF without context", POINTS, 1250),
    ("8 groups", POINTS, 1050),
    ("MADE", POINTS, 1200),
    ("all combined", PART, 700),
    ("all but MADE", PART, 700),
    ("transformer over points", POINTS, 120),
]
LONGER = [("flow prior", POINTS, 3300)]
EQUAL_STEPS = [
    (model, read, 700)
    for model, read in [
        ("PointNet", PART), ("transformer over points", PART), ("transformer over the batch", PART), ("PointNet", POINTS),
        ("8 groups", POINTS),
    ]
]  # fmt: skip
SHORT = [("PointNet", POINTS, 150), ("flow prior", POINTS, 150), ("transformer over the batch", PART, 150)]


def tasks(scale: str) -> list[dict]:
    """ "cpu": three models for some seconds on fewer chairs, and real ones. "gpu" has that too, and the table, a seed after
    the other: what is reached by real clouds, all models at equal time, longer, and at equal steps."""
    few = dict(category="chair", train=300, test=60, seed=0)
    small = [dict(model=model, read=read, steps=steps) | few for model, read, steps in SHORT]
    small += [dict(model=model, read=POINTS, steps=0) | few for model in REAL]
    if scale == "cpu":
        return small
    rows = [(model, POINTS, 0) for model in REAL] + EQUAL_TIME + LONGER + EQUAL_STEPS
    return small + [
        dict(model=model, read=read, steps=steps, category=category, train=1000, test=200, seed=seed)
        for seed in range(3)
        for model, read, steps in rows
        for category in CATEGORIES
    ]


def run(model: str, read: int, steps: int, category: str, train: int, test: int, seed: int) -> dict:
    """What `judge` or `reference` says, for sets of `test` clouds; seconds and processor seconds of the training, parameters."""
    x, y = data(category, train, test)
    sets = {"train": x[:test, :POINTS], "test": y[:, :POINTS]}
    if model in REAL:
        return reference(model, category, sets, seed)
    scaling = cloud_scaling.standardisation(x)
    started, spent = time.perf_counter(), time.process_time()
    network = fit(model, scaling.apply(x), steps=steps, read=read, seed=seed)
    spent, started = time.process_time() - spent, time.perf_counter() - started
    counted = {"processor_seconds": spent, "training_seconds": started}
    return counted | {"parameters": sum(p.numel() for p in network.parameters())} | judge(network, scaling, sets, seed)
