"""Flows: densities that integrate to one, samples that follow them, and what the well-known chains are."""

import doctest
import math

import numpy
import pytest
import torch
from torch import nn

from m2m import checks
from m2m.flows import bijectors, flow
from m2m.flows.bijectors import SplineTransform

CHAINS = {
    "maf": lambda dim: flow.maf(dim, 3, [32]),
    "maf, spline": lambda dim: flow.maf(dim, 2, [32], SplineTransform()),
    "maf, no permutation": lambda dim: flow.maf(dim, 3, [32], permute=False),
    "iaf": lambda dim: flow.iaf(dim, 3, [32]),
    "realnvp": lambda dim: flow.realnvp(dim, 4, [32]),
    "realnvp, spline": lambda dim: flow.realnvp(dim, 2, [32], SplineTransform()),
    "glow": lambda dim: flow.glow(dim, 3, [32], generator=torch.Generator().manual_seed(0)),
}
every_chain = pytest.mark.parametrize("name", CHAINS)


def randomise(model, spread=0.12, seed=0):
    """Random weights, in float64: at its start a flow is the normal distribution, and many a mistake does not show."""
    model, generator = model.double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += spread * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def make(name, dim=2):
    return randomise(CHAINS[name](dim))


def points(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(n=240):
    """Points of the plane and the areas that they stand for: fine in the middle, and out to 25 for the tails."""
    u = torch.linspace(-3.2, 3.2, n, dtype=torch.float64)
    axis, width = 2 * u.sinh(), 2 * u.cosh() * (u[1] - u[0])
    return torch.cartesian_prod(axis, axis), torch.outer(width, width).reshape(-1)


@every_chain
def test_density_integrates_to_one(name):
    # The density is far from normal, but has few kinks narrower than a cell
    model = make(name)
    x, area = grid()
    with torch.no_grad():
        p = model.log_prob(x).exp()
    assert (p * area).sum().item() == pytest.approx(1.0, abs=2e-3)
    normal = flow.standard_normal(x).exp()
    assert ((p - normal).abs() * area).sum() > 0.05, "too close to the base for the test to mean much"


def test_the_integral_rejects_a_density_without_its_jacobian_factor():
    model = make("maf")
    x, area = grid()
    with torch.no_grad():
        wrong = flow.standard_normal(model.inverse(x)[0]).exp()
    assert abs((wrong * area).sum().item() - 1) > 0.02


@pytest.mark.parametrize("build", [flow.maf, flow.iaf])
def test_one_dimension(build):
    model = randomise(build(1, 2, [8], SplineTransform()), spread=0.4)
    with torch.no_grad():
        x = torch.linspace(-9, 9, 20001, dtype=torch.float64)[:, None]
        p = model.log_prob(x).exp()
    assert torch.trapezoid(p, x[:, 0]).item() == pytest.approx(1.0, abs=1e-4)
    assert (p - flow.standard_normal(x).exp()).abs().max() > 0.1


@every_chain
@pytest.mark.parametrize("dim", [2, 5])
def test_whole_chains_are_bijectors(name, dim):
    model, z = make(name, dim), points(4, dim)
    assert checks.inverse_error(model, z) < 1e-8
    assert checks.log_det_error(model, z) < 1e-9


@every_chain
def test_density_at_the_image_of_noise(name):
    model, z = make(name), points(50, 2)
    with torch.no_grad():
        x, log_det = model(z)
        torch.testing.assert_close(model.log_prob(x), flow.standard_normal(z) - log_det, rtol=0, atol=1e-8)


def test_noise_meets_the_chain_from_its_first_bijector():
    double, shift = bijectors.Elementwise(1), bijectors.Elementwise(1)
    with torch.no_grad():
        double.transform = bijectors.AffineTransform(bound=None)
        double.params.copy_(torch.tensor([[0.0, math.log(2)]]))
        shift.params.copy_(torch.tensor([[1.0, 0.0]]))
    z = torch.tensor([[3.0]])
    assert flow.Flow(1, [double, shift])(z)[0].item() == pytest.approx(7)
    assert flow.Flow(1, [shift, double])(z)[0].item() == pytest.approx(8)


@pytest.mark.parametrize("dim", [1, 3])
def test_a_linear_chain_is_a_normal_distribution(dim):
    weights = [points(dim, dim, seed=s).float() + torch.eye(dim) for s in (1, 2)]
    bias = points(dim, seed=3).float()
    model = flow.Flow(dim, [bijectors.Linear(dim, weights[0]), bijectors.Linear(dim, weights[1], bias)]).double()
    w = (weights[1] @ weights[0]).double()
    exact = torch.distributions.MultivariateNormal(bias.double(), w @ w.T)
    x = points(20, dim, seed=4)
    torch.testing.assert_close(model.log_prob(x), exact.log_prob(x), rtol=1e-4, atol=1e-4)
    sample = model.sample(50_000, generator=torch.Generator().manual_seed(0))
    # Five standard errors of the mean and of the entries of the covariance
    spread = exact.variance.sqrt()
    assert ((sample.mean(0) - exact.mean).abs() < 5 * spread / math.sqrt(len(sample))).all()
    assert (
        (torch.cov(sample.T).reshape(dim, dim) - w @ w.T).abs() < 5 * math.sqrt(2 / len(sample)) * torch.outer(spread, spread)
    ).all()


def test_standard_normal_agrees_with_torch():
    z = points(7, 3)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(flow.standard_normal(z), exact)


@every_chain
def test_samples_follow_the_density(name):
    # Mass of each of 36 boxes: of 20,000 draws, against the integral of the density
    model = make(name)
    n, edges = 20_000, numpy.linspace(-3, 3, 7)
    draws = model.sample(n, generator=torch.Generator().manual_seed(0)).numpy()
    counts = numpy.histogram2d(draws[:, 0], draws[:, 1], bins=[edges, edges])[0].ravel()
    centres = (torch.arange(120, dtype=torch.float64) + 0.5) / 20 - 3
    with torch.no_grad():
        p = model.log_prob(torch.cartesian_prod(centres, centres)).exp().reshape(6, 20, 6, 20).sum((1, 3)).ravel().numpy() / 400
    chi_square = lambda p: ((counts - n * p) ** 2 / (n * p)).sum() + (counts.sum() - n * p.sum()) ** 2 / (n * (1 - p.sum()))
    assert chi_square(p) < 80  # 36 degrees of freedom: exceeded once in 30,000 times
    assert chi_square(p[::-1]) > 200, "the statistic cannot tell a wrong density"


def test_seeds():
    model = CHAINS["maf"](2)
    draw = lambda seed: model.sample(5, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    state = torch.get_rng_state()
    draw(0)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used beside the one given"


def test_samples_have_the_weights_type_and_no_gradient():
    model = make("maf")
    sample = model.sample(3)
    assert sample.shape == (3, 2) and sample.dtype == torch.float64 and not sample.requires_grad
    assert flow.Flow(2, [bijectors.Sigmoid()]).sample(3).dtype == torch.float32


# The well-known chains


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "glow"])
def test_a_new_flow_is_the_standard_normal(name):
    x = points(9, 4)
    torch.testing.assert_close(CHAINS[name](4).double().log_prob(x), flow.standard_normal(x), rtol=0, atol=1e-5)


def test_a_new_glow_only_rotates():
    x = points(9, 4)
    torch.testing.assert_close(CHAINS["glow"](4).double().log_prob(x), flow.standard_normal(x), rtol=0, atol=1e-4)
    assert not torch.allclose(CHAINS["glow"](4).double()(x)[0], x, atol=0.1)


def test_iaf_is_maf_run_the_other_way():
    # Reversing a chain of layers with reversals between them gives the same kind of chain
    iaf, maf = make("iaf", 4), make("maf", 4)
    for theirs, ours in zip(iaf.chain, reversed(maf.chain), strict=True):
        if isinstance(theirs, bijectors.Inverse):
            theirs.bijector.load_state_dict(ours.state_dict())
    z = points(5, 4)
    for got, expected in zip(iaf(z), maf.inverse(z), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def dependence(name, dim):
    jacobian = checks.jacobian(lambda p: make(name, dim)(p)[0], points(dim))
    return jacobian.abs() > 1e-12


def test_permutations_let_every_dimension_depend_on_every_other():
    assert torch.equal(dependence("maf, no permutation", 5), torch.ones(5, 5).tril() > 0)
    for name in ("maf", "iaf", "realnvp", "glow"):
        assert dependence(name, 5).all(), name


def test_log_prob_compiles_into_one_graph():
    model = make("maf")
    compiled = torch.compile(model.log_prob, backend="eager", fullgraph=True)
    x = points(5, 2)
    torch.testing.assert_close(compiled(x), model.log_prob(x))


def test_the_example_in_the_docstring():
    result = doctest.testmod(flow)
    assert result.attempted > 0 and result.failed == 0


# Bad input


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(5, 3), r"x: got shape \(5, 3\), expected \(\.\.\., 2\)"),
        (torch.tensor(0.0), r"x: got shape \(\), expected \(\.\.\., 2\)"),
        (torch.zeros(5, 2, dtype=torch.int64), r"x: got a torch\.int64 tensor, expected a floating-point tensor"),
        (torch.zeros(5, 2, dtype=torch.complex64), r"x: got a torch\.complex64 tensor, expected a floating-point tensor"),
        (numpy.zeros((5, 2)), r"x: got a ndarray, expected a floating-point tensor"),
        ([[0.0, 0.0]], r"x: got a list, expected a floating-point tensor"),
        (torch.tensor([[0.0, math.nan], [math.inf, 1.0]]), r"x: got 2 non-finite values, expected finite numbers"),
        (torch.tensor([[-math.inf, math.inf]]), r"x: got 2 non-finite values, expected finite numbers"),
    ],
)
def test_points_that_are_none(x, message):
    with pytest.raises(ValueError, match=message):
        flow.maf(2).log_prob(x)


def test_no_points_are_no_error():
    assert flow.maf(2).log_prob(torch.zeros(0, 2)).shape == (0,)


@pytest.mark.parametrize("n", [0, -1])
def test_no_samples(n):
    with pytest.raises(ValueError, match=rf"n: got {n}, expected at least 1 sample"):
        flow.maf(2).sample(n)


@pytest.mark.parametrize("build", [flow.maf, flow.iaf, flow.realnvp, flow.glow])
def test_no_layers(build):
    with pytest.raises(ValueError, match=r"layers: got 0, expected at least 1"):
        build(2, layers=0)


@pytest.mark.parametrize("build", [flow.realnvp, flow.glow])
def test_a_coupling_needs_two_dimensions(build):
    with pytest.raises(ValueError, match=r"dim: got 1, expected at least 2"):
        build(1)


def test_a_flow_is_a_module():
    assert isinstance(flow.maf(2), nn.Module) and len(list(flow.maf(2, 3, [8]).parameters())) == 3 * 4


def test_many_samples_are_drawn_in_parts_without_a_seam():
    model, n = make("maf"), 5000
    sample = model.sample(n, generator=torch.Generator().manual_seed(0))
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(sample, model(z)[0], rtol=0, atol=1e-12)
