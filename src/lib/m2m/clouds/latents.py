r"""The latent side of a VAE: posteriors $q(z \mid x)$, which an encoder's numbers h set, and priors $p(z)$.

A posterior maps noise to a latent and says how likely it was:

    posterior(h, noise) -> z, log q(z | x)        h (B, posterior.inputs), noise and z (B, D), log q (B,) in nats

A prior is a `flows.flow.Flow`: `prior.log_prob(z)`, `prior.sample(n)`. N(0, I) is the flow without any layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from m2m.clouds.encoders import check_positive
from m2m.flows import bijectors, flow
from m2m.flows.flow import Flow, standard_normal
from m2m.flows.made import MADE

KINDS = ("normal", "realnvp", "maf", "spline")


# --- Posteriors -------------------------------------------------------------------------------------------------------------


class Gaussian(nn.Module):
    r"""$z = \mu + \sigma \epsilon$, with h = [mu, log sigma^2]: a normal distribution whose dimensions are independent.

    Source: Kingma and Welling 2014, arXiv:1312.6114.

    >>> import torch
    >>> q = Gaussian(4)
    >>> z, log_q = q(torch.zeros(2, q.inputs), torch.zeros(2, 4))
    >>> z.shape, log_q.shape, q.kl(torch.zeros(2, q.inputs)).sum().item()
    (torch.Size([2, 4]), torch.Size([2]), 0.0)
    """

    def __init__(self, latent: int):
        super().__init__()
        check_positive(latent=latent)
        self.latent, self.inputs = latent, 2 * latent

    def forward(self, h: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_sigma = self.moments(h)
        return mu + log_sigma.exp() * noise, standard_normal(noise) - log_sigma.sum(-1)

    def log_prob(self, z: Tensor, h: Tensor) -> Tensor:
        """log q(z | x) of given latents (B, D), in nats (B,)."""
        mu, log_sigma = self.moments(h)
        return standard_normal((z - mu) / log_sigma.exp()) - log_sigma.sum(-1)

    def kl(self, h: Tensor) -> Tensor:
        """KL(q(z | x) || N(0, I)) of each dimension, exactly: (B, D), in nats."""
        mu, log_sigma = self.moments(h)
        return (mu * mu + (2 * log_sigma).expm1() - 2 * log_sigma) / 2

    def moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma, each (B, D)."""
        _check_numbers(h, self.inputs)
        mu, log_variance = h.chunk(2, -1)
        return mu, log_variance / 2


class IAF(nn.Module):
    r"""Inverse autoregressive flow: a Gaussian, and T steps that bend it, $z_t = g_t z_{t-1} + (1 - g_t) m_t$.

    The gate g_t = sigmoid(s_t + open) and m_t of each dimension are a MADE's, of the dimensions before and of a context c,
    the part of h after mu and log sigma^2. g lies between 0 and 1, so no step can blow up, and

    $$ \log q(z_T \mid x) = \log N(\epsilon; 0, I) - \sum_i \Big( \log \sigma_i + \sum_t \log g_{t,i} \Big). $$

    The dimensions are reversed between steps.

    Args:
        latent: D.
        steps: T.
        hidden: units of the hidden layers of each MADE.
        context: size of c. 0 leaves it out: all clouds then share one flow, which an N(0, I) can be pushed through too.
        open: of the gates; at first g = sigmoid(open).

    Source: Kingma et al. 2016, arXiv:1606.04934, algorithm 1 with eq. 13 and 14.
    """

    def __init__(self, latent: int, steps: int = 2, hidden: Sequence[int] = (256,), context: int = 64, open: float = 1.5):
        super().__init__()
        check_positive(latent=latent, steps=steps)
        if context < 0:
            raise ValueError(f"context: got {context}, expected a size, or 0 for none")
        self.gaussian, self.open = Gaussian(latent), open
        self.latent, self.context, self.inputs = latent, context, self.gaussian.inputs + context
        self.nets = nn.ModuleList(MADE(latent, hidden, 2, context).zero_last() for _ in range(steps))

    def forward(self, h: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        numbers, context = self.split(h)
        z, log_q = self.gaussian(numbers, noise)
        z, log_det = self.push(z, context)
        return z, log_q - log_det

    def push(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The T steps by themselves: z_T and log|det dz_T/dz_0| for z_0 (B, D)."""
        log_det = z.new_zeros(z.shape[:-1])
        for k, net in enumerate(self.nets):
            z = z.flip(-1) if k else z
            m, s = net(z, context).unbind(-1)
            gate = (s + self.open).sigmoid()
            z = gate * z + (1 - gate) * m
            log_det = log_det + functional.logsigmoid(s + self.open).sum(-1)
        return z, log_det

    def pull(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The inverse of `push`: z_0 and log|det dz_0/dz_T|, one dimension after the other."""
        log_det = z.new_zeros(z.shape[:-1])
        for k, net in reversed(list(enumerate(self.nets))):
            z, step = net.scan(z, self._undo, context)
            z, log_det = z.flip(-1) if k else z, log_det + step
        return z, log_det

    def log_prob(self, z: Tensor, h: Tensor) -> Tensor:
        """log q(z | x) of given latents (B, D), in nats (B,). Latents drawn by the posterior itself come with it."""
        numbers, context = self.split(h)
        z, log_det = self.pull(z, context)
        return self.gaussian.log_prob(z, numbers) + log_det

    def split(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """The Gaussian's numbers, and the context if there is one."""
        _check_numbers(h, self.inputs)
        numbers, context = h.split([self.gaussian.inputs, self.context], -1)
        return numbers, context if self.context else None

    def _undo(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        m, s = params.unbind(-1)
        gate = (s + self.open).sigmoid()
        return (z - (1 - gate) * m) / gate, -functional.logsigmoid(s + self.open)


# --- Priors -----------------------------------------------------------------------------------------------------------------


def prior(kind: str, latent: int, layers: int = 6, hidden: Sequence[int] = (128, 128)) -> Flow:
    """A prior over latents (B, D), which starts as N(0, I).

    Args:
        kind: "normal", N(0, I), which has nothing to learn; "realnvp", affine couplings; "spline", couplings by splines;
            "maf", masked autoregressive layers, whose samples come dimension by dimension.
        layers, hidden: of the flow.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
    check_positive(latent=latent)
    if kind == "normal":
        return Flow(latent, [])
    if kind == "maf":
        return flow.maf(latent, layers, hidden)
    return flow.realnvp(latent, layers, hidden, bijectors.SplineTransform() if kind == "spline" else None)


def is_normal(prior: Flow) -> bool:
    """Whether a prior is N(0, I) by construction."""
    return not len(prior.chain)


# --- What comes in ----------------------------------------------------------------------------------------------------------


def _check_numbers(h: Tensor, size: int) -> None:
    if h.shape[-1:] != (size,):
        raise ValueError(f"h: got shape {tuple(h.shape)}, expected (..., {size}), the encoder's numbers for this posterior")
