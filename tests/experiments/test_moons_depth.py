"""The measures of the depth experiment, on densities and maps where the answer is known."""

import pytest
import torch

from m2m import runtime
from m2m.data import moons
from m2m.experiments import moons_depth
from m2m.flows import bijectors, flow


def with_bridge(height):
    """The moons with a strip of the given log-density laid from one to the other."""

    def log_prob(x):
        on_strip = (x[..., 0] - 0.5).abs() < 0.06
        return torch.where(on_strip, moons.log_prob(x).clamp_min(height), moons.log_prob(x))

    return log_prob


def test_the_pass_between_the_true_moons_lies_half_way():
    # An end of a moon is 0.5 from the other moon: half way, 5 standard deviations from each
    assert moons_depth.pass_level(moons.log_prob) == pytest.approx(-12.6, abs=0.3)


@pytest.mark.parametrize("height", [-1.0, -4.0, -9.0])
def test_a_bridge_raises_the_pass_to_its_height(height):
    assert moons_depth.pass_level(with_bridge(height)) == pytest.approx(height, abs=0.02)


def test_the_integral_notices_missing_and_doubled_mass():
    assert moons_depth.integral(moons.log_prob) == pytest.approx(1, abs=1e-4)
    assert moons_depth.integral(lambda x: moons.log_prob(x) + 0.05) > 1.04


def test_hardly_any_data_lie_off_the_moons_and_all_noise_does():
    assert moons_depth.off_moon(moons.sample(100_000, generator=runtime.generator(0))) < 5e-4
    assert moons_depth.off_moon(torch.tensor([[0.5, 0.25], [3.0, 3.0], [0.0, 1.0], [1.0, -0.5]])) == 0.5


def test_the_stretch_of_a_linear_map_is_its_largest_singular_value():
    weight = torch.tensor([[2.0, 1.0], [0.0, 0.5]])
    model = flow.Flow(2, [bijectors.Linear(2, weight)])
    expected = torch.linalg.matrix_norm(weight, ord=2).item()
    assert moons_depth.stretch(model, runtime.generator(0), samples=10) == pytest.approx(expected, rel=1e-5)


def test_the_long_run_contains_the_short_one():
    short, long = moons_depth.tasks("cpu"), moons_depth.tasks("gpu")
    assert all(task in long for task in short) and len(long) > len(short)


def test_a_few_steps_of_training_beat_none():
    task = {"layers": 2, "permute": True, "seed": 0, "batch_size": 128, "points": 1000}
    short, longer = moons_depth.run(steps=1, **task), moons_depth.run(steps=60, **task)
    assert longer["gap"] < short["gap"]
    assert moons_depth.run(steps=60, **task) == longer
