"""Functions of a distance: bases that spread it over many numbers, and cutoffs that end it at r_c.

A network that reads d as one number can hardly tell 1.09 from 1.10 apart; spread over a basis e_1(d) .. e_K(d) it can. The
cutoff C(d) goes to zero at r_c, so that a neighbour that leaves does not make the energy jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Gaussians(nn.Module):
    """e_k(d) = exp(-(d - mu_k)^2 / (2 s^2)), centres mu_k even from `start` to `stop`, s the step between them; K >= 2.

    Maps d (...) to (..., K). Source: SchNet, https://arxiv.org/abs/1706.08566.
    """

    def __init__(self, stop: float = 5.0, size: int = 25, start: float = 0.0):
        super().__init__()
        if size < 2 or not stop > start >= 0:
            raise ValueError(
                f"Gaussians: got start={start}, stop={stop}, size={size}, expected 0 <= start < stop and size >= 2"
            )
        self.size = size
        self.register_buffer("centres", torch.linspace(start, stop, size))
        self.factor = -0.5 / ((stop - start) / (size - 1)) ** 2

    def forward(self, d: Tensor) -> Tensor:
        return ((d.unsqueeze(-1) - self.centres) ** 2 * self.factor).exp()


class Bessel(nn.Module):
    """e_k(d) = sqrt(2 / r_c) sin(k pi d / r_c) / d, k = 1 .. K, zero at r_c and smooth at 0.

    Maps d (...) to (..., K). Source: DimeNet, https://arxiv.org/abs/2003.03123, equation (7).
    """

    def __init__(self, cutoff: float = 5.0, size: int = 8):
        super().__init__()
        if size < 1 or not cutoff > 0:
            raise ValueError(f"Bessel: got cutoff={cutoff}, size={size}, expected both positive")
        self.size, self.scale = size, math.sqrt(2 / cutoff)
        self.register_buffer("waves", torch.arange(1, size + 1) / cutoff)

    def forward(self, d: Tensor) -> Tensor:
        # sin(k pi d / r_c) / d = (k pi / r_c) sinc(k d / r_c), which is finite at d = 0
        return self.scale * math.pi * self.waves * torch.sinc(d.unsqueeze(-1) * self.waves)


def cosine(d: Tensor, cutoff: float) -> Tensor:
    """C(d) = (cos(pi d / r_c) + 1) / 2 below r_c, 0 above, for distances d (...,). Value and slope are continuous at r_c."""
    return torch.where(d < cutoff, 0.5 * (torch.cos(d * (math.pi / cutoff)) + 1), 0.0)


def polynomial(d: Tensor, cutoff: float, p: int = 6) -> Tensor:
    """C(d) = 1 - (p+1)(p+2)/2 u^p + p(p+2) u^(p+1) - p(p+1)/2 u^(p+2) with u = d / r_c below r_c, 0 above.

    d is (...). Value, slope and curvature are continuous at r_c. Source: DimeNet, https://arxiv.org/abs/2003.03123, equation (8).
    """
    u = d / cutoff
    inside = 1 - u**p * ((p + 1) * (p + 2) / 2 - u * p * (p + 2) + u**2 * p * (p + 1) / 2)
    return torch.where(d < cutoff, inside, 0.0)


def hard(d: Tensor, cutoff: float) -> Tensor:
    """C(d) = 1 below r_c, 0 above, for d (...): the control. The energy jumps where a neighbour leaves."""
    return (d < cutoff).to(d.dtype)


CUTOFFS: dict[str, Callable[[Tensor, float], Tensor]] = {"cosine": cosine, "polynomial": polynomial, "hard": hard}
