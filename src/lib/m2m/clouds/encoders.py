"""From a cloud to a vector: PointNet, and attention between all points or near ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m.clouds.distances import check
from m2m.messages import neighbours


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers = [layer for into, out in pairwise(sizes) for layer in (nn.Linear(into, out), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class PointNet(nn.Module):
    r"""$h(\max_i \phi(x_i))$: the same network for each point, the largest of each feature, a second network.

    Clouds (B, N, 3) -> (B, out), whatever the order of the points and their number.

    Only the points that have the largest value of some feature have a gradient. So they are searched for first, without
    autograd and a cloud at a time, and computed again with it: the same numbers and gradients, for a part of the work.

    Args:
        out: size of the vector; for a mean and a log-variance, twice the latent size.
        point: units of the layers of phi.
        head: units of the hidden layers of h.
        points: reads only the first so many points of a cloud.

    Source: Qi et al. 2017, arXiv:1612.00593, without its networks that turn the input.

    >>> PointNet(16)(torch.zeros(2, 100, 3)).shape
    torch.Size([2, 16])
    """

    def __init__(
        self, out: int, point: Sequence[int] = (128, 128, 256, 512), head: Sequence[int] = (256,), points: int | None = None
    ):
        super().__init__()
        check_positive(points=1 if points is None else points)
        self.points = points
        self.point, self.head = mlp([3, *point]), mlp([point[-1], *head, out])

    def forward(self, x: Tensor) -> Tensor:
        _check_batch(x)
        x = x[:, : self.points]
        with torch.no_grad():
            winner = torch.stack([self.point(cloud).argmax(0) for cloud in x])
        rows = winner + x.shape[1] * torch.arange(len(x), device=x.device)[:, None]
        rows, place = rows.unique(return_inverse=True)
        features = self.point(x.reshape(-1, 3)[rows])
        return self.head(features.gather(0, place))


class Attention(nn.Module):
    """Layers of attention between the points of a cloud, one vector of all points, a network: (B, N, 3) -> (B, out).

    Args:
        out: size of the vector.
        width, heads, layers: of the attention.
        over: "points"; "neighbours", where each point attends to itself and its k nearest, found once, from the positions;
            or "batch" to repeat an error that has been published. There the cloud batch (B, N, C) went into layers that
            read it as (length, batch, C), so that point 7 of a cloud attended to point 7 of the other clouds: the code then
            depends on the order of the points and on the rest of the batch.
        pool: "max", the largest of each feature; or "attention", a learned query of each head weighs the points.
        k: neighbours, or all other points where there are fewer.
        points: reads only the first so many points of a cloud, whose points then have to come in random order. Attention
            over all points costs N^2.

    Raises:
        ValueError: clouds of another form, an unknown axis or pooling, sizes that are not positive.

    Source: Vaswani et al. 2017, arXiv:1706.03762, without positions and dropout; layer normalisation before each part.
    Pooling: Lee et al. 2019, arXiv:1810.00825, eq. 11 with one seed.
    """

    def __init__(
        self, out: int, width: int = 64, heads: int = 4, layers: int = 2, over: str = "points", *, pool: str = "max",
        k: int = 16, points: int | None = None,
    ):  # fmt: skip
        super().__init__()
        for name, value, known in (("over", over, AXES), ("pool", pool, POOLS)):
            if value not in known:
                raise ValueError(f"{name}: got {value!r}, expected {', '.join(map(repr, known[:-1]))} or {known[-1]!r}")
        check_positive(k=k, points=1 if points is None else points)
        self.over, self.k, self.points = over, k, points
        self.embed, self.head = nn.Linear(3, width), mlp([width, 4 * width, out])
        self.layers = nn.ModuleList(_layer(over, width, heads) for _ in range(layers))
        self.pool = AttentionPool(width, heads) if pool == "attention" else None

    def forward(self, x: Tensor) -> Tensor:
        _check_batch(x)
        x = x[:, : self.points]
        f = self.embed(x)
        near = (nearest(x, self.k),) if self.over == "neighbours" else ()
        for layer in self.layers:
            f = layer(f, *near)
        return self.head(f.amax(1) if self.pool is None else self.pool(f))


AXES, POOLS = ("points", "neighbours", "batch"), ("max", "attention")


def _layer(over: str, width: int, heads: int) -> nn.Module:
    if over == "neighbours":
        return NeighbourAttention(width, heads)
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0.0, norm_first=True, batch_first=over == "points", activation="relu"
    )


class NeighbourAttention(nn.Module):
    """A layer of attention in which each point attends to some points only: f (B, N, C), indices (B, N, k) -> (B, N, C).

    Otherwise torch's `TransformerEncoderLayer`. All scores are computed and most are masked out: up to about a thousand
    points that is faster than to gather the keys and values of the neighbours, whose gradients have to be added up again.
    """

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        if width % heads:
            raise ValueError(f"heads: got {heads} for width {width}, expected a number that divides it")
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = mlp([width, 2 * width, width])

    def forward(self, f: Tensor, near: Tensor) -> Tensor:
        f = f + self.attend(self.norm1(f), near)
        return f + self.feed(self.norm2(f))

    def attend(self, f: Tensor, near: Tensor) -> Tensor:
        batch, n, width = f.shape
        query, key, value = self.inputs(f).view(batch, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        heard = torch.zeros(batch, n, n, dtype=torch.bool, device=f.device).scatter_(2, near, True)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=heard[:, None])
        return self.out(mixed.transpose(1, 2).reshape(batch, n, width))


class AttentionPool(nn.Module):
    """(B, N, C) -> (B, C): means over the points, in each head with the weights that a learned query gives them."""

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads, self.score = heads, nn.Linear(width, heads, bias=False)  # key and query in one: q_h . K_h f = s_h . f
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, f: Tensor) -> Tensor:
        value = self.value(f).unflatten(-1, (self.heads, -1))
        return self.out((self.score(f).softmax(1)[..., None] * value).sum(1).flatten(1))


def nearest(x: Tensor, k: int) -> Tensor:
    """Each point of clouds (B, N, 3) and its k nearest others, or all others where there are fewer: indices (B, N, k + 1)."""
    batch, n, _ = x.shape
    itself = torch.arange(n, device=x.device).expand(batch, n)[..., None]
    number = torch.arange(batch, device=x.device).repeat_interleave(n)
    found = neighbours.nearest(x.detach().reshape(-1, 3), k, number)[1].view(batch, n, -1) if n > 1 else itself[..., :0]
    return torch.cat([itself, found - n * torch.arange(batch, device=x.device)[:, None, None]], -1)


def _check_batch(x: Tensor) -> None:
    check("x", x)
    if x.ndim != 3 or x.shape[2] != 3 or not len(x):
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected at least one cloud (B, N, 3)")


def check_positive(**sizes: int) -> None:
    """Refuse sizes, given by name, that are not whole numbers from 1 on."""
    for name, size in sizes.items():
        if size != int(size) or size < 1:
            raise ValueError(f"{name}: got {size}, expected a whole number from 1 on")
