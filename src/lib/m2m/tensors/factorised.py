"""Convolutions of whole clouds as matrix products: the sums of a tensor field layer in another order.

A radial function that is linear in its weights, phi(d) = sum_k W_k e_k(d), makes a layer a chain of sums,

    f'^(l)_i = sum over paths (l1, l2, l), neighbours j, basis functions k and orders m1, m2 of
               C^(l1 l2 l) Y^(l2)(r_ij) e_k(d_ij) W_k f^(l1)_j.

Only W is learned, and it does not know who receives. So: weights first, once for each sender; then everything that depends
on positions as one matrix H, made once and shared by all layers. Nothing is stored for each pair and channel.

Clouds of different sizes are padded: x (B, n, 3) and `present` (B, n), false where there is no point. Features of degree l
are (B, 2l + 1, n, C) here, orders before points, so that a layer is a product of matrices without moving data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from m2m.tensors.clebsch_gordan import clebsch_gordan, paths
from m2m.tensors.harmonics import harmonics


class Geometry:
    """What layers need to know of the positions: a matrix H^(l) for each degree that they give.

    matrices: {l: (B, (2l + 1) n, columns)}; rows are (m, i), columns (path, m1, j, k), paths with small l1 first, so that a
    layer with fewer input degrees takes the first columns. Pairs i = j and pairs with an absent point are 0.

    Args:
        x: positions (B, n, 3); present: (B, n) of bool; basis: distances (...) -> (..., K), as in `m2m.messages.radial`.
        l_max: the largest degree of features; l_filter: of harmonics, by default the same.
    """

    def __init__(self, x: Tensor, present: Tensor, basis: nn.Module, l_max: int, l_filter: int | None = None):
        _check(x, present)
        self.l_max, self.l_filter = l_max, l_max if l_filter is None else l_filter
        weighted, self.shape = pairs(x, present, basis, self.l_filter)
        (batch, n), size = x.shape[:2], weighted.shape[-1]
        self.size, self.matrices = size, {}
        for l in range(l_max + 1):
            c = coupling(l, l_max, self.l_filter).to(x)  # (2l + 1, Q, orders)
            h = (c.flatten(0, 1) @ weighted.flatten(1)).view(2 * l + 1, -1, batch, n, n * size)
            self.matrices[l] = h.permute(2, 0, 3, 1, 4).reshape(batch, (2 * l + 1) * n, -1)


def pairs(x: Tensor, present: Tensor, basis: nn.Module, l_filter: int) -> tuple[Tensor, tuple[int, int]]:
    """e_k(d_ij) Y_m(r_ij) of every pair with both points present and i != j, else 0: (orders, B, n, n, K)."""
    r = x[:, None] - x[:, :, None]  # from the receiver i, axis 1, to the sender j, axis 2
    joined = present[:, None] & present[:, :, None] & ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    r = torch.where(joined[..., None], r, 0.0)
    squared = r.square().sum(-1)
    d = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
    e = basis(d) * joined[..., None]
    y = harmonics(r, l_filter).movedim(-1, 0)
    return y[..., None] * e, tuple(x.shape[:2])


def coupling(l: int, l_max: int, l_filter: int) -> Tensor:
    """sqrt(2l + 1) C^(l1 l2 l) for all paths to l, (2l + 1, Q, (l_filter + 1)^2): Q counts (path, m1), small l1 first."""
    blocks = []
    for l1, l2, _ in into(l, range(l_max + 1), l_filter):
        block = torch.zeros(2 * l + 1, 2 * l1 + 1, (l_filter + 1) ** 2, dtype=torch.float64)
        block[..., l2 * l2 : (l2 + 1) ** 2] = math.sqrt(2 * l + 1) * clebsch_gordan(l1, l2, l).permute(2, 0, 1)
        blocks.append(block)
    return torch.cat(blocks, 1)


def into(l: int, degrees, l_filter: int) -> list[tuple[int, int, int]]:
    """The paths (l1, l2, l) that end in degree l, ordered by l1."""
    return sorted(paths(degrees, range(l_filter + 1), [l]))


class Convolution(nn.Module):
    """f'^(l)_i = sum_j sum_paths sqrt(2l + 1) C^(l1 l2 l) (Y^(l2)(r_ij), W_path(d_ij) f^(l1)_j), W_path = sum_k W_k e_k(d).

    Maps features {l1: (B, 2 l1 + 1, n, C)} and a `Geometry` to {l: (B, 2l + 1, n, C')}. Weights start normal, with variance
    1 / (number of terms), so that outputs are of the order of inputs. Source: arXiv:1802.08219, section 3.

    Args:
        channels_in, channels_out: {l: C}; degrees of the input are 0, 1, .. without gaps, as in `Geometry`.
        size: how many radial functions e_k.
    """

    def __init__(self, channels_in: dict[int, int], channels_out: dict[int, int], l_filter: int, size: int):
        super().__init__()
        if sorted(channels_in) != list(range(len(channels_in))):
            raise ValueError(f"channels_in: got degrees {sorted(channels_in)}, expected 0, 1, .. without gaps")
        self.channels_in, self.channels_out, self.size = channels_in, channels_out, size
        self.paths = {l: into(l, channels_in, l_filter) for l in channels_out}
        if empty := [l for l, found in self.paths.items() if not found]:
            raise ValueError(f"channels_out: got degree {empty[0]}, to which no path leads from {sorted(channels_in)}")
        self.weights = nn.ParameterDict()
        for l, found in self.paths.items():
            terms = size * sum(channels_in[l1] for l1, _, _ in found)
            for path in found:
                weight = torch.randn(channels_in[path[0]], size * channels_out[l]) / math.sqrt(terms)
                self.weights["{}{}{}".format(*path)] = nn.Parameter(weight)

    def forward(self, f: dict[int, Tensor], geometry: Geometry) -> dict[int, Tensor]:
        self.check(f, geometry)
        batch, _, n, copies, _ = f[0].shape
        out = {}
        for l, channels in self.channels_out.items():
            sent = []
            for path in self.paths[l]:
                weighted = f[path[0]] @ self.weights["{}{}{}".format(*path)]
                weighted = weighted.view(batch, -1, copies, self.size, channels).transpose(2, 3)
                sent.append(weighted.reshape(batch, -1, copies * channels))  # rows (m1, j, k)
            sent = torch.cat(sent, 1) if len(sent) > 1 else sent[0]
            received = geometry.matrices[l][..., : sent.shape[1]] @ sent
            out[l] = received.view(batch, 2 * l + 1, n, copies, channels)
        return out

    def check(self, f: dict[int, Tensor], geometry: Geometry) -> None:
        """ValueError unless f is {l: (B, 2l + 1, n, R, C_l)} with the geometry's B and n and one R."""
        got = {l: tuple(value.shape) for l, value in f.items()}
        copies = next(iter(got.values()))[3:4] if got else ()
        batch, n = geometry.shape
        wanted = {l: (batch, 2 * l + 1, n, *copies, c) for l, c in self.channels_in.items()}
        if got != wanted or geometry.size != self.size:
            raise ValueError(f"f: got {got} with {geometry.size} radial functions, expected {wanted} with {self.size}")


def _check(x: Tensor, present: Tensor) -> None:
    if x.ndim != 3 or x.shape[-1] != 3 or present.shape != x.shape[:2] or present.dtype != torch.bool:
        got = f"x {tuple(x.shape)}, present {tuple(present.shape)} of {present.dtype}"
        raise ValueError(f"{got}, expected (B, n, 3) and (B, n) of torch.bool")
