"""The ladder's tasks fit together, its measures are those of the N-body experiment, and the losses are what they say."""

import pytest
import torch

from m2m import experiments
from m2m.data import particles
from m2m.experiments import ladder, nbody, steerable_data
from m2m.tensors import ladder as rungs


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """A few systems in place of 7,000, and 2 frames in place of 41."""
    made = tuple(particles.pairs(size, frames=(0, 1), every=20, seed=k) for k, size in enumerate((60, 20, 120)))
    monkeypatch.setattr(nbody, "sets", lambda world: made)
    monkeypatch.setattr(steerable_data, "others", lambda systems: particles.pairs(systems, frames=(0, 1), every=20, seed=5))


def test_the_long_run_contains_the_short_one():
    for module in (ladder, steerable_data):
        short, long = module.tasks("cpu"), module.tasks("gpu")
        assert len({str(task) for task in long}) == len(long) > len(short)
    assert all(task in ladder.tasks("gpu") for task in ladder.tasks("cpu"))
    assert {task["rung"] for task in ladder.tasks("gpu") if task["systems"] == 3000} == set(rungs.RUNGS)
    assert {task["seed"] for task in ladder.tasks("gpu")} == {0, 1, 2}
    assert {"ladder", "steerable_data"} <= set(experiments.names())


def test_training_helps_and_repeats():
    task = {"rung": "SchNet", "systems": 60, "seed": 1, "batch_size": 20, "lr": 5e-3}
    before, after = ladder.run(steps=5, **task), ladder.run(steps=20, **task)
    assert after["mse"] < before["mse"] and after["equivariance"] < 1e-4 and after["milliseconds"] > 0
    again = ladder.run(steps=20, **task)
    assert {**again, "milliseconds": 0} == {**after, "milliseconds": 0}


def test_losses():
    squares, roots, capped = (steerable_data.LOSSES[name] for name in ("squares", "roots", "capped"))
    small, large, c = torch.tensor(1e-8), torch.tensor(100.0), steerable_data.SCALE
    assert (
        squares(large) == 100
        and roots(large) == pytest.approx(c * 10, rel=1e-3)
        and capped(large) == pytest.approx(c**2, rel=1e-3)
    )
    slope = lambda f: torch.autograd.functional.jacobian(f, small).item()
    assert slope(squares) == 1 and slope(capped) == pytest.approx(1, rel=1e-3) and slope(roots) == pytest.approx(0.5, rel=1e-3)


def test_objective_is_the_mean_over_systems():
    data = nbody.sets("isotropic")[0]
    model, batch = rungs.RUNGS["SchNet"](), data[:]
    assert steerable_data.objective("squares")(model, batch).item() == pytest.approx(nbody.loss(model, batch).item(), rel=1e-5)
    by_hand = steerable_data.LOSSES["capped"](nbody.errors(model, data)).mean().item()
    assert steerable_data.objective("capped")(model, batch).item() == pytest.approx(by_hand, rel=1e-4)


def test_pools():
    assert torch.equal(steerable_data.pool(60).x0, nbody.sets("isotropic")[0].x0)
    assert len(steerable_data.pool(80)) == 80 and not torch.equal(
        steerable_data.pool(80).x0[:60], nbody.sets("isotropic")[0].x0
    )


def test_long_task_runs():
    result = steerable_data.run(systems=80, loss="capped", seed=0, steps=3, batch_size=20, lr=5e-3)
    assert {"mse", "median", "worst", "quantiles"} <= result.keys()


def test_refuses():
    with pytest.raises(ValueError, match="rung: got 'MLP'"):
        ladder.train("MLP", systems=60, seed=0, steps=1, batch_size=20, lr=1e-3)
    with pytest.raises(ValueError, match="loss: got 'mae'"):
        steerable_data.objective("mae")
    with pytest.raises(ValueError, match="systems: got 0"):
        steerable_data.pool(0)
