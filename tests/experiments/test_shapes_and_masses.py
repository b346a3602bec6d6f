"""The measures of the experiment on answers that are known, and that its tasks fit together."""

import pytest
import torch
from torch import nn

from m2m import experiments, runtime
from m2m.data import masses, tetris
from m2m.experiments import shapes_and_masses


class Always(nn.Module):
    """Answers by the distances alone, and calls both of the mirror pair by one name: 0.875."""

    def forward(self, x):
        own = torch.cdist(tetris.shapes(), tetris.shapes()).flatten(1).sort(-1).values
        got = torch.cdist(x, x).flatten(1).sort(-1).values
        return -torch.cdist(got, own).round(decimals=2) - 1e-3 * torch.arange(8)


def test_confusion_of_a_known_classifier():
    shares = shapes_and_masses.confusion(Always(), copies=20)
    assert torch.equal(shares.sum(1), torch.ones(8).double())
    assert shares.diagonal().mean() == 0.875 and shares[tetris.MIRROR_PAIR[::-1]] == 1


@pytest.mark.parametrize("name", shapes_and_masses.MODELS)
def test_what_each_model_can_see(name):
    """Logits of turned copies, and of the mirror pair, before any training."""
    model = shapes_and_masses.shape_model(name).double()
    shapes = tetris.shapes(torch.float64)
    copy = tetris.turned(1, generator=runtime.generator(0), dtype=torch.float64)[0]
    turned = (model(copy) - model(shapes)).abs().max().item()
    pair = (model(shapes)[0] - model(shapes)[1]).abs().max().item()
    assert (turned < 1e-10) == (not name.startswith("MLP")) and (turned < 1e-4) == (turned < 1e-10)
    assert (pair < 1e-10) == (name in ("without 1 x 1 -> 1", "degree 0 only"))


def test_augmentation_shows_other_orientations():
    torch.manual_seed(0)
    model, seen = shapes_and_masses.shape_model("MLP"), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    shapes_and_masses.train_shapes(model, steps=2)
    assert len(seen[0]) == 8 and torch.equal(seen[0].sort(0).values, seen[1].sort(0).values)
    shapes_and_masses.train_shapes(model, augmented=True, steps=2)
    assert len(seen[2]) == 64 and not torch.allclose(seen[2].sort(0).values, seen[3].sort(0).values)


@pytest.mark.parametrize("task", ["gravity", "inertia"])
def test_radial_functions_are_read_off_rightly(task, monkeypatch):
    """The laws of physics in place of a network: no error; twice their strength: all errors are seen."""

    class Law(shapes_and_masses.Pull if task == "gravity" else shapes_and_masses.Moment):
        factor = 1.0

        def forward(self, x, m):
            return self.factor * (masses.gravity if task == "gravity" else masses.inertia)(x, m)

    right = shapes_and_masses.radial_errors(task, Law())
    monkeypatch.setattr(Law, "factor", 2.0)
    wrong = shapes_and_masses.radial_errors(task, Law())
    assert max(right.values()) < 1e-5
    assert wrong["mean_relative"] == pytest.approx(1, abs=1e-4) and wrong["eight_masses"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("task", ["gravity", "inertia"])
def test_networks_learn_their_law(task):
    before = shapes_and_masses.radial_errors(task, shapes_and_masses.train_masses(task, steps=1))
    after = shapes_and_masses.radial_errors(task, shapes_and_masses.train_masses(task, steps=120))
    assert after["eight_masses"] < 0.3 * before["eight_masses"]


def test_rows_of_a_few_steps():
    assert len({(t["task"], t["model"], t["seed"]) for t in shapes_and_masses.tasks("cpu")}) == 21
    assert len(shapes_and_masses.tasks("gpu")) == 70
    result = shapes_and_masses.run("tetris", "MLP", steps=2, seed=0)
    assert 0 <= result["accuracy"] <= 1 and len(result["confusion"]) == 8
    assert experiments.names().count("shapes_and_masses") == 1
    with pytest.raises(ValueError, match="model: got 'CNN'"):
        shapes_and_masses.shape_model("CNN")
