"""Stochastic flows: sampling layers between deterministic ones (Wu, Koehler, Noe 2020, arXiv:2002.06707).

A bijector cannot tear a connected cloud of noise in two. A Metropolis step can: whether it is accepted is a jump, not a
continuous function of the point. The price is that the target density must be known, up to a constant.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


def metropolis(
    x: Tensor, log_prob: LogDensity, *, steps: int, step_size: float, generator: torch.Generator | None = None
) -> tuple[Tensor, float]:
    """Random-walk Metropolis: steps that leave the density exp(log_prob) unchanged.

    Args:
        x: where the B chains start, (B, D).
        log_prob: (B, D) -> (B,), up to a constant.
        step_size: standard deviation of a proposal, in the units of x.

    Returns:
        The chains' ends (B, D) and the share of proposals that were accepted.

    Raises:
        ValueError: steps or step_size that are not positive, or shapes other than these.
    """
    if steps < 1 or not step_size > 0:
        raise ValueError(f"metropolis: got steps={steps}, step_size={step_size}; expected both positive")
    # Which proposals are accepted has no gradient, so nothing is kept for one
    log_prob = torch.no_grad()(log_prob)
    value, accepted = log_prob(x), 0.0
    if x.ndim != 2 or value.shape != x.shape[:1]:
        raise ValueError(f"metropolis: got x {tuple(x.shape)} and log_prob(x) {tuple(value.shape)}, expected (B, D) and (B,)")
    for _ in range(steps):
        proposal = x + step_size * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        proposed = log_prob(proposal)
        u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        accept = u.log() < proposed - value
        x = torch.where(accept[:, None], proposal, x)
        value = torch.where(accept, proposed, value)
        accepted += accept.double().mean().item() / steps
    return x, accepted


def sampling_layers(
    x: Tensor,
    log_start: LogDensity,
    log_target: LogDensity,
    *,
    layers: int,
    steps: int = 5,
    step_size: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Carry samples of one density to another through `layers` sampling layers, and keep account of the weights.

    Layer k samples from the geometric bridge log p_k = (1 - k / layers) log_start + (k / layers) log_target. With
    w = exp(log_weight), the mean of w g(x) is the target's mean of g(x), however few the layers (Neal 2001,
    arXiv:physics/9803008); the mean of w itself is the ratio of the two normalisation constants.

    Args:
        x: draws from exp(log_start), (B, D).
        steps: Metropolis steps per layer.

    Returns:
        New points (B, D) and log w (B,).

    Raises:
        ValueError: no layer.
    """
    if layers < 1:
        raise ValueError(f"layers: got {layers}, expected at least 1")
    log_weight = x.new_zeros(len(x))
    for k in range(1, layers + 1):
        share = k / layers
        log_weight = log_weight + (log_target(x) - log_start(x)) / layers
        between = lambda y, share=share: (1 - share) * log_start(y) + share * log_target(y)
        x, _ = metropolis(x, between, steps=steps, step_size=step_size, generator=generator)
    return x, log_weight


def effective_sample_size(log_weight: Tensor) -> float:
    """(sum w)^2 / sum w^2 for weights exp(log_weight) (B,): how many equally weighted samples these are worth."""
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp().item()
