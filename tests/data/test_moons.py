"""The moons: an exact density, its entropy, and samples that follow both."""

import math

import numpy
import pytest
import torch
from scipy import stats
from sklearn.datasets import make_moons
from torch.distributions import MultivariateNormal

from m2m import runtime
from m2m.data import moons

NOISES = [0.03, 0.05, 0.2]


def one_moon(x, noise=0.05):
    """A wrong density: the outer moon alone, by adding up many narrow normal distributions."""
    centres = moons.arcs(math.pi * (torch.arange(400, dtype=torch.float64) + 0.5) / 400)[0]
    squares = (x[:, None] - centres).square().sum(-1)
    return (-squares / (2 * noise**2)).logsumexp(-1) - math.log(400 * 2 * math.pi * noise**2)


def standard_errors_from_entropy(x, log_prob, entropy):
    nll = -log_prob(x.double())
    return abs(nll.mean().item() - entropy) / (nll.std() / math.sqrt(len(x))).item()


# Density


@pytest.mark.parametrize("noise", NOISES)
def test_density_integrates_to_one(noise):
    x, area = moons.grid(noise, step=0.4 * noise)
    assert moons.log_prob(x, noise).exp().sum().item() * area == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("noise", NOISES)
def test_density_against_a_plain_sum_over_the_arcs(noise):
    # The midpoint rule with very many nodes, written as the definition reads
    t = math.pi * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    x = torch.tensor([[1.0, 0.0], [0.5, 0.25], [0.0, 1.05], [-0.9, 0.3], [0.5, -0.5], [2.1, 0.6]], dtype=torch.float64)
    total = 0.0
    for arc in moons.arcs(t):
        squares = (x[:, None] - arc).square().sum(-1)
        total = total + 0.5 * ((-squares / (2 * noise**2)).exp() / (2 * math.pi * noise**2)).mean(1)
    torch.testing.assert_close(moons.log_prob(x, noise).exp(), total, rtol=0, atol=1e-6)


@pytest.mark.parametrize("noise", [0.001, 0.03, 0.05])
def test_the_nodes_suffice(noise):
    x = moons.sample(200, noise, generator=runtime.generator(0)).double()
    torch.testing.assert_close(
        moons.log_prob(x, noise), moons.log_prob(x, noise, nodes=4 * math.ceil(6 / noise)), rtol=0, atol=1e-9
    )


def test_density_has_the_symmetry_that_swaps_the_moons():
    x = moons.grid(step=0.05)[0]
    turned = torch.tensor([1.0, 0.5], dtype=torch.float64) - x
    torch.testing.assert_close(moons.log_prob(x), moons.log_prob(turned), rtol=1e-9, atol=1e-9)


def test_density_of_wide_noise_is_nearly_normal():
    # Noise much wider than the moons: mean and covariance of the mixture are all that is left
    noise = 30.0
    x = moons.sample(200_000, noise=1e-9, generator=runtime.generator(0)).double()
    normal = MultivariateNormal(x.mean(0), torch.cov(x.T) + noise**2 * torch.eye(2))
    points = 30 * torch.randn(100, 2, generator=runtime.generator(1), dtype=torch.float64)
    torch.testing.assert_close(moons.log_prob(points, noise), normal.log_prob(points), rtol=0, atol=2e-3)


def test_density_keeps_type_and_shape_and_has_gradients():
    x = torch.zeros(2, 3, 2, requires_grad=True)
    value = moons.log_prob(x)
    assert value.shape == (2, 3) and value.dtype == torch.float32
    value.sum().backward()
    assert x.grad.isfinite().all()
    assert moons.log_prob(torch.zeros(2)).shape == () and moons.log_prob(torch.zeros(0, 2)).shape == (0,)
    many = moons.sample(9000, generator=runtime.generator(0)).double()
    torch.testing.assert_close(moons.log_prob(many)[5000:5003], moons.log_prob(many[5000:5003]))


def test_density_far_away_and_nowhere():
    far = moons.log_prob(torch.tensor([[1e3, 0.0]], dtype=torch.float64))
    assert far.isfinite() and far.item() == pytest.approx(-0.5 * (998.0 / 0.05) ** 2, rel=1e-2)
    assert moons.log_prob(torch.tensor([[math.inf, 0.0]])).item() == -math.inf
    assert moons.log_prob(torch.tensor([[math.nan, 0.0]])).isnan().all()


# Entropy


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_entropy_does_not_depend_on_the_step(noise):
    assert moons.entropy(noise) == pytest.approx(moons.entropy(noise, step=0.4 * noise), abs=1e-6)


def test_entropy_of_the_book():
    # Half the arc length 2 pi, and a normal distribution across it: log 2 pi + 1/2 log(2 pi e noise^2), less the ends
    narrow = lambda noise: math.log(2 * math.pi) + 0.5 * math.log(2 * math.pi * math.e * noise**2)
    assert moons.entropy(0.05) == pytest.approx(0.2892337, abs=1e-6)
    assert moons.entropy(0.05) - narrow(0.05) == pytest.approx(0, abs=0.05)
    assert moons.entropy(0.2) > moons.entropy(0.05)


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_samples_lie_at_the_entropy_and_a_wrong_density_does_not(noise):
    x = moons.sample(20_000, noise, generator=runtime.generator(0))
    assert standard_errors_from_entropy(x, lambda x: moons.log_prob(x, noise), moons.entropy(noise)) < 4
    assert standard_errors_from_entropy(x, lambda x: moons.log_prob(x, 1.4 * noise), moons.entropy(noise)) > 8
    few = x[:2000]
    assert standard_errors_from_entropy(few, lambda x: one_moon(x, noise), moons.entropy(noise)) > 8


def test_the_control_is_a_density_of_one_moon():
    x, area = moons.grid(step=0.04)
    p = one_moon(x).exp()
    assert p.sum().item() * area == pytest.approx(1, abs=1e-6)
    assert p[(x - torch.tensor([1.0, -0.5])).norm(dim=1) < 0.1].max() < 1e-12


# Samples


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_samples_agree_with_those_of_scikit_learn(noise):
    n = 20_000
    ours = moons.sample(n, noise, generator=runtime.generator(0)).double().numpy()
    theirs = make_moons(n, noise=noise, random_state=0)[0]
    features = {
        "x": lambda p: p[:, 0],
        "y": lambda p: p[:, 1],
        "sum": lambda p: p.sum(1),
        "product": lambda p: p[:, 0] * p[:, 1],
        "distance": lambda p: moons.distance_to_arcs(torch.as_tensor(p)).numpy(),
    }
    for name, feature in features.items():
        assert stats.ks_2samp(feature(ours), feature(theirs)).pvalue > 1e-3, name
    shifted, noisier = ours + [0.1, 0.0], make_moons(n, noise=1.1 * noise, random_state=0)[0]
    assert stats.ks_2samp(features["x"](shifted), features["x"](theirs)).pvalue < 1e-6
    assert stats.ks_2samp(features["distance"](noisier), features["distance"](ours)).pvalue < 1e-6


def test_without_noise_the_samples_are_scikit_learns_arcs():
    theirs, label = make_moons(200, shuffle=False)
    arcs = moons.arcs(torch.linspace(0, math.pi, 100, dtype=torch.float64))
    numpy.testing.assert_allclose(arcs[0], theirs[label == 0], atol=1e-12)
    numpy.testing.assert_allclose(arcs[1], theirs[label == 1], atol=1e-12)


def test_seeds():
    draw = lambda seed: moons.sample(5, generator=runtime.generator(seed))
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    assert draw(0).shape == (5, 2) and draw(0).dtype == torch.float32


# Distance


def test_distance_by_brute_force():
    x = 3 * torch.rand(500, 2, generator=runtime.generator(0), dtype=torch.float64) - torch.tensor([1.0, 1.25])
    arcs = moons.arcs(torch.linspace(0, math.pi, 4001, dtype=torch.float64)).reshape(-1, 2)
    torch.testing.assert_close(moons.distance_to_arcs(x), torch.cdist(x, arcs).amin(1), rtol=0, atol=1e-4)


def test_distances_known_by_geometry():
    x = torch.tensor(
        [[0.0, 0.0], [0.0, 1.0], [1.0, -0.5], [-1.0, -0.3], [0.0, 1.5], [2.0, 0.7], [0.5, 0.25]], dtype=torch.float64
    )
    # Centre of the outer circle: the inner moon passes (0, 1/2) and comes nearer at its lower left
    expected = [math.hypot(1, 0.5) - 1, 0.0, 0.0, 0.3, 0.5, 0.2, 1 - math.hypot(0.5, 0.25)]
    torch.testing.assert_close(moons.distance_to_arcs(x), torch.tensor(expected, dtype=x.dtype))
    assert moons.distance_to_arcs(x.reshape(7, 1, 2)).shape == (7, 1)


# Bad input


@pytest.mark.parametrize("noise", [0, 0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("call", [lambda s: moons.sample(5, s), lambda s: moons.log_prob(torch.zeros(1, 2), s), moons.entropy])
def test_noise_must_be_positive(noise, call):
    with pytest.raises(ValueError, match=rf"noise: got {noise}, expected a positive number"):
        call(noise)


@pytest.mark.parametrize("step", [0, -0.1, math.nan])
def test_step_must_be_positive(step):
    with pytest.raises(ValueError, match=rf"step: got {step}, expected a positive number"):
        moons.grid(step=step)


@pytest.mark.parametrize("n", [0, -3])
def test_no_samples(n):
    with pytest.raises(ValueError, match=rf"n: got {n}, expected at least 1 point"):
        moons.sample(n)


@pytest.mark.parametrize("function", [moons.log_prob, moons.distance_to_arcs])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(5, 3), r"x: got torch\.float32 of shape \(5, 3\), expected a floating-point tensor \(\.\.\., 2\)"),
        (torch.zeros(()), r"x: got torch\.float32 of shape \(\)"),
        (torch.zeros(5, 2, dtype=torch.int64), r"x: got torch\.int64 of shape \(5, 2\), expected a floating-point tensor"),
        (numpy.zeros((5, 2)), r"x: got ndarray, expected a floating-point tensor"),
    ],
)
def test_points_that_are_none(function, x, message):
    with pytest.raises(ValueError, match=message):
        function(x)
