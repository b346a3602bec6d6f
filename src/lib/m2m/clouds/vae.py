r"""A variational autoencoder of point clouds, from any encoder, posterior, prior and decoder.

$$ \mathrm{loss} = R(x, z) + \beta \, \mathrm{KL}, \qquad z \sim q(z \mid x), $$

where KL is that of q(z | x) and the prior. If the decoder is a density, R = -log p(x | z), and with beta = 1 the loss is
the negative evidence lower bound (ELBO), in nats. If it gives a cloud, R is a weight times its Chamfer distance to x, which
is no likelihood: the sum is called NELBO in papers, and is no bound. What beta does then depends on the weight.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.clouds import latents
from m2m.clouds.decoders import sort
from m2m.clouds.distances import chamfer, check
from m2m.flows.flow import Flow

WEIGHT = 2048.0  # points of a cloud of the study: a mean over points times this is its sum


class Terms(NamedTuple):
    """The two parts of the loss, each (B,)."""

    reconstruction: Tensor  # -log p(x | z) in nats, or weighted Chamfer distance
    kl: Tensor  # in nats; exact for a Gaussian posterior and N(0, I), else log q(z | x) - log p(z) of one sample


class VAE(nn.Module):
    """Clouds (B, N, 3) -> latents (B, D) -> clouds.

    Args:
        encoder: (B, N, 3) -> (B, posterior.inputs).
        posterior: of `latents`.
        decoder: z (B, D) -> (B, M, 3), or a density with `log_prob(x, z)` and `sample(z, generator)`, to which clouds are
            given sorted.
        prior: of `latents.prior`; by default N(0, I).
        weight, reduction, squared: of the Chamfer distance, where that is the reconstruction. The defaults are the
            study's: 2,048 times the mean of squares, both ways.
        axis: coordinate by which clouds are sorted for a density.

    >>> from m2m.clouds import decoders, encoders
    >>> posterior = latents.Gaussian(8)
    >>> model = VAE(encoders.PointNet(posterior.inputs), posterior, decoders.MLP(8, points=100))
    >>> model.loss(torch.randn(2, 50, 3), beta=0.3).shape, model.sample(5).shape
    (torch.Size([]), torch.Size([5, 100, 3]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        posterior: nn.Module,
        decoder: nn.Module,
        prior: Flow | None = None,
        *,
        weight: float = WEIGHT,
        reduction: str = "mean",
        squared: bool = True,
        axis: int = 0,
    ):
        super().__init__()
        prior = latents.prior("normal", posterior.latent) if prior is None else prior
        if prior.dim != posterior.latent:
            raise ValueError(f"prior: got {prior.dim} dimensions, expected {posterior.latent}, as the posterior has")
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight: got {weight}, expected a positive number")
        self.encoder, self.posterior, self.decoder, self.prior = encoder, posterior, decoder, prior
        self.weight, self.convention, self.axis = weight, {"reduction": reduction, "squared": squared}, axis

    # From clouds to latents and back

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents (B, D) of clouds: the middle of the posterior (noise 0, for a Gaussian its mean), or where noise leads."""
        return self.draw(x, x.new_zeros(len(x), self.posterior.latent) if noise is None else noise)[0]

    def draw(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z and log q(z | x) for noise (B, D), standard normal."""
        return self.posterior(self.encoder(x), noise)

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Clouds (B, M, 3) of latents (B, D). A density is drawn from."""
        return self.decoder.sample(z, generator) if self.is_density else self.decoder(z)

    def reconstruct(self, x: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Clouds decoded from the latents of clouds (B, N, 3)."""
        return self.decode(self.encode(x, noise), generator)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, *, route: str = "prior") -> Tensor:
        """New clouds (n, M, 3).

        Args:
            route: "prior", z ~ p(z). Or "posterior flow", an error that has been published: z_0 ~ N(0, I) is pushed through
                the steps of an IAF without context. There the prior is on z_T, after the steps, so z_T is drawn from N(0, I).

        Raises:
            ValueError: an unknown route, or one that this posterior does not have.
        """
        return self.decode(self.sample_latents(n, generator, route=route), generator)

    @torch.no_grad()
    def sample_latents(self, n: int, generator: torch.Generator | None = None, *, route: str = "prior") -> Tensor:
        """The latents (n, D) of `sample`."""
        if route not in ("prior", "posterior flow"):
            raise ValueError(f"route: got {route!r}, expected 'prior' or 'posterior flow'")
        z = self.prior.sample(n, generator).to(next(self.decoder.parameters()))
        if route == "prior":
            return z
        if not isinstance(self.posterior, latents.IAF) or self.posterior.context:
            raise ValueError(f"route: got {route!r}, expected 'prior' unless the posterior is an IAF without context")
        return self.posterior.push(z)[0]

    # What is learned

    def loss(self, x: Tensor, beta: float = 1.0, *, target: Tensor | None = None) -> Tensor:
        """Mean over the batch of reconstruction + beta KL; see `terms`."""
        terms = self.terms(x, target=target)
        return terms.reconstruction.mean() + beta * terms.kl.mean()

    def terms(
        self, x: Tensor, *, target: Tensor | None = None, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Terms:
        """Both parts of the loss of each cloud, for one latent drawn from its posterior.

        Args:
            x: clouds (B, N, 3).
            target: what the decoder is to give, (B, M, 3); by default x.
            noise: (B, D), in place of what the generator draws.
        """
        if noise is None:
            noise = torch.randn(len(x), self.posterior.latent, generator=generator, device=x.device, dtype=x.dtype)
        h = self.encoder(x)
        z, log_q = self.posterior(h, noise)
        return Terms(self.reconstruction(x if target is None else target, z), self.kl(h, z, log_q))

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x | z) of a density, or the weighted Chamfer distance from x to the decoded cloud: (B,)."""
        if self.is_density:
            return -self.decoder.log_prob(sort(x, self.axis), z)
        return self.weight * chamfer(self.decoder(z), x, **self.convention)

    def kl(self, h: Tensor, z: Tensor, log_q: Tensor) -> Tensor:
        """KL(q(z | x) || p(z)) in nats (B,): exact where it is known, else what the sample z says, right on average."""
        if isinstance(self.posterior, latents.Gaussian) and latents.is_normal(self.prior):
            return self.posterior.kl(h).sum(-1)
        return log_q - self.prior.log_prob(z)

    def kl_per_dimension(self, x: Tensor) -> Tensor:
        """Mean over clouds of the KL of each latent dimension (D,); near 0 where a dimension says nothing about a cloud.

        Raises:
            ValueError: the KL is no sum over dimensions: a flow in the posterior or in the prior.
        """
        if not isinstance(self.posterior, latents.Gaussian) or not latents.is_normal(self.prior):
            raise ValueError("got a flow in posterior or prior, expected a Gaussian and N(0, I); `activity` serves all")
        return self.posterior.kl(self.encoder(x)).mean(0)

    def activity(self, x: Tensor) -> Tensor:
        """Variance over clouds of each dimension of the latents (D,): 0 where all clouds have the same.

        Source: Burda et al. 2016, arXiv:1509.00519, who call a dimension active above 0.01.
        """
        return self.encode(x).var(0)

    @property
    def is_density(self) -> bool:
        """Whether the decoder is a density of clouds."""
        return hasattr(self.decoder, "log_prob")


# --- Training ---------------------------------------------------------------------------------------------------------------


def thin(x: Tensor, points: int | None, generator: torch.Generator | None = None) -> Tensor:
    """A random choice of points of clouds (B, N, 3), the same places in each: (B, points, 3). None keeps all."""
    check("x", x)
    if points is None:
        return x
    if not 1 <= points <= x.shape[-2]:
        raise ValueError(f"points: got {points}, expected 1 to {x.shape[-2]}, as many as the clouds have")
    order = torch.randperm(x.shape[-2], generator=generator)[:points]
    return x[..., order.to(x.device), :]


def train(
    model: VAE, x: Tensor, *, steps: int, beta: float = 0.3, points: int | None = 512, target: int | None = None,
    batch_size: int = 32, lr: float = 4e-3, warmup: int = 50, clip: float | None = 100.0, average: float | None = 0.995,
    seed: int = 0, progress: bool = True, **options,
) -> training.History:  # fmt: skip
    """Fit a VAE to clouds (S, N, 3), each step on other points of them, and return what happened.

    Args:
        beta: weight of the KL.
        points: points of a cloud that a step sees; None for all.
        target: of these, points that the decoder is to give; by default all. For a density of fewer points.
        clip: the gradient of a reconstruction that is weighted by 2,048 is longer than this nearly always, so steps go by its
            direction; without, training is slower.
        batch_size, lr, warmup, average, seed, options: of `training.fit`.

    Raises:
        ValueError: as `training.fit`; more points than there are; a beta that is negative.
    """
    if not 0 <= beta < float("inf"):
        raise ValueError(f"beta: got {beta}, expected a number from 0 on")
    thin(x, points), thin(thin(x[:1], points), target)  # so that too many are refused here

    def loss(model: VAE, batch: Tensor) -> Tensor:
        seen = thin(batch, points)
        return model.loss(seen, beta, target=thin(seen, target))

    return training.fit(model, x, loss, steps=steps, batch_size=batch_size, lr=lr, warmup=warmup, clip=clip, average=average,
                        seed=seed, progress=progress, **options)  # fmt: skip


def fit_prior(
    model: VAE, x: Tensor, prior: Flow, *, steps: int, points: int | None = 512, batch_size: int = 128, lr: float = 1e-3,
    seed: int = 0, progress: bool = True, **options,
) -> training.History:  # fmt: skip
    """Fit a flow to the latents that a trained VAE gives clouds (S, N, 3), and make it the VAE's prior.

    Each cloud is encoded once; each step draws latents anew from the posteriors. Encoder and decoder stay as they are. What
    is fitted is the aggregate posterior, the mean of q(z | x) over the clouds, which is what the decoder has learned to read.

    Raises:
        ValueError: as `training.fit`; a flow of other dimensions, or without anything to learn.
    """
    if prior.dim != model.posterior.latent or latents.is_normal(prior):
        got = f"{prior.dim} dimensions, {len(prior.chain)} layers"
        raise ValueError(f"prior: got {got}; expected a flow of {model.posterior.latent} dimensions")
    with torch.no_grad():
        h = torch.cat([model.encoder(thin(part, points, runtime.generator(seed))) for part in x.split(batch_size)])

    def loss(prior: Flow, h: Tensor) -> Tensor:
        with torch.no_grad():
            z, _ = model.posterior(h, torch.randn(len(h), prior.dim, device=h.device, dtype=h.dtype))
        return -prior.log_prob(z).mean()

    prior.to(next(model.parameters()))
    history = training.fit(prior, h, loss, steps=steps, batch_size=batch_size, lr=lr, seed=seed, progress=progress, **options)
    model.prior = prior
    return history
