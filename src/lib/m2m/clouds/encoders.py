"""From a cloud to a vector: PointNet and attention between points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from m2m.clouds.distances import check


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

    Source: Qi et al. 2017, arXiv:1612.00593, without its networks that turn the input.

    >>> PointNet(16)(torch.zeros(2, 100, 3)).shape
    torch.Size([2, 16])
    """

    def __init__(self, out: int, point: Sequence[int] = (128, 128, 256, 512), head: Sequence[int] = (256,)):
        super().__init__()
        self.point, self.head = mlp([3, *point]), mlp([point[-1], *head, out])

    def forward(self, x: Tensor) -> Tensor:
        _check_batch(x)
        with torch.no_grad():
            winner = torch.stack([self.point(cloud).argmax(0) for cloud in x])
        rows = winner + x.shape[1] * torch.arange(len(x), device=x.device)[:, None]
        rows, place = rows.unique(return_inverse=True)
        features = self.point(x.reshape(-1, 3)[rows])
        return self.head(features.gather(0, place))


class Attention(nn.Module):
    """Layers of attention between the points of a cloud, the largest of each feature, a network: (B, N, 3) -> (B, out).

    Args:
        out: size of the vector.
        width, heads, layers: of the attention.
        over: "points", or "batch" to repeat an error that has been published. There the cloud batch (B, N, C) went into
            layers that read it as (length, batch, C), so that point 7 of a cloud attended to point 7 of the other clouds:
            the code then depends on the order of the points and on the rest of the batch.

    Raises:
        ValueError: clouds of another form, an unknown axis.

    Source: Vaswani et al. 2017, arXiv:1706.03762, without positions and dropout; layer normalisation before each part.
    """

    def __init__(self, out: int, width: int = 64, heads: int = 4, layers: int = 2, over: str = "points"):
        super().__init__()
        if over not in ("points", "batch"):
            raise ValueError(f"over: got {over!r}, expected 'points' or 'batch'")
        self.embed, self.head = nn.Linear(3, width), mlp([width, 4 * width, out])
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout=0.0, norm_first=True, batch_first=over == "points", activation="relu"
            )
            for _ in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        _check_batch(x)
        f = self.embed(x)
        for layer in self.layers:
            f = layer(f)
        return self.head(f.amax(1))


def _check_batch(x: Tensor) -> None:
    check("x", x)
    if x.ndim != 3 or x.shape[2] != 3 or not len(x):
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected at least one cloud (B, N, 3)")
