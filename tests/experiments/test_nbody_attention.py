"""The measures of the attention experiment on predictors whose answer is known, and that its networks and tasks fit."""

from functools import lru_cache

import pytest
import torch
from torch import nn

from m2m import experiments, runtime
from m2m.data import particles
from m2m.experiments import nbody_attention as table


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    monkeypatch.setattr(table, "data", lambda world: small())


@lru_cache
def small():
    return tuple(particles.pairs(size, frames=(0, 1), every=20, seed=size) for size in (120, 100))


class Shifted(nn.Module):
    """The truth, positions off by 0.1 along x in the first tenth of the systems; velocities off by 0.2 in all."""

    def forward(self, batch):
        first = (batch.batch < batch.batch.max() // 10 + 1)[:, None]
        return batch.x1 + first * torch.tensor([0.1, 0.0, 0.0]), batch.v1 + 0.2


def test_measures_of_a_known_predictor():
    got = table.measure(Shifted(), "walls")
    assert got["x_mse"] == pytest.approx(0.01 / 3 / 10, rel=1e-3) and got["x_median"] == 0.0
    assert got["x_worst"] == pytest.approx(0.01 / 3, rel=1e-3) and got["x_share"] == pytest.approx(0.5)
    assert got["v_mse"] == pytest.approx(0.04, rel=1e-3) and got["v_share"] == pytest.approx(0.05, rel=1e-3)


def test_equivariance_is_seen_and_its_lack_too():
    batch = table.data("walls")[1][torch.arange(20)]
    for name, make in table.NETWORKS.items():
        torch.manual_seed(0)
        x, v = table.equivariance(make(0.5), batch)
        assert (max(x, v) > 1e-2) if name in ("deep set", "set transformer") else (max(x, v) < 1e-6), name


def test_the_networks_have_about_equally_many_parameters():
    sizes = [sum(p.numel() for p in table.NETWORKS[name](0.5).parameters()) for name in table.PUBLISHED if name != "at rest"]
    assert max(sizes) < 1.15 * min(sizes)


@pytest.mark.parametrize("name", table.NETWORKS)
def test_every_network_trains(name):
    before = table.train(name, seed=0, steps=1, batch_size=10, lr=1e-9)
    batch = table.data("walls")[1][torch.arange(20)]
    x, v = before(batch)
    assert x.shape == v.shape == batch.x0.shape and x.isfinite().all()
    if name not in table.UNTRAINED:
        after = table.train(name, seed=0, steps=3, batch_size=10)
        assert not torch.equal(after(batch)[0], x)


def test_a_set_network_treats_systems_apart_and_particles_alike():
    torch.manual_seed(0)
    model, test = table.NETWORKS["set transformer"](0.5), table.data("walls")[1]
    whole = model(test[torch.arange(4)])[0]
    assert torch.allclose(whole[10:15], model(test[torch.arange(2, 3)])[0], atol=1e-6)
    order = torch.randperm(5, generator=runtime.generator(0))
    moved = particles.Pairs(test.x0[:1, order], test.v0[:1, order], test.x1[:1], test.v1[:1], test.q[:1, order])
    assert torch.allclose(model(moved[:])[0], whole[:5][order], atol=1e-6)


def test_tasks():
    long = table.tasks("gpu")
    assert {(task["world"], task["model"]) for task in long} == {("walls", name) for name in table.NETWORKS} | {
        ("free", "se3 transformer")
    }
    assert all(
        len({t["seed"] for t in long if t["model"] == name}) == 3 for name in set(table.NETWORKS) - set(table.UNTRAINED)
    )
    assert "nbody_attention" in experiments.names() and len(table.tasks("cpu")) == 1
