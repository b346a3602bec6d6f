"""Point-cloud VAEs under one set of metrics, in the layout of a study that has been published: which of its conclusions hold.

Each model changes one part of a plain VAE (PointNet, Gaussian posterior, N(0, I), MLP): the encoder, the posterior, the prior
or the decoder; one changes all. Each has as many steps as fit into the same processor time; some are trained for the same
number of steps too. Each row has both sides of the study's table, training and test clouds, reconstruction and generation.

1,000 clouds to train on and 200 to test on, of chairs, cars and airplanes that are generated here. Each step draws 512 points
of each cloud, of which an encoder reads 128: to read all of them leaves a quarter to half of the steps, and less than a tenth
to a transformer. Trained with coordinates of deviation 1, judged in the unit sphere.
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
LATENT, POINTS, READ, BATCH = 64, 512, 128, 32
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
    "flow prior afterwards": {"prior": "afterwards"},  # fitted to the latents of a VAE that was trained with N(0, I)
    "8 groups": {"decoder": "groups"},
    "MADE": {"decoder": "MADE"},
    "all combined": {"encoder": "neighbours", "posterior": "IAF with context", "prior": "realnvp", "decoder": "MADE"},
    "all but MADE": {"encoder": "neighbours", "posterior": "IAF with context", "prior": "realnvp", "decoder": "groups"},
}
REAL = ("real against real", "resampled")  # what a perfect model would get, and copies of the test shapes


# --- Networks and data ------------------------------------------------------------------------------------------------------


def build(model: str, *, read: int = READ, seed: int = 0) -> vae.VAE:
    """An untrained VAE of `MODELS`, whose encoder reads the first `read` points of a cloud."""
    if model not in MODELS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join(MODELS)}")
    runtime.seed_everything(seed)
    parts = MODELS[model]
    posterior = _posterior(parts.get("posterior", "Gaussian"))
    prior = latents.prior("realnvp" if parts.get("prior") == "realnvp" else "normal", LATENT)
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


def fit(model: str, x: Tensor, *, steps: int, read: int = READ, seed: int = 0) -> vae.VAE:
    """A VAE of `MODELS` fitted to scaled clouds x (S, N, 3). beta is 0.3 beside a Chamfer distance, 1 beside a likelihood."""
    network = build(model, read=read, seed=seed)
    vae.train(network, x, steps=steps, beta=1.0 if network.is_density else 0.3, points=POINTS, batch_size=BATCH, seed=seed,
              progress=False)  # fmt: skip
    if MODELS[model].get("prior") == "afterwards":
        vae.fit_prior(network, x, latents.prior("realnvp", LATENT), steps=steps, points=POINTS, seed=seed, progress=False)
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
    """Reconstruction of clouds x (S, 512, 3) from latents: the terms of the loss, Chamfer distance, JSD, COV, MMD.

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
    """JSD, coverage, MMD of clouds (S, N, 3) against real ones (T, M, 3); 1-NNA too, given the distances within (S, S)."""
    between = pairs(clouds, real)
    found = {"jsd": metrics.jsd(clouds, real), "coverage": metrics.coverage(between), "mmd": metrics.mmd(between)}
    return found if within is None else found | {"one_nna": metrics.one_nna(between, within, pairs(real))}


def pairs(*sets: Tensor) -> Tensor:
    """Chamfer distances, means of squares, of all pairs of two sets (S, N, 3) and (T, M, 3): (S, T); of one set: (S, S)."""
    return metrics.chamfer_pairs(*sets, reduction="mean", squared=True)


def spread(within: Tensor) -> float:
    """Mean distance of two clouds of a set, from the distances within it (S, S)."""
    return (within.sum() / (len(within) * (len(within) - 1))).item()


@torch.no_grad()
def properties(network: vae.VAE, x: Tensor, seed: int = 0) -> dict[str, float]:
    """By how much codes change that should not, as shares of how much codes of different clouds differ; active dimensions.

    x: scaled clouds (S, N, 3).
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

# Steps of about 100 s of processor time on one core of the machine that made the table, which did other work beside
EQUAL_TIME = {
    "PointNet": 2700, "flow prior": 2200, "flow prior afterwards": 2300, "IAF with context": 2400, "IAF without context": 2400,
    "8 groups": 2300, "MADE": 2200, "transformer over points": 1150, "transformer over the batch": 1500,
    "transformer over neighbours": 1050, "all combined": 850, "all but MADE": 800,
}  # fmt: skip
# With chairs only: longer; at the steps of the transformer over points; all points read, at equal time again
LONGER = {"flow prior": 6600, "flow prior afterwards": 6600}
EQUAL_STEPS = dict.fromkeys(["PointNet", "8 groups", "transformer over the batch"], 1150)
ALL_POINTS = {"PointNet": 1250, "transformer over points": 120}
SHORT = dict.fromkeys(["PointNet", "flow prior", "transformer over the batch"], 150)


def tasks(scale: str) -> list[dict]:
    """ "cpu": three models for some seconds on fewer chairs, and real ones. "gpu" has that too, and the table, a seed after
    the other: what is reached by real clouds, all models at equal time, and some with chairs alone under other terms."""
    few = dict(category="chair", train=300, test=60, seed=0)
    small = [dict(model=model, read=READ, steps=steps) | few for model, steps in (SHORT | dict.fromkeys(REAL, 0)).items()]
    if scale == "cpu":
        return small
    parts = [(dict.fromkeys(REAL, 0) | EQUAL_TIME, READ, CATEGORIES)]
    parts += [(LONGER, READ, CATEGORIES[:1]), (EQUAL_STEPS, READ, CATEGORIES[:1]), (ALL_POINTS, POINTS, CATEGORIES[:1])]
    return small + [
        dict(model=model, read=read, steps=steps, category=category, train=1000, test=200, seed=seed)
        for seed in range(3)
        for models, read, categories in parts
        for model, steps in models.items()
        for category in categories
    ]


def run(model: str, read: int, steps: int, category: str, train: int, test: int, seed: int) -> dict:
    """What `judge` or `reference` says, for sets of `test` clouds; seconds of the training, parameters."""
    x, y = data(category, train, test)
    sets = {"train": x[:test, :POINTS], "test": y[:, :POINTS]}
    if model in REAL:
        return reference(model, category, sets, seed)
    scaling = cloud_scaling.standardisation(x)
    wall, processor = time.perf_counter(), time.process_time()
    network = fit(model, scaling.apply(x), steps=steps, read=read, seed=seed)
    return {
        "training_seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "parameters": sum(p.numel() for p in network.parameters()),
    } | judge(network, scaling, sets, seed)
