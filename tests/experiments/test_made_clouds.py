"""The experiment behind the chapter on MADE's density of clouds."""

import math

import pytest
import torch

from m2m import experiments
from m2m.data.cloud_scaling import Scaling
from m2m.experiments import made_clouds


def test_rows_of_a_short_run():
    task = dict(category="chair", points=16, hidden=[16], steps=3, seed=0, shapes_train=20, shapes_test=5, drawn=64)
    found = [made_clouds.run(form=form, **task) for form in ("normal", "steps", "stack")]
    assert all(math.isfinite(value) for row in found for value in row.values())
    assert found[0]["nll"] != found[1]["nll"] and found[0]["one normal"] == found[1]["one normal"]
    assert made_clouds.run(form="steps", **task) == found[1]
    assert len(made_clouds.tasks("cpu")) == 6 and "made_clouds" in experiments.names()
    with pytest.raises(ValueError, match="form: got 'flow'"):
        made_clouds.build("flow", 16, (16,))


def test_independent_points_are_what_they_are():
    """Drawn from one normal: its entropy, less log N! for the order that is known."""
    x = torch.randn(400, 64, 3, generator=torch.Generator().manual_seed(0))
    data = made_clouds.Clouds(x[:200], x[200:], Scaling(torch.zeros(3), torch.ones(3)))
    expected = 0.5 * math.log(2 * math.pi * math.e) - math.lgamma(65) / 192
    assert made_clouds.independent(data, 1) == pytest.approx(expected, abs=0.01)


def test_a_new_model_of_normal_steps_is_a_normal_distribution():
    x = torch.randn(200, 16, 3, generator=torch.Generator().manual_seed(0))
    for form in ("normal", "stack"):
        value = made_clouds.nll(made_clouds.build(form, 16, (8,)), x).item()
        assert value == pytest.approx(0.5 * math.log(2 * math.pi) + 0.5 * x.square().mean().item(), rel=1e-5)
