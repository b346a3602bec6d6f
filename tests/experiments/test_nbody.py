"""The measures of the N-body experiment on predictors whose answer is known, and that its tasks fit together."""

import pytest
import torch
from torch import nn

from m2m import experiments
from m2m.data import particles
from m2m.experiments import nbody
from m2m.messages import egnn


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """A few systems in place of 7,000, and 2 frames in place of 41."""
    made = {}

    def sets(world):
        if world not in made:
            stretch = nbody.STRETCH[world]
            made[world] = tuple(
                particles.pairs(size, frames=(0, 1), every=20, stretch=stretch, seed=k) for k, size in enumerate((60, 20, 200))
            )
        return made[world]

    monkeypatch.setattr(nbody, "sets", sets)


class Shifted(nn.Module):
    """The truth plus 0.1 along x: an error of 0.01 / 3 in every system, and no equivariance."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.data = nbody.sets("isotropic")[2]

    def forward(self, x, v, edge_index, a):
        return x + v + x.new_tensor([0.1, 0.0, 0.0]), v


def test_errors_of_a_known_predictor():
    data = particles.Pairs(*(torch.zeros(7, 5, 3) for _ in range(4)), torch.ones(7, 5))
    assert torch.allclose(nbody.errors(Shifted(), data), torch.full((7,), 0.01 / 3).double())


def test_measure_sees_what_is_not_equivariant():
    right, broken = nbody.measure(egnn.EGNN(8, 1), "isotropic"), nbody.measure(Shifted(), "isotropic")
    assert right["equivariance"] < 1e-4 < 1e-2 < broken["equivariance"]
    assert right["turned"] == pytest.approx(right["mse"], rel=1e-3)
    assert right["quantiles"][10] == pytest.approx(right["median"]) and len(right["quantiles"]) == len(nbody.LEVELS)
    assert right["quantiles"] == sorted(right["quantiles"])


def test_worst_share():
    assert nbody.worst_share(torch.ones(100)) == pytest.approx(0.05)
    assert nbody.worst_share(torch.cat([torch.zeros(95), torch.ones(5)])) == 1.0
    assert nbody.worst_share(torch.ones(3)) == pytest.approx(1 / 3)


def test_turned_loss_of_an_equivariant_network_is_its_loss():
    batch = nbody.sets("isotropic")[0][torch.arange(10)]
    for model, same in ((egnn.EGNN(8, 1), True), (egnn.GNN(8, 1), False)):
        difference = (nbody.turned_loss(model, batch) - nbody.loss(model, batch)).abs().item()
        assert (difference < 1e-6) == same


def test_linear_finds_the_best_time():
    task = next(task for task in nbody.tasks("cpu") if task["model"] == "linear")
    model, _ = nbody.train(**{key: task[key] for key in ("model", "seed", "steps", "batch_size", "lr")}, systems=60)
    assert model.time.item() == pytest.approx(particles.learned_time(nbody.sets("isotropic")[0]), rel=0.03)


def test_the_long_run_contains_the_short_one():
    short, long = nbody.tasks("cpu"), nbody.tasks("gpu")
    assert all(task in long for task in short if task["world"] == "isotropic") and len(long) > len(short)
    assert {task["systems"] for task in long} == {300, 1000, 3000} and {task["seed"] for task in long} == {0, 1, 2}
    assert "nbody" in experiments.names()


@pytest.mark.parametrize("augment", [False, True])
def test_training_helps_and_repeats(augment):
    task = {"world": "stretched", "model": "gnn", "augment": augment, "systems": 60, "seed": 1, "batch_size": 20, "lr": 4e-3}
    before, after = nbody.run(steps=5, **task), nbody.run(steps=60, **task)
    assert after["mse"] < before["mse"] and nbody.run(steps=60, **task) == after


def test_seeds_take_their_own_slices(monkeypatch):
    seen = []
    monkeypatch.setattr(nbody.training, "fit", lambda model, data, *_, **__: seen.append(data.x0))
    for seed in (0, 1, 2, 3):
        nbody.train("gnn", systems=20, seed=seed)
    assert torch.equal(seen[0], seen[3]) and not torch.equal(seen[0], seen[1])
    assert torch.equal(torch.cat(seen[:3]), nbody.sets("isotropic")[0].x0)
