"""From a latent vector to a cloud: all points at once, in groups, or one coordinate after the other with a density."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from m2m.clouds.distances import check
from m2m.clouds.encoders import check_positive, mlp
from m2m.flows.bijectors import AffineTransform
from m2m.flows.made import MADE


class MLP(nn.Module):
    """All points at once: z (B, latent) -> (B, points, 3).

    >>> MLP(8, points=100)(torch.zeros(2, 8)).shape
    torch.Size([2, 100, 3])
    """

    def __init__(self, latent: int, points: int, hidden: Sequence[int] = (256, 512)):
        super().__init__()
        check_positive(latent=latent, points=points)
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
        check_positive(latent=latent, points=points, groups=groups, width=width)
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
    r"""A density of clouds whose points are sorted: $p(x \mid z) = \prod_i N(x_i; \mu_i, \sigma_i^2)$ over all coordinates.

    mu_i and sigma_i are a MADE's, of z and the coordinates before, point after point and x, y, z within a point. This is a
    likelihood, of a list: lists in any order have a density, so sort them the same way in training and after. As a set, a
    cloud has the N! times of its sorted list. Samples are not held to the order, so a part of the mass lies outside of it,
    unless `steps` is given.

    Args:
        latent: size of z; 0 for a density without z.
        points: N.
        hidden: units of the hidden layers.
        bound: of |log sigma|. A sorted coordinate has small steps, so it is wider than a flow's.
        steps: the axis by which the points are sorted, 0 to 2. Then the normal distribution of this coordinate, from the
            second point on, is that of $u = \log(e^{d/w} - 1)$ with d the step from the point before and w = 16/N, some mean
            steps of standardised clouds: about log d for smaller steps, d itself for larger ones, lest samples run away.
            So samples are in order, and other lists have log p = -inf. Of an exponential d with mean w, u is logistic.
            Steps below 1e-6, as float32 makes some by rounding, count as 1e-6.

    Raises:
        ValueError: sizes that are not positive; lists of another size than N, or with NaN; a z that is missing or of
            another size.

    >>> model = Autoregressive(4, points=10)
    >>> model.log_prob(sort(torch.randn(2, 10, 3)), torch.zeros(2, 4)).shape, model.sample(torch.zeros(2, 4)).shape
    (torch.Size([2]), torch.Size([2, 10, 3]))
    """

    def __init__(self, latent: int, points: int, hidden: Sequence[int] = (512, 512), bound: float = 7.0,
                 steps: int | None = None):  # fmt: skip
        super().__init__()
        check_positive(points=points)
        if steps not in (None, 0, 1, 2):
            raise ValueError(f"steps: got {steps!r}, expected None or an axis, 0 to 2")
        self.steps = steps
        self.net = MADE(3 * points, hidden, outputs=2, context=latent).zero_last()
        self.transform = AffineTransform(bound)

    def conditionals(self, x: Tensor, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and log sigma of each coordinate given those before it in x (B, N, 3), and z (B, latent): each (B, N, 3)."""
        self._check("x", x)
        mu, log_sigma = self.transform.shift_and_log_scale(self.net(x.flatten(1), z))
        return mu.view_as(x), log_sigma.view_as(x)

    def terms(self, x: Tensor, z: Tensor | None = None, blur: float = 0.0, seen: Tensor | None = None) -> Tensor:
        r"""log p of each coordinate given those before it, in nats, (B, N, 3); they add up to log p(x | z).

        Args:
            blur: b > 0 subtracts $b^2 / (2 \sigma_i^2)$ from each: a penalty of small scales. It is the mean of log p over
                normal noise of standard deviation b on this coordinate (on u, see `steps`), not on those before. So the
                best variance is what it was plus b^2, no sigma is drawn below b, and no density runs off where
                coordinates are equal.
            seen: what the conditionals read in the place of x: zeros leave them z and the place in the list alone.
        """
        mu, log_sigma = self.conditionals(x if seen is None else seen, z)
        self._check("x", x)
        u, log_slope = self._normal(x)
        square = (u - mu) ** 2 + _check_length("blur", blur) ** 2
        return -0.5 * square * (-2 * log_sigma).exp() - log_sigma - 0.5 * math.log(2 * math.pi) + log_slope

    def log_prob(self, x: Tensor, z: Tensor | None = None, blur: float = 0.0, seen: Tensor | None = None) -> Tensor:
        """log p(x | z) in nats (B,), of sorted clouds x (B, N, 3); per coordinate: divide by 3 N. Options as of `terms`."""
        return self.terms(x, z, blur, seen).sum((1, 2))

    def noise(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """The standard normal numbers (B, N, 3) from which `cloud` makes x (B, N, 3)."""
        mu, log_sigma = self.conditionals(x, z)
        return (self._normal(x)[0] - mu) * (-log_sigma).exp()

    def cloud(self, noise: Tensor, z: Tensor | None = None) -> Tensor:
        """The cloud made from normal numbers (B, N, 3), one coordinate after the other; the inverse of `noise`."""
        self._check("noise", noise)
        width, made = self._width(), []

        def step(noise: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
            u, log_slope = self.transform.forward(noise, params)
            is_step = len(made) > 2 and len(made) % 3 == self.steps
            made.append(made[-3] + width * softplus(u) if is_step else u)
            return made[-1], log_slope

        return self.net.scan(noise.flatten(1), step, z)[0].view_as(noise)

    def sample(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One cloud for each z (B, latent): (B, N, 3). Without latents z is (B, 0) and says how many and where."""
        noise = torch.randn(len(z), self.net.dim // 3, 3, generator=generator, device=z.device, dtype=z.dtype)
        return self.cloud(noise, z if z.shape[1] else None)

    def _normal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is normal given the coordinates before, and log |du/dx|, each (B, N, 3): x itself and 0, but for `steps`."""
        if self.steps is None:
            return x, torch.zeros_like(x)
        here = torch.arange(3, device=x.device) == self.steps
        d = x.diff(dim=1)
        t = d.clamp_min(1e-6) / self._width()
        fall = torch.log(-torch.expm1(-t))  # u = log(e^t - 1) = t + log(1 - e^-t), without overflow
        log_slope = torch.where(d < 0, -torch.inf, -fall - math.log(self._width()))
        return (torch.cat([x[:, :1], torch.where(here, t + fall, x[:, 1:])], 1),
                torch.cat([torch.zeros_like(x[:, :1]), torch.where(here, log_slope, 0.0)], 1))  # fmt: skip

    def _width(self) -> float:
        return 48 / self.net.dim  # w = 16 / N

    def _check(self, name: str, x: Tensor) -> None:
        points = self.net.dim // 3
        if x.ndim != 3 or x.shape[1:] != (points, 3):
            raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (B, {points}, 3)")
        check(name, x)


def sort(x: Tensor, axis: int | str = 0) -> Tensor:
    """The points of clouds (B, N, 3) in ascending order of one coordinate, and of equal ones as they came.

    Args:
        axis: 0 to 2 for x, y, z; or "morton" for the order of `morton`.
    """
    check("x", x)
    if axis != "morton" and axis not in range(x.shape[-1]):
        raise ValueError(f"axis: got {axis!r}, expected 0 to {x.shape[-1] - 1} or 'morton'")
    order = (morton(x) if axis == "morton" else x[..., axis]).argsort(dim=-1, stable=True)
    return x.gather(-2, order[..., None].expand_as(x))


def morton(x: Tensor, radius: float = 4.0, bits: int = 10) -> Tensor:
    """Place of each point (..., N, D) on a curve through all cells of space, on which neighbours are mostly near: (..., N).

    The cube of half-edge `radius` has 2^bits cells along an edge, and points outside count for the cells on its faces. The
    numbers of a cell along the axes, in binary, are shuffled together: the first digit of each, the second of each, ...

    Source: Morton 1966, "A computer oriented geodetic data base and a new technique in file sequencing".
    """
    check("x", x)
    if not _check_length("radius", radius) or bits not in range(1, 21):
        raise ValueError(f"got radius={radius}, bits={bits}; expected a positive length and 1 to 20 bits")
    cell = ((x.double() / radius + 1) * 2 ** (bits - 1)).long().clamp(0, 2**bits - 1)
    place = torch.zeros_like(cell[..., 0])
    for bit in range(bits - 1, -1, -1):
        for axis in range(x.shape[-1]):
            place = 2 * place + (cell[..., axis] >> bit & 1)
    return place


def _check_length(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: got {value}, expected a number from 0 on")
    return value
