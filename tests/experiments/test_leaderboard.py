"""The table of point-cloud VAEs: its networks, what a judge says of models that are known, a row, the tasks."""

import pytest
import torch
from torch import nn

from m2m.clouds import decoders, encoders, latents, vae
from m2m.data import cloud_scaling, shapes
from m2m.experiments import leaderboard

COUNTS = dict(category="chair", train=40, test=6)


@pytest.fixture(scope="module")
def some():
    x, y = shapes.clouds("chair", 40, points=600), shapes.clouds("chair", 6, split="test", points=600)
    return x, y


@pytest.fixture(autouse=True)
def few(monkeypatch, some):
    monkeypatch.setattr(leaderboard, "data", lambda *_: some)


@pytest.mark.parametrize("model", leaderboard.MODELS)
def test_models_have_the_parts_they_are_named_for(model):
    network, plain = leaderboard.build(model, read=20), leaderboard.build("PointNet")
    parts = leaderboard.MODELS[model]
    assert isinstance(network.encoder, encoders.Attention) == ("encoder" in parts)
    assert isinstance(network.posterior, latents.IAF) == ("posterior" in parts)
    assert latents.is_normal(network.prior) == (parts.get("prior") != "realnvp")
    assert isinstance(network.decoder, decoders.MLP) == ("decoder" not in parts)
    for name, kind in parts.items():
        assert type(getattr(network, name)) is not type(getattr(plain, name)) or name == "prior", kind
    again = leaderboard.build(model, read=20)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters()))


def test_a_row(some):
    task = dict(model="IAF without context", read=60, steps=2, seed=0) | COUNTS
    row = leaderboard.run(**task)
    for split in ("train", "test"):
        assert row[f"{split}_nelbo"] == pytest.approx(row[f"{split}_kl"] + row[f"{split}_reconstruction"])
        assert row[f"{split}_chamfer"] == pytest.approx(row[f"{split}_reconstruction"], rel=1e-4)
        for route in ("generation", "generation_by_posterior_flow"):
            assert 0 <= row[f"{split}_{route}_jsd"] <= 1 and 0 <= row[f"{split}_{route}_one_nna"] <= 1
    assert row["generation_spread"] > 0 and row["parameters"] > 1e5
    again = leaderboard.run(**task)
    assert {k: v for k, v in again.items() if "seconds" not in k} == {k: v for k, v in row.items() if "seconds" not in k}
    assert not any("posterior_flow" in key for key in leaderboard.run(**task | {"model": "PointNet"}))


def test_a_prior_fitted_afterwards(some):
    x = cloud_scaling.standardisation(some[0]).apply(some[0])[:, :512].repeat(4, 1, 1)
    plain, fitted = (leaderboard.fit(model, x, steps=2, read=60) for model in ("PointNet", "flow prior afterwards"))
    assert latents.is_normal(plain.prior) and not latents.is_normal(fitted.prior)
    torch.testing.assert_close(plain.encode(x), fitted.encode(x), rtol=0, atol=0)  # the rest is the same network


def test_a_density_is_judged_too():
    row = leaderboard.run(model="all combined", read=30, steps=1, seed=0, **COUNTS)
    assert row["test_reconstruction"] > 1000 and abs(row["test_chamfer"] - row["test_reconstruction"]) > 1


def test_real_clouds():
    resampled, other = (leaderboard.run(model=model, read=512, steps=0, seed=0, **COUNTS) for model in leaderboard.REAL[::-1])
    assert resampled["test_generation_coverage"] == 1.0 and resampled["test_generation_one_nna"] == 0.0
    assert other["test_generation_coverage"] < 1.0 and other["test_generation_mmd"] > resampled["test_generation_mmd"]
    assert resampled["test_chamfer"] > 0


class Cheat(nn.Module):
    """A decoder that gives the clouds it was built with, the n-th for a latent whose first number is n."""

    def __init__(self, x):
        super().__init__()
        self.x = nn.Parameter(x)

    def forward(self, z):
        return self.x[z[:, 0].long() % len(self.x)]


def test_a_decoder_that_knows_the_answers_is_seen(some):
    x = some[1][:, :512]
    scaling = cloud_scaling.standardisation(some[0])

    class Number(nn.Module):
        def forward(self, y):
            h = torch.full((len(y), 2 * leaderboard.LATENT), -20.0)
            h[:, 0] = torch.cdist(y.flatten(1), scaling.apply(x).flatten(1)).argmin(1) + 0.5
            return h

    network = vae.VAE(Number(), latents.Gaussian(leaderboard.LATENT), Cheat(scaling.apply(x)))
    with torch.no_grad():
        right = leaderboard.rebuilt(network, scaling, x, 0)
        network.decoder.x.copy_(scaling.apply(x).flip(0))
        wrong = leaderboard.rebuilt(network, scaling, x, 0)
    assert right["chamfer"] < 1e-3 and right["reconstruction_jsd"] < 1e-3 and right["reconstruction_coverage"] == 1.0
    assert wrong["chamfer"] > 10  # the same clouds, each for another: the metrics of sets do not see it
    assert wrong["reconstruction_jsd"] < 1e-3 and wrong["reconstruction_coverage"] == 1.0


def test_what_codes_should_not_depend_on(some):
    x = some[0][:12]
    build = lambda over: leaderboard.build(f"transformer over {over}", read=30)
    over = {name: leaderboard.properties(build(name), x) for name in ("points", "the batch")}
    for key in ("change_by_order", "change_by_mates", "change_alone"):
        assert over["points"][key] < 1e-3 < 1e-2 < over["the batch"][key]
    assert over["points"]["active_dimensions"] <= leaderboard.LATENT


def test_spread():
    within = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])
    assert leaderboard.spread(within) == pytest.approx(2.0)


def test_tasks():
    cpu, gpu = leaderboard.tasks("cpu"), leaderboard.tasks("gpu")
    assert all(task in gpu for task in cpu) and len({str(task) for task in gpu}) == len(gpu)
    assert all(task["model"] in (*leaderboard.MODELS, *leaderboard.REAL) for task in gpu)
    seeds = [task["seed"] for task in gpu[len(cpu) :]]
    assert seeds == sorted(seeds) and set(seeds) == {0, 1, 2}
    assert {task["category"] for task in gpu} == set(leaderboard.CATEGORIES)
    with pytest.raises(ValueError, match="model: got 'GAN', expected one of PointNet"):
        leaderboard.build("GAN")
