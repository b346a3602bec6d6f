"""The table of forces: its tasks, a short run of every model, the turning and aligning of frames, and what counts as failed."""

import pytest
import torch

from m2m import checks, runtime
from m2m.data import trajectories
from m2m.experiments import forces
from m2m.messages import dynamics
from m2m.tensors import rotations


def test_the_long_run_has_the_live_rows_and_three_seeds_of_each():
    live, long = forces.tasks("cpu"), forces.tasks("gpu")
    assert all(task in long for task in live)
    settings = [tuple(value for key, value in task.items() if key != "seed") for task in long]
    assert {settings.count(one) for one in settings} == {3}


@pytest.mark.parametrize("model", forces.MODELS)
def test_a_short_run(model):
    result = forces.run(model=model, molecule="malonaldehyde", frames=20, steps=3, ps=0.02, seed=0, starts=2)
    numbers = [value for values in result.values() for value in (values if isinstance(values, list) else [values])]
    assert torch.tensor(numbers, dtype=torch.float64).isfinite().all()
    assert len(result["drift"]) == 2
    same = abs(result["turned_energy"] - result["energy"]) < 1e-3 * result["energy"]
    assert same == (model in ("gradient", "vector"))


def test_training_lowers_the_error_and_repeats_to_the_bit():
    first, test = forces.train("gradient", "ethanol", 100, 40)
    untrained = forces.network("gradient", first.scale)
    assert forces.errors(first, test)["force"] < 0.9 * forces.errors(untrained, test)["force"]
    again, _ = forces.train("gradient", "ethanol", 100, 40)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))


def test_training_frames_are_not_near_test_frames():
    train, test = forces.data("ethanol", 700, 0)
    assert train.reference == test.reference and len(train) == 700 and len(test) == 200
    assert not (train.energy[:, None] == test.energy).any()
    with pytest.raises(ValueError, match="frames: got 900"):
        forces.data("ethanol", 900, 0)


def test_aligning_undoes_turning():
    whole = trajectories.load("ethanol").frames(torch.arange(20))
    laid = forces.align(whole)
    turned = forces.align(forces.rotate(whole, rotations.random(20, generator=runtime.generator(0))))
    d = lambda t: torch.cdist(t.x, t.x)
    assert checks.relative_error(d(turned), d(laid)) < 1e-4
    spread = lambda t: (t.x - t.x[0]).square().mean().item()
    assert spread(turned) < 0.5 * spread(forces.rotate(whole, rotations.random(20, generator=runtime.generator(1))))
    work = lambda t: (t.forces * (t.x - t.x.mean(1, keepdim=True))).sum((1, 2))
    assert torch.allclose(work(turned), work(whole), atol=1e-2)  # forces turn along


def test_failed_runs_are_seen():
    test = trajectories.load("malonaldehyde").frames(torch.arange(3)).centred()
    potential = torch.zeros(5, 2, dtype=torch.float64) + test.minimum - test.reference + 5
    potential[3:, 1] -= 20
    run = dynamics.Run(
        torch.arange(5.0), test.x[:1].expand(5, 2, -1, -1).double(), potential, -potential, torch.full((5, 2), 500.0)
    )
    found = forces.summary(run, test)
    assert found["fallen_fs"] == [-1, 3] and found["broken_fs"] == [-1, -1]
    assert found["lowest"] == pytest.approx([5, -15]) and found["drift"] == [0, 0]


def test_unknown_model():
    with pytest.raises(ValueError, match="gradient, vector"):
        forces.network("none")
