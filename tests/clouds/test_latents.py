"""Posteriors and priors: densities against torch.distributions and against autograd's Jacobian, both directions, bad input."""

import pytest
import torch
from scipy import stats
from torch import distributions

from m2m.clouds import latents

D = 5


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def awake(module):
    """Weights at random in the last layers too, which begin at zero."""
    for net in module.modules():
        if isinstance(net, latents.MADE):
            net.layers[-1].reset_parameters()
        if isinstance(net, torch.nn.Linear) and not net.weight.any():
            net.reset_parameters()
    return module.double()


def iaf(context, steps=3):
    torch.manual_seed(0)
    return awake(latents.IAF(D, steps=steps, hidden=(16,), context=context))


POSTERIORS = {"Gaussian": lambda: latents.Gaussian(D), "IAF with context": lambda: iaf(3), "IAF without": lambda: iaf(0)}


def test_the_gaussian_is_torchs():
    q, h, noise = latents.Gaussian(D), draw(7, 2 * D), draw(7, D, seed=1)
    z, log_q = q(h, noise)
    theirs = distributions.Normal(h[:, :D], (h[:, D:] / 2).exp())
    torch.testing.assert_close(log_q, theirs.log_prob(z).sum(-1), rtol=1e-12, atol=1e-12)
    standard = distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    torch.testing.assert_close(q.kl(h), distributions.kl_divergence(theirs, standard), rtol=1e-12, atol=1e-12)
    wrong = distributions.Normal(h[:, :D], h[:, D:].exp())  # the control: log sigma^2 read as log sigma
    assert (wrong.log_prob(z).sum(-1) - log_q).abs().max() > 1e-2


def test_the_exact_kl_is_the_mean_of_the_sampled_one():
    q, h = latents.Gaussian(2), torch.tensor([[0.5, -1.0, 0.3, -2.0]], dtype=torch.float64).expand(40000, 4)
    z, log_q = q(h, draw(40000, 2))
    sampled = log_q - latents.prior("normal", 2).log_prob(z)
    error = sampled.std() / 200
    assert (sampled.mean() - q.kl(h)[0].sum()).abs() < 4 * error
    assert (sampled.mean() - q.kl(-h)[0].sum()).abs() > 4 * error  # the control: another Gaussian


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_density_is_that_of_the_jacobian(name):
    q, noise = POSTERIORS[name](), draw(4, D, seed=2)
    h = draw(4, q.inputs)
    z, log_q = q(h, noise)
    for b in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda e: q(h[b : b + 1], e[None])[0][0], noise[b])
        expected = stats.norm.logpdf(noise[b]).sum() - torch.linalg.slogdet(jacobian)[1]
        assert log_q[b].item() == pytest.approx(expected.item(), rel=1e-10)
        assert abs(stats.norm.logpdf(noise[b]).sum() - log_q[b].item()) > 1e-2  # the control: no determinant at all


@pytest.mark.parametrize("name", POSTERIORS)
def test_samples_come_with_the_density_of_given_latents(name):
    q, noise = POSTERIORS[name](), draw(6, D, seed=3)
    h = draw(6, q.inputs)
    z, log_q = q(h, noise)
    torch.testing.assert_close(q.log_prob(z, h), log_q, rtol=1e-9, atol=1e-9)
    assert (q.log_prob(z, h.flip(0)) - log_q).abs().max() > 1e-2  # the control: of another cloud


def test_the_context_is_read():
    q, noise = iaf(3), draw(1, D)
    h = draw(1, q.inputs)
    other = torch.cat([h[:, : 2 * D], h[:, 2 * D :] + 1], 1)
    assert (q(h, noise)[0] - q(other, noise)[0]).abs().max() > 1e-3


def test_the_steps_and_back():
    for q, context in ((iaf(0), None), (iaf(3), draw(4, 3))):
        z = draw(4, D, seed=5)
        pushed, log_det = q.push(z, context)
        back, log_back = q.pull(pushed, context)
        torch.testing.assert_close(back, z, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(log_back, -log_det, rtol=1e-9, atol=1e-9)
        assert (q.push(z.flip(-1), context)[0] - pushed).abs().max() > 1e-2


def test_a_gate_can_not_blow_up():
    q = iaf(0)
    for net in q.nets:
        net.layers[-1].bias.data.mul_(1e4)
    z, log_q = q(draw(3, 2 * D), draw(3, D))
    assert z.isfinite().all() and log_q.isfinite().all()


@pytest.mark.parametrize("kind", latents.KINDS)
def test_priors_begin_as_the_normal_distribution(kind):
    p, z = latents.prior(kind, 4, layers=2, hidden=(8,)).double(), draw(6, 4)
    expected = distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(p.log_prob(z), expected, rtol=1e-9, atol=1e-9)
    assert latents.is_normal(p) == (kind == "normal")
    assert p.sample(3).shape == (3, 4)
    if kind != "normal":  # the control: with weights it is another one
        assert (awake(p).log_prob(z) - expected).abs().max() > 1e-3


def test_bad_input():
    with pytest.raises(ValueError, match=r"h: got shape \(2, 7\), expected \(..., 8\)"):
        latents.Gaussian(4)(torch.zeros(2, 7), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"h: got shape \(2, 8\), expected \(..., 11\)"):
        latents.IAF(4, context=3)(torch.zeros(2, 8), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="latent: got 0"):
        latents.Gaussian(0)
    with pytest.raises(ValueError, match="steps: got 0"):
        latents.IAF(4, steps=0)
    with pytest.raises(ValueError, match="context: got -1"):
        latents.IAF(4, context=-1)
    with pytest.raises(ValueError, match="kind: got 'glow', expected one of normal, realnvp"):
        latents.prior("glow", 4)
