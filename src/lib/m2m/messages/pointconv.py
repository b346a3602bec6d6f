"""PointConv: convolution on scattered points, as an integral over space that unequal sampling does not bias.

Source: Wu, Qi, Li 2019, https://arxiv.org/abs/1811.07246. A convolution of a function f on space with a kernel w is

    f'(x_i) = int w(x - x_i) f(x) dx     ~     sum_j w(r_ij) f_j / (n p(x_j)),       r_ij = x_j - x_i

The sum is over n points drawn from a density p. Without 1 / p, where there are twice the points there is twice the message.
The kernel reads r_ij itself: moving the cloud changes nothing, turning it does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from m2m.messages import graph


def density(x: Tensor, bandwidth: float, batch: Tensor | None = None) -> Tensor:
    """Kernel density estimate at each point (N,), in points per volume: a Gaussian of this bandwidth on every point.

    Pairs farther than 4 bandwidths apart are left out (a share of 1e-3 of the Gaussian in three dimensions). A point counts
    itself, so the density is never zero.

    Args:
        x: positions (N, D).
        bandwidth: in the unit of x; features of the cloud that are smaller are smoothed away.

    Raises:
        ValueError: a bandwidth that is not positive.
    """
    if not bandwidth > 0:
        raise ValueError(f"bandwidth: got {bandwidth}, expected a positive distance")
    edge_index = graph.radius(x, 4 * bandwidth, batch)
    d = graph.norm(graph.vectors(x, edge_index))
    near = graph.scatter_sum(torch.exp(-0.5 * (d / bandwidth) ** 2), edge_index[0], len(x))
    return (1 + near) / (bandwidth * math.sqrt(2 * math.pi)) ** x.shape[1]


class PointConv(nn.Module):
    """f_i' = phi( sum_j w(r_ij) . f_j s_j ), with s_j = 1 / density by default; (N, C_in) -> (N, C_out).

    The kernel w is a network from r_ij to `middle` numbers; its products with the C_in features are summed first and
    mixed by one matrix afterwards, so that nothing of size C_in x C_out is made for each edge.

    Args:
        inputs, outputs: C_in, C_out.
        radius: the distance that r_ij is divided by before the kernel reads it.
        weighting: "inverse" is s_j = 1 / p_j, "learned" a network of it as in the paper, "none" is s_j = 1, "mean" divides
            the plain sum by the number of neighbours.
        dim: D, dimensions of space.

    Densities are counted in points per radius^D, so that the size of the output does not depend on units.
    """

    WEIGHTINGS = ("inverse", "learned", "none", "mean")

    def __init__(
        self,
        inputs: int,
        outputs: int,
        radius: float,
        *,
        middle: int = 16,
        hidden: int = 32,
        weighting: str = "inverse",
        dim: int = 3,
    ):
        super().__init__()
        if weighting not in self.WEIGHTINGS:
            raise ValueError(f"weighting: got {weighting!r}, expected one of {', '.join(self.WEIGHTINGS)}")
        if not radius > 0 or min(inputs, outputs, middle, hidden, dim) < 1:
            raise ValueError(f"PointConv: got inputs={inputs}, outputs={outputs}, radius={radius}, expected them positive")
        self.radius, self.weighting, self.dim = radius, weighting, dim
        self.kernel = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, middle))
        self.mix = nn.Linear(middle * inputs, outputs)
        if weighting == "learned":
            self.scale = nn.Sequential(nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    def forward(self, f: Tensor, x: Tensor, edge_index: Tensor, p: Tensor | None = None) -> Tensor:
        """f: features (N, C_in). x: positions (N, D). edge_index: (2, E), a point itself included or not.

        p: density at each point (N,), such as from `density`; needed unless the weighting is "none" or "mean".
        """
        self._check(f, x, p)
        graph.check(edge_index, len(x))
        receiver, sender = edge_index
        w = self.kernel(graph.vectors(x, edge_index) / self.radius)
        f = f if p is None or self.weighting in ("none", "mean") else f * self._weights(p)[:, None]
        message = (w.unsqueeze(2) * f[sender].unsqueeze(1)).flatten(1)
        gather = graph.scatter_mean if self.weighting == "mean" else graph.scatter_sum
        return self.mix(gather(message, receiver, len(x)))

    def _weights(self, p: Tensor) -> Tensor:
        s = 1 / (p * self.radius**self.dim)
        return self.scale(s[:, None])[:, 0] if self.weighting == "learned" else s

    def _check(self, f: Tensor, x: Tensor, p: Tensor | None) -> None:
        if x.ndim != 2 or x.shape[1] != self.dim or f.ndim != 2 or len(f) != len(x):
            got = f"{tuple(f.shape)} and {tuple(x.shape)}"
            raise ValueError(f"f, x: got shapes {got}, expected (N, C_in) and (N, {self.dim})")
        if self.weighting in ("inverse", "learned") and p is None:
            raise ValueError(f"p: got None, expected the density at each point, which the weighting {self.weighting!r} needs")
        if p is not None and (p.shape != x.shape[:1] or not (p > 0).all()):
            raise ValueError(f"p: got shape {tuple(p.shape)}, expected {len(x)} positive densities")
