"""Sampling layers: what they leave unchanged, and what their weights are worth."""

import math

import pytest
import torch

from m2m import runtime
from m2m.flows import stochastic


def normal(mean=0.0, sd=1.0, scale=1.0):
    """The log-density of `scale` times a normal distribution in any dimension."""
    return lambda x: (-0.5 * ((x - mean) / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi))).sum(-1) + math.log(scale)


def draws(n, dim=1, seed=0, mean=0.0, sd=1.0):
    return mean + sd * torch.randn(n, dim, generator=runtime.generator(seed), dtype=torch.float64)


def moments_off(x, mean, sd):
    """How far the first two moments are from those of N(mean, sd^2), in standard errors."""
    off = (x.mean() - mean).abs() / sd, ((x - mean).square().mean() / sd**2 - 1).abs() / math.sqrt(2)
    return max(off).item() * math.sqrt(x.numel())


# Metropolis


@pytest.mark.parametrize("step_size", [0.3, 1.0, 3.0])
def test_metropolis_leaves_its_density_unchanged(step_size):
    x = draws(20_000, mean=1.0, sd=0.5)
    after, accepted = stochastic.metropolis(x, normal(1.0, 0.5), steps=10, step_size=step_size, generator=runtime.generator(1))
    assert moments_off(after, 1.0, 0.5) < 4.5
    assert 0.05 < accepted < 0.95 and (after != x).any(1).double().mean() > 0.5


def test_steps_that_are_always_accepted_do_change_it():
    x = draws(20_000, mean=1.0, sd=0.5)
    after, accepted = stochastic.metropolis(
        x, lambda x: x.new_zeros(len(x)), steps=10, step_size=0.3, generator=runtime.generator(1)
    )
    assert accepted == pytest.approx(1) and moments_off(after, 1.0, 0.5) > 50


def test_metropolis_finds_the_density_from_elsewhere():
    x = torch.zeros(5000, 2, dtype=torch.float64)
    after, _ = stochastic.metropolis(x, normal(1.0, 0.5), steps=150, step_size=0.6, generator=runtime.generator(0))
    assert moments_off(after, 1.0, 0.5) < 4.5


def test_metropolis_balances_each_pair_of_regions():
    # Of the chains in one stationary step, as many go from left to right as from right to left
    log_prob = lambda x: torch.where(x[:, 0] < 0, math.log(0.2), math.log(0.8))  # on [-1, 1]
    inside = lambda x: torch.where(x[:, 0].abs() <= 1, log_prob(x), -math.inf)
    u = torch.rand(100_000, 2, generator=runtime.generator(0), dtype=torch.float64)
    x = torch.where(u[:, :1] < 0.2, -u[:, 1:], u[:, 1:])
    after, _ = stochastic.metropolis(x, inside, steps=1, step_size=0.5, generator=runtime.generator(1))
    rightward, leftward = ((x < 0) & (after > 0)).sum().item(), ((x > 0) & (after < 0)).sum().item()
    assert rightward > 1000 and abs(rightward - leftward) < 4 * math.sqrt(rightward + leftward)


def test_metropolis_never_leaves_the_support_and_refuses_nan():
    square = lambda x: torch.where((x.abs() <= 1).all(1), 0.0, -math.inf)
    after, accepted = stochastic.metropolis(
        torch.zeros(500, 2), square, steps=20, step_size=1.0, generator=runtime.generator(0)
    )
    assert (after.abs() <= 1).all() and 0 < accepted < 1
    hole = lambda x: torch.where(x[:, 0] > 0.5, math.nan, 0.0)
    after, _ = stochastic.metropolis(torch.zeros(500, 1), hole, steps=20, step_size=1.0, generator=runtime.generator(0))
    assert (after <= 0.5).all()


def test_acceptance_falls_with_the_step():
    rate = lambda step: stochastic.metropolis(draws(2000), normal(), steps=5, step_size=step, generator=runtime.generator(1))[1]
    assert 0.99 < rate(1e-3) <= 1 and rate(1e-3) > rate(1.0) > rate(10.0) > 0


def test_chains_keep_no_graph():
    weight = torch.ones((), requires_grad=True, dtype=torch.float64)
    after, _ = stochastic.metropolis(draws(5), lambda x: -weight * x.square().sum(1), steps=3, step_size=0.5)
    assert not after.requires_grad


def test_seeds():
    run = lambda seed: stochastic.metropolis(draws(50), normal(), steps=5, step_size=0.5, generator=runtime.generator(seed))
    assert torch.equal(run(0)[0], run(0)[0]) and run(0)[1] == run(0)[1] and not torch.equal(run(0)[0], run(1)[0])


# Sampling layers


def test_one_layer_weighs_by_the_ratio_of_the_densities():
    x, start, target = draws(100, 2), normal(), normal(0.5, 0.7)
    _, log_weight = stochastic.sampling_layers(x, start, target, layers=1, generator=runtime.generator(1))
    torch.testing.assert_close(log_weight, target(x) - start(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("layers", [1, 4, 20])
def test_weights_give_the_targets_constant_and_mean(layers):
    target = normal(1.0, 0.5, scale=3.0)
    x, log_weight = stochastic.sampling_layers(
        draws(20_000), normal(), target, layers=layers, steps=3, step_size=0.5, generator=runtime.generator(1)
    )
    w, error = log_weight.exp(), lambda values: values.std().item() / math.sqrt(len(values))
    assert abs(w.mean().item() - 3) < 4.5 * error(w)
    assert abs((w * x[:, 0]).mean().item() - 3 * 1.0) < 4.5 * error(w * x[:, 0])
    # The same statement about another constant is rejected: the check can fail
    assert abs(w.mean().item() - 3.5) > 4.5 * error(w)


def test_more_layers_make_the_weights_more_equal():
    def share(layers):
        x, log_weight = stochastic.sampling_layers(
            draws(2000), normal(), normal(1.0, 0.3), layers=layers, step_size=0.4, generator=runtime.generator(1)
        )
        return stochastic.effective_sample_size(log_weight) / len(x)

    assert share(1) < share(5) < share(40) and share(40) > 2 * share(1)


def test_between_equal_densities_nothing_is_weighed():
    x, log_weight = stochastic.sampling_layers(
        draws(10_000), normal(), normal(), layers=5, step_size=1.0, generator=runtime.generator(1)
    )
    assert (log_weight == 0).all() and moments_off(x, 0.0, 1.0) < 4.5


def test_the_weights_have_gradients():
    # Of the densities' parameters, as the training of a stochastic flow needs
    shift = torch.zeros((), requires_grad=True, dtype=torch.float64)
    start = lambda x: normal()(x - shift)
    x = draws(50)
    _, log_weight = stochastic.sampling_layers(x, start, normal(1.0), layers=1, generator=runtime.generator(1))
    log_weight.sum().backward()
    assert shift.grad.item() == pytest.approx(-x.sum().item())


def test_effective_sample_size():
    equal = torch.full((50,), -700.0, dtype=torch.float64)
    assert stochastic.effective_sample_size(equal) == pytest.approx(50)
    one = torch.tensor([800.0] + [0.0] * 49, dtype=torch.float64)
    assert stochastic.effective_sample_size(one) == pytest.approx(1)
    w = torch.tensor([1.0, 2.0, 3.0])
    assert stochastic.effective_sample_size(w.log()) == pytest.approx(36 / 14)


# Bad input


@pytest.mark.parametrize("arguments", [dict(steps=0), dict(step_size=0.0), dict(step_size=-1.0), dict(step_size=math.nan)])
def test_steps_that_are_none(arguments):
    with pytest.raises(ValueError, match=r"metropolis: got steps=\d, step_size=.*; expected both positive"):
        stochastic.metropolis(draws(5), normal(), **{"steps": 1, "step_size": 0.1} | arguments)


def test_no_layers():
    with pytest.raises(ValueError, match=r"layers: got 0, expected at least 1"):
        stochastic.sampling_layers(draws(5), normal(), normal(), layers=0)


@pytest.mark.parametrize("log_prob", [lambda x: x, lambda x: x.sum(), lambda x: normal()(x)[:, None]])
def test_densities_of_another_shape(log_prob):
    # (B, 1) against (B,) would broadcast to B times B decisions
    with pytest.raises(ValueError, match=r"metropolis: got x \(5, 1\) and log_prob\(x\) \(.*\), expected \(B, D\) and \(B,\)"):
        stochastic.metropolis(draws(5), log_prob, steps=1, step_size=0.1)
    with pytest.raises(ValueError, match=r"expected \(B, D\) and \(B,\)"):
        stochastic.metropolis(torch.zeros(5), lambda x: x, steps=1, step_size=0.1)
