"""Networks on sets: every element may look at all others, and none knows what a rotation is.

Both take x (B, n, F), n elements of F numbers each, to (B, n, F_out), and are equivariant to permutations of the elements:

- `DeepSet` (Zaheer et al., https://arxiv.org/abs/1703.06114) tells each element the mean of all others' features;
- `SetTransformer` (Lee et al., https://arxiv.org/abs/1810.00825) lets each choose, by attention, whom it hears.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from m2m import arguments
from m2m.messages.mpnn import mlp


class DeepSet(nn.Module):
    """f_i = phi(x_i), then in each layer f_i' = f_i + phi_f(f_i, mean_j f_j), then a linear read-out.

    Args:
        size_in, size_out: F and F_out.
        channels: width of the features.
        layers: how often the mean is told.
    """

    def __init__(self, size_in: int, size_out: int, channels: int = 64, layers: int = 4):
        super().__init__()
        arguments.whole(size_in=size_in, size_out=size_out, channels=channels, layers=layers)
        self.embed = nn.Linear(size_in, channels)
        self.layers = nn.ModuleList(mlp(2 * channels, channels, channels) for _ in range(layers))
        self.read = nn.Linear(channels, size_out)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, n, F) -> (B, n, F_out).

        Raises:
            ValueError: another shape, or a set without elements.
        """
        check_sets(x, self.embed.in_features)
        f = self.embed(x)
        for layer in self.layers:
            f = f + layer(torch.cat([f, f.mean(1, keepdim=True).expand_as(f)], -1))
        return self.read(f)


class SetTransformer(nn.Module):
    """Layers of self-attention over the elements of a set: a transformer that is not told any order.

    PyTorch's encoder layers, with the norm first; `batch_first`, as attention otherwise runs over the batch.

    Args:
        size_in, size_out: F and F_out.
        channels: width of the features, a multiple of `heads`.
        hidden: width within the feed-forward networks, twice the channels by default.

    Raises:
        ValueError: heads that do not divide the channels.
    """

    def __init__(
        self, size_in: int, size_out: int, channels: int = 64, layers: int = 4, heads: int = 4, hidden: int | None = None
    ):
        super().__init__()
        arguments.whole(size_in=size_in, size_out=size_out, channels=channels, layers=layers, heads=heads)
        if channels % heads:
            raise ValueError(f"heads: got {heads}, expected a divisor of the {channels} channels")
        self.embed = nn.Linear(size_in, channels)
        options = dict(dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(channels, heads, hidden or 2 * channels, **options) for _ in range(layers)
        )
        self.read = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, size_out))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, n, F) -> (B, n, F_out).

        Raises:
            ValueError: another shape, or a set without elements.
        """
        check_sets(x, self.embed.in_features)
        f = self.embed(x)
        for layer in self.layers:
            f = layer(f)
        return self.read(f)


def check_sets(x: Tensor, size: int) -> None:
    """A ValueError unless x is (B, n, size) with n >= 1."""
    if x.ndim != 3 or x.shape[-1] != size or not x.shape[1]:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (B, n, {size}) with at least one element")
