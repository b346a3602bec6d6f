"""From a latent vector to a cloud: all points at once, in groups, or one coordinate after the other with a density."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from m2m.clouds.distances import check
from m2m.clouds.encoders import mlp
from m2m.flows.bijectors import AffineTransform
from m2m.flows.flow import standard_normal
from m2m.flows.made import MADE


class MLP(nn.Module):
    """All points at once: z (B, latent) -> (B, points, 3).

    >>> MLP(8, points=100)(torch.zeros(2, 8)).shape
    torch.Size([2, 100, 3])
    """

    def __init__(self, latent: int, points: int, hidden: Sequence[int] = (256, 512)):
        super().__init__()
        _check_positive(latent=latent, points=points)
        self.net = mlp([latent, *hidden, 3 * points])

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).unflatten(-1, (-1, 3))


class Groups(nn.Module):
    r"""Points in groups, each group knowing z and the points before: z (B, latent) -> (B, points, 3).

    $$ x_g = D_g(\mathrm{relu}(a_g)), \quad a_1 = A z, \quad a_{g+1} = a_g + W_g x_g. $$

    What is kept of the points before is a sum that grows with each group, as in NADE (Larochelle and Murray 2011). The
    groups come in order in the cloud, so its first points are what it was before it was complete. It is trained by a distance
    on its own points, so it is no likelihood. One group is an MLP.

    Args:
        groups: number of groups; it divides the number of points.
        width: size of a.
        hidden: units of the hidden layers of D_g.

    Raises:
        ValueError: sizes that are not positive, a number of groups that does not divide the points.
    """

    def __init__(self, latent: int, points: int, groups: int, width: int = 256, hidden: Sequence[int] = (256,)):
        super().__init__()
        _check_positive(latent=latent, points=points, groups=groups, width=width)
        if points % groups:
            raise ValueError(f"groups: got {groups} for {points} points, expected a number that divides them")
        size = 3 * (points // groups)
        self.start = nn.Linear(latent, width)
        self.read = nn.ModuleList(nn.Linear(size, width, bias=False) for _ in range(groups - 1))
        self.write = nn.ModuleList(mlp([width, *hidden, size]) for _ in range(groups))

    def forward(self, z: Tensor) -> Tensor:
        known = self.start(z)
        parts = [self.write[0](known.relu())]
        for read, write in zip(self.read, self.write[1:]):
            known = known + read(parts[-1])
            parts.append(write(known.relu()))
        return torch.cat(parts, -1).unflatten(-1, (-1, 3))


class Autoregressive(nn.Module):
    r"""A density of clouds whose points are sorted: $p(x \mid z) = \prod_i N(x_i; \mu_i, \sigma_i)$ over all coordinates.

    mu_i and sigma_i are a MADE's, of z and the coordinates before, point after point and x, y, z within a point. This one is
    a likelihood, of the cloud as a sorted list. Its samples are not held to the order, so a little mass lies outside of it.

    Args:
        latent: size of z; 0 for a density without z.
        points: N.
        hidden: units of the hidden layers.
        bound: of |log sigma|. A sorted coordinate has small steps, so it is wider than a flow's.

    >>> model = Autoregressive(4, points=10)
    >>> model.log_prob(sort(torch.randn(2, 10, 3)), torch.zeros(2, 4)).shape, model.sample(torch.zeros(2, 4)).shape
    (torch.Size([2]), torch.Size([2, 10, 3]))
    """

    def __init__(self, latent: int, points: int, hidden: Sequence[int] = (512, 512), bound: float = 7.0):
        super().__init__()
        _check_positive(points=points)
        self.net = MADE(3 * points, hidden, outputs=2, context=latent).zero_last()
        self.transform = AffineTransform(bound)

    def log_prob(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """log p(x | z) in nats (B,), of sorted clouds x (B, N, 3); per coordinate: divide by 3 N."""
        noise, log_slopes = self.transform.inverse(x.flatten(1), self.net(x.flatten(1), z))
        return standard_normal(noise) + log_slopes.sum(-1)

    def sample(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One cloud for each z (B, latent): (B, N, 3). Without latents z is (B, 0) and says how many and where."""
        noise = torch.randn(len(z), self.net.dim, generator=generator, device=z.device, dtype=z.dtype)
        x, _ = self.net.scan(noise, self.transform.forward, z if z.shape[1] else None)
        return x.unflatten(-1, (-1, 3))


def sort(x: Tensor, axis: int = 0) -> Tensor:
    """The points of clouds (B, N, 3) in ascending order of one coordinate, and of equal ones as they came."""
    check("x", x)
    if axis not in range(x.shape[-1]):
        raise ValueError(f"axis: got {axis}, expected 0 to {x.shape[-1] - 1}")
    order = x[..., axis].argsort(dim=-1, stable=True)
    return x.gather(-2, order[..., None].expand_as(x))


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size != int(size) or size < 1:
            raise ValueError(f"{name}: got {size}, expected a whole number from 1 on")
