"""Networks in which every remaining atom votes for the place and the element of the missing one.

The vote of atom i has three parts: an arrow, of degree 1, from the atom to the place; scores of the elements and the weight
of the vote, of degree 0. The guess is the mean of the places x_i + v_i and of the scores, with softmax weights.
`Voter` is the book's network; `MixtureVoter` the same with several arrows for each atom, each with a weight and a width, read as
a density of places; `PublishedVoter` the network of Tensor field networks, https://arxiv.org/abs/1802.08219, section 5.4, after
the authors' public code.

All take x (B, n, 3), element (B, n), -1 where there is no atom, and removed (B, R): R removals of each molecule, one at a time,
share what depends on the positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m.messages.radial import Gaussians
from m2m.messages.schnet import ShiftedSoftplus
from m2m.tensors import factorised

ELEMENTS = 5  # H, C, N, O, F
softplus = ShiftedSoftplus()


class Votes(NamedTuple):
    """places (B, R, n, 3), weights (B, R, n), which sum to 1, and scores (B, R, n, 5); weight 0 for atoms that are not there."""

    places: Tensor
    weights: Tensor
    scores: Tensor

    def guess(self) -> tuple[Tensor, Tensor]:
        """The place (B, R, 3) and the scores of the elements (B, R, 5)."""
        return (self.weights[..., None] * self.places).sum(2), (self.weights[..., None] * self.scores).sum(2)


class Mixture(NamedTuple):
    """A density of places: places (B, R, V, 3) with log_weights (B, R, V), whose exponentials sum to 1, and widths (B, R, V)
    in angstrom; and scores of the elements (B, R, 5)."""

    places: Tensor
    log_weights: Tensor
    widths: Tensor
    scores: Tensor

    def log_density(self, place: Tensor) -> Tensor:
        """ln sum_v a_v exp(-d_v / s_v) / (8 pi s_v^3), d_v the distance of vote v from `place` (B, R, 3): (B, R).

        Near 0 the distance is rounded off, to sqrt(d^2 + 0.05^2), so that the gradient has no jump.
        """
        d = ((self.places - place[:, :, None]).square().sum(-1) + 0.05**2).sqrt()
        terms = self.log_weights - d / self.widths - 3 * self.widths.log() - math.log(8 * math.pi)
        return terms.logsumexp(-1)

    def guess(self) -> tuple[Tensor, Tensor]:
        """The place (B, R, 3) where the votes are densest, of two places one, and the scores (B, R, 5)."""
        return self.peak(), self.scores

    def peak(self, blur: float = 0.25) -> Tensor:
        """The densest place (B, R, 3): votes seen as Gaussians of variance width^2 + blur^2, in angstrom.

        It is the mean of all votes by what they give where the density of the votes is highest. Of two equal peaks rounding
        decides.
        """
        variance = self.widths.square() + blur**2
        squared = (self.places[:, :, :, None] - self.places[:, :, None]).square().sum(-1)  # (B, R, V, V)
        seen = (self.log_weights - 1.5 * variance.log())[:, :, None] - squared / (2 * variance[:, :, None])
        cast = self.log_weights > -torch.inf  # a removed atom is not asked either: its place is the answer
        highest = seen.logsumexp(-1).masked_fill(~cast, -torch.inf).argmax(-1)[..., None, None]
        near = seen.take_along_dim(highest, 2)[:, :, 0].softmax(-1)
        return (near[..., None] * self.places).sum(2)


class Voter(nn.Module):
    """Layers of convolution, self-interaction, gate and residual; then votes.

    Args:
        channels: of degrees 0, 1, .. between layers; with degree 0 alone the network cannot point.
        size, start, stop: Gaussians of the distance, in angstrom.
    """

    def __init__(
        self, channels: Sequence[int] = (16, 16), layers: int = 3, size: int = 10, start: float = 0.8, stop: float = 2.5
    ):
        super().__init__()
        self.l_max, self.size, self.basis = len(channels) - 1, size, Gaussians(stop, size, start)
        inside = dict(enumerate(channels))
        wide = inside | {0: sum(channels)}  # a gate for each arrow
        given = [{0: ELEMENTS}] + [inside] * (layers - 1)
        self.convolutions = nn.ModuleList([factorised.Convolution(c, wide, self.l_max, size) for c in given])
        self.own = nn.ModuleList([self_interaction(c, wide) for c in given])
        self.scores = nn.Sequential(nn.Linear(channels[0], 32), nn.SiLU(), nn.Linear(32, ELEMENTS + 1))
        self.arrow = nn.Linear(channels[1], 1, bias=False) if self.l_max else None

    def features(self, x: Tensor, element: Tensor, removed: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Features {l: (B, 2l + 1, n, R, C_l)} after the last layer, and which atoms are left (B, R, n)."""
        left = remaining(element >= 0, removed)
        there = left.transpose(1, 2)[:, None, :, :, None].to(x.dtype)  # (B, 1, n, R, 1)
        geometry = factorised.Geometry(x, element >= 0, self.basis, self.l_max)
        f = {0: one_hot(element, x.dtype) * there}
        for k, (convolution, own) in enumerate(zip(self.convolutions, self.own, strict=True)):
            new = layer(f, geometry, convolution, own)
            f = {l: (new[l] + f[l] if k else new[l]) * there for l in new}
        return f, left

    def votes(self, x: Tensor, element: Tensor, removed: Tensor) -> Votes:
        f, left = self.features(x, element, removed)
        *scores, weight = self.scores(f[0][:, 0]).split(1, -1)
        arrows = self.arrow(f[1])[..., 0].permute(0, 3, 2, 1) if self.l_max else 0.0
        return votes(x, left, arrows, weight, torch.cat(scores, -1))

    def forward(self, x: Tensor, element: Tensor, removed: Tensor) -> tuple[Tensor, Tensor]:
        return self.votes(x, element, removed).guess()


class MixtureVoter(Voter):
    """A `Voter` whose atoms cast several arrows each, every arrow with a weight and a width of its own, and look twice.

    The element has a second look: the votes say where the hole is, and what stands around that place, seen from there, is added
    to the scores. Single voters do not know how many others were bonded to the missing atom; from the hole they can be counted.

    Args:
        arrows: of each atom. The other arguments are those of `Voter`; there must be a degree 1.
        narrow, wide: bounds of the widths in angstrom. Without the lower one the likelihood would pay for ever finer places.
    """

    def __init__(
        self, channels: Sequence[int] = (16, 16), *, arrows: int = 5, narrow: float = 0.08, wide: float = 1.0, **settings
    ):
        super().__init__(channels, **settings)
        if not self.l_max:
            raise ValueError(f"channels: got {tuple(channels)}, expected degrees 0 and 1 at least, for arrows")
        if arrows < 1:
            raise ValueError(f"arrows: got {arrows}, expected at least 1")
        if not 0 < narrow < wide:
            raise ValueError(f"narrow, wide: got {narrow} and {wide}, expected 0 < narrow < wide, in angstrom")
        self.arrows, self.narrow, self.wide = arrows, narrow, wide
        self.scores = nn.Sequential(nn.Linear(channels[0], 32), nn.SiLU(), nn.Linear(32, ELEMENTS + 2 * arrows))
        self.arrow = nn.Linear(channels[1], arrows, bias=False)
        self.look = nn.Sequential(nn.Linear(channels[0] * self.size, 32), nn.SiLU(), nn.Linear(32, ELEMENTS))

    def votes(self, x: Tensor, element: Tensor, removed: Tensor) -> Mixture:
        f, left = self.features(x, element, removed)
        numbers = self.scores(f[0][:, 0]).transpose(1, 2)  # (B, R, n, ...)
        scores, weight, width = numbers.split([ELEMENTS, self.arrows, self.arrows], -1)
        log_weights = weight.masked_fill(~left[..., None], -torch.inf).flatten(2).log_softmax(-1)
        own = log_weights.exp().view(weight.shape).sum(-1, keepdim=True)  # of an atom: all its arrows together
        places = x[:, None, :, None] + self.arrow(f[1]).permute(0, 3, 2, 4, 1)  # (B, R, n, arrows, 3)
        widths = self.narrow * (self.wide / self.narrow) ** width.sigmoid()
        cast = Mixture(places.flatten(2, 3), log_weights, widths.flatten(2), (own * scores).sum(2))
        return cast._replace(scores=cast.scores + self.seen(x, f[0][:, 0], left, cast.peak().detach()))

    def seen(self, x: Tensor, f: Tensor, left: Tensor, hole: Tensor) -> Tensor:
        """Scores (B, R, 5) from features of degree 0 (B, n, R, C) around places (B, R, 3): sum_j e_k(|x_j - hole|) f_j, mixed."""
        e = self.basis((x[:, None] - hole[:, :, None]).square().sum(-1).sqrt()) * left[..., None]  # (B, R, n, K)
        return self.look(torch.einsum("brnk,bnrc->brkc", e, f).flatten(2))


class PublishedVoter(nn.Module):
    """The published network: 15 channels of degrees 0 and 1, three layers of convolution, self-interaction and softplus.

    The radial functions are perceptrons, 4 Gaussians to 4 hidden ReLU units to a number for each channel; a channel is
    convolved by itself, then the self-interaction mixes them. The centre is its own neighbour for the filter of degree 0.
    """

    def __init__(self, channels: int = 15):
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.0, 2.5, 4))
        self.embed = orthogonal(ELEMENTS, channels)
        both = {0: channels, 1: channels}
        self.convolutions = nn.ModuleList([Depthwise({0: channels}), Depthwise(both), Depthwise(both)])
        mixed = [{l: c.channels_out[l] for l in (0, 1)} for c in self.convolutions]
        self.own = nn.ModuleList([self_interaction(c, both, orthogonal) for c in mixed[:-1]])
        self.bias = nn.ParameterList([nn.Parameter(torch.zeros(channels)) for _ in mixed[:-1]])
        self.scores, self.weight = orthogonal(mixed[-1][0], ELEMENTS), orthogonal(mixed[-1][0], 1)
        self.arrow = orthogonal(mixed[-1][1], 1, bias=False)

    def votes(self, x: Tensor, element: Tensor, removed: Tensor) -> Votes:
        left = remaining(element >= 0, removed)
        there = left.transpose(1, 2)[:, None, :, :, None].to(x.dtype)
        r = x[:, None] - x[:, :, None]
        d = (r.square().sum(-1) + 1e-8).sqrt()
        basis = (-1.6 * (d[..., None] - self.centres) ** 2).exp()  # 1.6 is 4 Gaussians over 2.5 angstrom
        unit = r / d[..., None]
        f = {0: self.embed(one_hot(element, x.dtype))}
        for k, convolution in enumerate(self.convolutions):
            f = convolution({l: value * there for l, value in f.items()}, basis, unit)
            if k < len(self.own):
                f = {l: self.own[k][str(l)](value) for l, value in f.items()}
                f = {0: softplus(f[0]), 1: bend(f[1], self.bias[k])}
        arrows = self.arrow(f[1])[..., 0].permute(0, 3, 2, 1)
        return votes(x, left, arrows, self.weight(f[0][:, 0]), self.scores(f[0][:, 0]))

    def forward(self, x: Tensor, element: Tensor, removed: Tensor) -> tuple[Tensor, Tensor]:
        return self.votes(x, element, removed).guess()


class Depthwise(nn.Module):
    """The published convolution: each path and channel has a radial function of its own; filters of degree 0 and 1.

    The sums are exchanged here too: the radial perceptron is linear in its hidden units, so that senders are weighted first,
    once for each hidden unit. Features are (B, 2l + 1, n, R, C).
    """

    def __init__(self, channels: dict[int, int], hidden: int = 4):
        super().__init__()
        self.paths = [(0, 0, 0), (0, 1, 1)] + ([(1, 1, 0), (1, 0, 1), (1, 1, 1)] if 1 in channels else [])
        self.channels_out = {l: sum(channels[a] for a, _, c in self.paths if c == l) for l in (0, 1)}
        name = lambda path: "{}{}{}".format(*path)
        self.inner = nn.ModuleDict({name(path): nn.Linear(4, hidden) for path in self.paths})
        self.outer = nn.ModuleDict({name(path): nn.Linear(hidden, channels[path[0]]) for path in self.paths})
        for linear in (*self.inner.values(), *self.outer.values()):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, f: dict[int, Tensor], basis: Tensor, unit: Tensor) -> dict[int, Tensor]:
        out: dict[int, list[Tensor]] = {0: [], 1: []}
        for (a, b, c), inner, outer in zip(self.paths, self.inner.values(), self.outer.values(), strict=True):
            units = functional.pad(inner(basis).relu(), (0, 1), value=1.0)  # the last stands for the bias
            weights = torch.cat([outer.weight.T, outer.bias[None]])  # (hidden + 1, C)
            filters = units[..., None, :] if b == 0 else unit[..., None] * units[..., None, :]  # (B, n, n, 2b + 1, hidden + 1)
            sent = f[a][..., None, :] * weights
            out[c].append(couple(torch.einsum("bijuk,bvjrkc->buvirc", filters, sent), a, b, c))
        return {l: torch.cat(parts, -1) for l, parts in out.items()}


def couple(t: Tensor, a: int, b: int, c: int) -> Tensor:
    """From filter order u and feature order v, (B, 2b + 1, 2a + 1, ...), to degree c: number times, dot product, cross product."""
    if (a, b, c) == (1, 1, 0):
        return t[:, 0, 0:1] + t[:, 1, 1:2] + t[:, 2, 2:3]
    if (a, b, c) == (1, 1, 1):
        return torch.stack([t[:, 1, 2] - t[:, 2, 1], t[:, 2, 0] - t[:, 0, 2], t[:, 0, 1] - t[:, 1, 0]], 1)
    return t.flatten(1, 2)


# --- Parts ----------------------------------------------------------------------------------------------------------------


def remaining(present: Tensor, removed: Tensor) -> Tensor:
    """Which atoms are left when atom removed[b, r] of molecule b is gone: (B, R, n) for present (B, n) and removed (B, R)."""
    atoms = torch.arange(present.shape[1], device=present.device)
    return present[:, None] & (atoms != removed[..., None])


def one_hot(element: Tensor, dtype: torch.dtype) -> Tensor:
    """Elements (B, n) as features of degree 0, (B, 1, n, 1, 5)."""
    return functional.one_hot(element + 1, ELEMENTS + 1)[:, None, :, None, 1:].to(dtype)


def votes(x: Tensor, left: Tensor, arrows: Tensor | float, weight: Tensor, scores: Tensor) -> Votes:
    """Votes from arrows (B, R, n, 3), weights (B, n, R, 1) and scores (B, n, R, 5) of atoms of which some are left (B, R, n)."""
    weight = weight[..., 0].transpose(1, 2).masked_fill(~left, -torch.inf).softmax(-1)
    return Votes((x[:, None] + arrows).expand(*left.shape, 3), weight, scores.transpose(1, 2))


def gate(f: dict[int, Tensor]) -> dict[int, Tensor]:
    """Features {l: (N, C_l, 2l + 1)}: degree 0 through SiLU, arrows times the sigmoid of a number.

    Each arrow has a number of its own, which stands behind those of degree 0."""
    gated = {l: value.shape[-1] for l, value in f.items() if l}
    numbers, *gates = f[0].split([f[0].shape[-1] - sum(gated.values()), *gated.values()], -1)
    return {0: functional.silu(numbers)} | {l: f[l] * g.sigmoid() for l, g in zip(gated, gates, strict=True)}


def layer(
    f: dict[int, Tensor], geometry: factorised.Geometry, convolution: factorised.Convolution, own: nn.ModuleDict
) -> dict[int, Tensor]:
    """Convolution plus self-interaction of {l: (B, 2l + 1, n, R, C_l)}, then the gate."""
    sent = convolution(f, geometry)
    return gate({l: sent[l] + own[str(l)](f[l]) if l in f else sent[l] for l in sent})


def self_interaction(channels_in: dict[int, int], channels_out: dict[int, int], linear=nn.Linear) -> nn.ModuleDict:
    """A matrix over channels for each degree that comes in, with a bias for degree 0."""
    return nn.ModuleDict({str(l): linear(c, channels_out[l], bias=l == 0) for l, c in channels_in.items()})


def orthogonal(size_in: int, size_out: int, bias: bool = True) -> nn.Linear:
    """A linear map (..., size_in) -> (..., size_out) with orthogonal initial weights and a bias of zero."""
    linear = nn.Linear(size_in, size_out, bias)
    nn.init.orthogonal_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


def bend(f: Tensor, bias: Tensor) -> Tensor:
    """eta(|f| + b) f / |f| for arrows (B, 3, n, R, C): the length goes through the softplus."""
    length = f.square().sum(1, keepdim=True).clamp_min(1e-8).sqrt()
    return f * (softplus(length + bias) / length)
