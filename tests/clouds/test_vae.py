"""The VAE: what its loss is, against exact numbers; the two routes of samples; what training changes; bad input."""

import math

import pytest
import torch
from torch import distributions, nn

from m2m.clouds import decoders, encoders, latents, vae
from m2m.clouds.distances import chamfer

D = 4


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def small(posterior=None, prior=None, decoder=None, **options):
    torch.manual_seed(0)
    posterior = posterior or latents.Gaussian(D)
    encoder = encoders.PointNet(posterior.inputs, point=(16, 32), head=(16,))
    return vae.VAE(encoder, posterior, decoder or decoders.MLP(D, 20, hidden=(16,)), prior, **options)


class Linear(nn.Module):
    """p(x | z) = N(x; W z, sigma^2) of clouds of one point, with orthogonal columns in W: the posterior is known."""

    W, sigma = torch.tensor([[0.6, 0.0], [0.0, 2.0], [0.8, 0.0]], dtype=torch.float64), 0.5

    def log_prob(self, x, z):
        return distributions.Normal(z @ self.W.T, self.sigma).log_prob(x[:, 0]).sum(-1)

    def exact(self, x):
        covariance = self.W @ self.W.T + self.sigma**2 * torch.eye(3, dtype=torch.float64)
        return distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), covariance).log_prob(x[:, 0])


class Posterior(nn.Module):
    """The exact posterior of `Linear` as an encoder's numbers."""

    def forward(self, x):
        precision = 1 + (Linear.W**2).sum(0) / Linear.sigma**2
        mean = x[:, 0] @ Linear.W / Linear.sigma**2 / precision
        return torch.cat([mean, -precision.log().expand_as(mean)], -1)


def test_the_elbo_of_the_exact_posterior_is_the_likelihood():
    """log p(x|z) + log p(z) - log q(z|x) is then log p(x) for every z, and below it on average for every other posterior."""
    x, q, flow = draw(50, 1, 3), latents.Gaussian(2), latents.prior("realnvp", 2, layers=2, hidden=(4,)).double()
    exact = Linear().exact(x)
    sampled = vae.VAE(Posterior(), q, Linear(), flow).terms(x)  # the flow is N(0, I) still, and its KL sampled
    torch.testing.assert_close(-(sampled.reconstruction + sampled.kl), exact, rtol=1e-9, atol=1e-9)

    n = 4000
    many = x[:1].expand(n, 1, 3)
    closed = vae.VAE(Posterior(), q, Linear()).terms(many)
    elbo = -(closed.reconstruction + closed.kl)
    assert (elbo.mean() - exact[0]).abs() < 4 * elbo.std() / math.sqrt(n)
    wider = vae.VAE(nn.Sequential(Posterior(), Shift()), q, Linear()).terms(many)
    worse = -(wider.reconstruction + wider.kl)
    assert worse.mean() < exact[0] - 4 * worse.std() / math.sqrt(n)  # the control


class Shift(nn.Module):
    def forward(self, h):
        return h + 0.5


def test_the_loss_with_chamfer_is_what_it_says():
    model, x, noise = small().double(), draw(3, 30, 3), draw(3, D, seed=1)
    terms = model.terms(x, noise=noise)
    mu, log_variance = model.encoder(x).chunk(2, -1)
    z = mu + (log_variance / 2).exp() * noise
    expected = 2048 * chamfer(model.decoder(z), x, reduction="mean", squared=True)
    torch.testing.assert_close(terms.reconstruction, expected, rtol=1e-12, atol=0)
    kl = distributions.kl_divergence(distributions.Normal(mu, (log_variance / 2).exp()), distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(terms.kl, kl.sum(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.kl_per_dimension(x), kl.mean(0), rtol=1e-12, atol=1e-12)
    plain = small(weight=3.0, reduction="sum", squared=False).double().terms(x, noise=noise)
    torch.testing.assert_close(plain.reconstruction, 3 * chamfer(model.decoder(z), x, reduction="sum", squared=False))
    assert (plain.reconstruction - terms.reconstruction).abs().min() > 1


def test_beta_and_target():
    model, x, other = small().double(), draw(3, 30, 3), draw(3, 10, 3, seed=5)
    at = lambda beta, **kw: torch.manual_seed(0) and model.loss(x, beta, **kw).item()
    assert at(1.0) - at(0.0) == pytest.approx(model.kl_per_dimension(x).sum().item(), rel=1e-9)
    assert at(0.0, target=x) == at(0.0) != at(0.0, target=other)


def test_a_density_is_given_sorted_clouds():
    decoder = decoders.Autoregressive(D, points=6, hidden=(16,))
    decoder.net.layers[-1].reset_parameters()
    model, x, noise = small(decoder=decoder).double(), draw(3, 6, 3), draw(3, D, seed=1)
    assert model.is_density and not small().is_density
    terms, flipped = model.terms(x, noise=noise), model.terms(x.flip(1), noise=noise)
    torch.testing.assert_close(terms.reconstruction, flipped.reconstruction, rtol=1e-9, atol=1e-9)
    z = model.encode(x, noise)
    torch.testing.assert_close(terms.reconstruction, -decoder.log_prob(decoders.sort(x), z), rtol=1e-12, atol=0)
    other = small(decoder=decoder, axis=2).double().terms(x, noise=noise)
    assert (other.reconstruction - terms.reconstruction).abs().max() > 1e-3
    assert model.reconstruct(x).shape == model.sample(3).shape == (3, 6, 3)


def test_encode_is_the_middle():
    model, x = small().double(), draw(3, 30, 3)
    torch.testing.assert_close(model.encode(x), model.encoder(x)[:, :D], rtol=0, atol=0)
    assert (model.encode(x, draw(3, D)) - model.encode(x)).abs().max() > 1e-3
    torch.testing.assert_close(model.reconstruct(x), model.decode(model.encode(x)), rtol=0, atol=0)
    torch.testing.assert_close(model.activity(x), model.encoder(x)[:, :D].var(0), rtol=1e-12, atol=0)


def test_samples_come_from_the_prior_and_the_published_route_does_not():
    posterior = latents.IAF(D, steps=2, hidden=(8,), context=0)
    for net in posterior.nets:
        net.layers[-1].reset_parameters()
    model, seeded = small(posterior), lambda: torch.Generator().manual_seed(3)
    z = model.prior.sample(5, seeded())
    torch.testing.assert_close(model.sample(5, seeded()), model.decode(z), rtol=0, atol=0)
    wrong = model.sample(5, seeded(), route="posterior flow")
    torch.testing.assert_close(wrong, model.decode(posterior.push(z)[0]), rtol=0, atol=0)
    assert (wrong - model.sample(5, seeded())).abs().max() > 1e-3
    for other in (small(), small(latents.IAF(D, context=2))):
        with pytest.raises(ValueError, match="expected 'prior' unless the posterior is an IAF without context"):
            other.sample(2, route="posterior flow")
    with pytest.raises(ValueError, match="route: got 'posterior'"):
        model.sample(2, route="posterior")


COMBINATIONS = [
    (posterior, kind) for posterior in (latents.Gaussian(D), latents.IAF(D, hidden=(8,), context=3)) for kind in latents.KINDS
]


@pytest.mark.parametrize("posterior, kind", COMBINATIONS)
def test_any_posterior_with_any_prior_has_gradients(posterior, kind):
    model = small(posterior, latents.prior(kind, D, layers=2, hidden=(8,)))
    model.loss(draw(3, 12, 3, dtype=torch.float32), beta=0.5).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.sample(2).shape == (2, 20, 3)


def test_training_lowers_the_loss_and_is_the_same_again():
    x = draw(16, 40, 3, dtype=torch.float32) * torch.tensor([1.0, 0.2, 0.2])

    def trained(seed=0):
        model = small()
        return model, vae.train(model, x, steps=60, points=32, batch_size=8, lr=1e-2, warmup=0, seed=seed, progress=False)

    (model, history), (again, _), (other, _) = trained(), trained(), trained(1)
    assert sum(history.loss[-5:]) < 0.7 * sum(history.loss[:5])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


def test_a_density_of_fewer_points_is_trained():
    x = draw(16, 40, 3, dtype=torch.float32)
    model = small(decoder=decoders.Autoregressive(D, points=8, hidden=(16,)))
    history = vae.train(model, x, steps=20, beta=1.0, points=32, target=8, batch_size=8, warmup=0, progress=False)
    assert sum(history.loss[-5:]) < sum(history.loss[:5])


def test_a_prior_fitted_afterwards_leaves_the_rest_alone():
    x = draw(32, 40, 3, dtype=torch.float32)
    model = small()
    model.encoder.head[-1].bias.data[:D] = 2.0  # the latents are far from N(0, I)
    model.encoder.head[-1].bias.data[D:] = -4.0
    before = {name: value.clone() for name, value in model.state_dict().items()}
    z = model.encode(x).detach()
    worse = model.prior.log_prob(z).mean()
    vae.fit_prior(model, x, latents.prior("realnvp", D, layers=2, hidden=(16,)), steps=150, points=32, batch_size=32,
                  lr=1e-2, progress=False)  # fmt: skip
    assert model.prior.log_prob(z).mean() > worse + 5
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert (model.sample_latents(200).mean(0) - z.mean(0)).abs().max() < 0.5 < model.sample_latents(200).mean(0).min()


def test_thinning():
    x = draw(3, 10, 3)
    some = vae.thin(x, 4, torch.Generator().manual_seed(0))
    same = (some[:, :, None] == x[:, None]).all(-1)  # which point of x each one is
    assert same.shape == (3, 4, 10) and (same.sum(2) == 1).all() and (same == same[0]).all() and same[0].any(0).sum() == 4
    assert not torch.equal(some, vae.thin(x, 4, torch.Generator().manual_seed(1)))
    assert vae.thin(x, None) is x
    for points in (0, 11):
        with pytest.raises(ValueError, match=f"points: got {points}, expected 1 to 10"):
            vae.thin(x, points)


def test_bad_input():
    with pytest.raises(ValueError, match="prior: got 3 dimensions, expected 4"):
        small(prior=latents.prior("normal", 3))
    with pytest.raises(ValueError, match="weight: got 0"):
        small(weight=0)
    with pytest.raises(ValueError, match="reduction: got 'max'"):
        small(reduction="max").loss(torch.zeros(2, 5, 3))
    with pytest.raises(ValueError, match="15 numbers that are NaN"):
        small().loss(torch.full((1, 5, 3), math.nan))
    with pytest.raises(ValueError, match="expected a Gaussian and N"):
        small(prior=latents.prior("realnvp", D)).kl_per_dimension(torch.zeros(2, 5, 3))
    with pytest.raises(ValueError, match="beta: got -1"):
        vae.train(small(), torch.zeros(32, 20, 3), steps=1, points=10, beta=-1)
    with pytest.raises(ValueError, match="points: got 512, expected 1 to 20"):
        vae.train(small(), torch.zeros(32, 20, 3), steps=1)
    with pytest.raises(ValueError, match="expected a flow of 4"):
        vae.fit_prior(small(), torch.zeros(32, 20, 3), latents.prior("normal", D), steps=1)
