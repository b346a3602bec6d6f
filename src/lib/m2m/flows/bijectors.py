"""Bijectors: maps with an inverse and a Jacobian determinant that is cheap.

Every bijector is a module with

    forward(z) -> x, log|det dx/dz|        inverse(x) -> z, log|det dz/dx|

on tensors (..., D); the log-determinants are (...,). Both directions are differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m.flows.made import MADE

Pair = tuple[Tensor, Tensor]


# --- Element-wise maps with given parameters: what autoregressive and coupling bijectors apply to one dimension ----------


class AffineTransform:
    """x = z exp(alpha) + mu with parameters (..., 2): the shift mu and the raw log-scale r.

    alpha = r / (1 + |r| / bound) stays within +-bound, so that points far from the data cannot overflow; with `bound=None`
    alpha = r.
    """

    outputs = 2

    def __init__(self, bound: float | None = 3.0):
        if bound is not None and not bound > 0:
            raise ValueError(f"AffineTransform: got bound={bound}, expected a positive number or None")
        self.bound = bound

    def shift_and_log_scale(self, params: Tensor) -> Pair:
        mu, r = params.unbind(-1)
        return mu, r if self.bound is None else r / (1 + r.abs() / self.bound)

    def forward(self, z: Tensor, params: Tensor) -> Pair:
        mu, alpha = self.shift_and_log_scale(params)
        return z * alpha.exp() + mu, alpha

    def inverse(self, x: Tensor, params: Tensor) -> Pair:
        mu, alpha = self.shift_and_log_scale(params)
        return (x - mu) / alpha.exp(), -alpha


class SplineTransform:
    """Monotone rational-quadratic spline on [-bound, bound], the identity outside (Durkan et al. 2019, arXiv:1906.04032).

    Parameters (..., 3 bins - 1): bin widths, bin heights, slopes at the inner knots, all unnormalised; zeros give the
    identity.
    """

    def __init__(self, bins: int = 8, bound: float = 5.0):
        if bins < 2 or bound <= 0:
            raise ValueError(f"SplineTransform: got bins={bins}, bound={bound}; expected bins >= 2 and bound > 0")
        self.bins, self.bound, self.outputs = bins, bound, 3 * bins - 1

    def knots(self, params: Tensor, smallest: float = 1e-3) -> tuple[Tensor, Tensor, Tensor]:
        """Knot positions in z and in x, and the slopes there, each (..., bins + 1)."""
        widths, heights, slopes = params.split([self.bins, self.bins, self.bins - 1], -1)

        def edges(raw: Tensor) -> Tensor:
            share = smallest + (1 - smallest * self.bins) * raw.softmax(-1)
            inner = share.cumsum(-1)[..., :-1]
            return self.bound * (2 * functional.pad(functional.pad(inner, (1, 0)), (0, 1), value=1.0) - 1)

        # softplus(log(e - 1)) = 1, so raw slopes of zero are slopes of one, as in the tails
        inner = smallest + (1 - smallest) * functional.softplus(slopes + math.log(math.e - 1))
        return edges(widths), edges(heights), functional.pad(inner, (1, 1), value=1.0)

    def _bin(self, value: Tensor, edges: Tensor, params: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """Left knot, width, lower knot, height, slopes left and right of the bin that each value falls into."""
        index = torch.searchsorted(edges[..., 1:-1].contiguous(), value[..., None].contiguous(), right=True)
        zs, xs, slopes = params
        pick = lambda t, i: t.gather(-1, i)[..., 0]
        left, low = pick(zs, index), pick(xs, index)
        return [left, pick(zs, index + 1) - left, low, pick(xs, index + 1) - low, pick(slopes, index), pick(slopes, index + 1)]

    def forward(self, z: Tensor, params: Tensor) -> Pair:
        knots = self.knots(params)
        inside = z.abs() < self.bound
        left, width, low, height, d0, d1 = self._bin(z, knots[0], knots)
        t = ((z - left) / width).clamp(0, 1)
        mean = height / width
        both = d0 + d1 - 2 * mean
        below = mean + both * t * (1 - t)
        x = low + height * (mean * t * t + d0 * t * (1 - t)) / below
        return torch.where(inside, x, z), torch.where(inside, self._log_slope(t, mean, d0, d1, below), 0.0)

    def inverse(self, x: Tensor, params: Tensor) -> Pair:
        knots = self.knots(params)
        inside = x.abs() < self.bound
        left, width, low, height, d0, d1 = self._bin(x, knots[1], knots)
        mean = height / width
        both = d0 + d1 - 2 * mean
        y = ((x - low) / height).clamp(0, 1)
        # The quadratic a t^2 + b t + c = 0, solved in the form that does not cancel for a near zero
        a, b, c = mean - d0 + y * both, d0 - y * both, -mean * y
        t = 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())
        below = mean + both * t * (1 - t)
        z = left + t * width
        return torch.where(inside, z, x), torch.where(inside, -self._log_slope(t, mean, d0, d1, below), 0.0)

    @staticmethod
    def _log_slope(t: Tensor, mean: Tensor, d0: Tensor, d1: Tensor, below: Tensor) -> Tensor:
        above = mean**2 * (d1 * t * t + 2 * mean * t * (1 - t) + d0 * (1 - t) ** 2)
        return above.log() - 2 * below.log()


def _check_dim(value: Tensor, dim: int) -> None:
    """For the maps that pick dimensions by number: they would drop what is too much without a word."""
    if value.shape[-1:] != (dim,):
        raise ValueError(f"got points of shape {tuple(value.shape)}, expected (..., {dim})")


# --- Bijectors ------------------------------------------------------------------------------------------------------------


class Inverse(nn.Module):
    """The same map, run the other way."""

    def __init__(self, bijector: nn.Module):
        super().__init__()
        self.bijector = bijector

    def forward(self, z: Tensor) -> Pair:
        return self.bijector.inverse(z)

    def inverse(self, x: Tensor) -> Pair:
        return self.bijector.forward(x)


class MaskedAutoregressive(nn.Module):
    """x_i = transform(z_i; parameters from x_1 .. x_(i-1)) (MAF: Papamakarios et al. 2017, arXiv:1705.07057).

    `inverse` is one pass of the network, all dimensions at once; `forward` has to go through them in order. Wrapped in
    `Inverse` it is the inverse autoregressive flow (IAF: Kingma et al. 2016, arXiv:1606.04934).

    Args:
        dim: D.
        hidden: units of each hidden layer of the MADE that gives the parameters.
        transform: the element-wise map; `AffineTransform()` or `SplineTransform()`.
        identity: start as the identity; otherwise the last layer keeps its random weights.
    """

    def __init__(self, dim: int, hidden: Sequence[int] = (128, 128), transform=None, identity: bool = True):
        super().__init__()
        self.transform = transform or AffineTransform()
        self.net = MADE(dim, hidden, self.transform.outputs)
        if identity:
            self.net.zero_last()

    def forward(self, z: Tensor) -> Pair:
        x, log_det = self.net.scan(z.reshape(-1, z.shape[-1]), self.transform.forward)
        return x.view(z.shape), log_det.view(z.shape[:-1])

    def inverse(self, x: Tensor) -> Pair:
        z, log_slopes = self.transform.inverse(x, self.net(x))
        return z, log_slopes.sum(-1)


class Coupling(nn.Module):
    """Half of the dimensions stay and give the parameters for the other half (RealNVP: Dinh et al. 2017, arXiv:1605.08803).

    Both directions are one pass. `keep` (D,) is True where a dimension stays.
    """

    def __init__(self, keep: Tensor, hidden: Sequence[int] = (128, 128), transform=None):
        super().__init__()
        keep = torch.as_tensor(keep, dtype=torch.bool)
        if keep.ndim != 1 or keep.all() or not keep.any():
            raise ValueError(f"Coupling: got keep={keep.tolist()}, expected one flag per dimension, some True and some False")
        self.transform = transform or AffineTransform()
        self.register_buffer("kept", keep.nonzero()[:, 0])
        self.register_buffer("changed", (~keep).nonzero()[:, 0])
        self.register_buffer("back", torch.cat([self.kept, self.changed]).argsort())
        sizes = [len(self.kept), *hidden]
        layers = [layer for a, b in zip(sizes, hidden, strict=False) for layer in (nn.Linear(a, b), nn.ReLU())]
        last = nn.Linear(sizes[-1], len(self.changed) * self.transform.outputs)
        nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
        self.net = nn.Sequential(*layers, last, nn.Unflatten(-1, (len(self.changed), self.transform.outputs)))

    def _apply_to_changed(self, value: Tensor, transform) -> Pair:
        _check_dim(value, len(self.back))
        kept = value[..., self.kept]
        changed, log_slopes = transform(value[..., self.changed], self.net(kept))
        return torch.cat([kept, changed], -1)[..., self.back], log_slopes.sum(-1)

    def forward(self, z: Tensor) -> Pair:
        return self._apply_to_changed(z, self.transform.forward)

    def inverse(self, x: Tensor) -> Pair:
        return self._apply_to_changed(x, self.transform.inverse)


class Permutation(nn.Module):
    """x_i = z_order(i); log-determinant zero."""

    def __init__(self, order: Sequence[int] | Tensor):
        super().__init__()
        order = torch.as_tensor(order)
        if order.ndim != 1 or sorted(order.tolist()) != list(range(len(order))) or order.is_floating_point():
            raise ValueError(f"Permutation: got {order.tolist()}, expected each of the whole numbers 0 .. {len(order) - 1} once")
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def forward(self, z: Tensor) -> Pair:
        _check_dim(z, len(self.order))
        return z.index_select(-1, self.order), z.new_zeros(z.shape[:-1])

    def inverse(self, x: Tensor) -> Pair:
        _check_dim(x, len(self.order))
        return x.index_select(-1, self.back), x.new_zeros(x.shape[:-1])


class Linear(nn.Module):
    """x = W z + b with W = P L U, so that log|det W| is a sum of D numbers (Glow: Kingma & Dhariwal 2018, arXiv:1807.03039).

    For an image, Glow shares W among the pixels and mixes channels (a 1 x 1 convolution); here it mixes all dimensions.

    Args:
        dim: D.
        weight: W to start from, (D, D), invertible; by default the identity.
        bias: b to start from, (D,); by default zero.
    """

    def __init__(self, dim: int, weight: Tensor | None = None, bias: Tensor | None = None):
        super().__init__()
        weight = torch.eye(dim) if weight is None else weight
        if weight.shape != (dim, dim):
            raise ValueError(f"Linear: got weight of shape {tuple(weight.shape)}, expected ({dim}, {dim})")
        if bias is not None and bias.shape != (dim,):
            raise ValueError(f"Linear: got bias of shape {tuple(bias.shape)}, expected ({dim},)")
        p, lower, upper = torch.linalg.lu(weight.double())
        diagonal = upper.diagonal()
        smallest, largest = diagonal.abs().min(), diagonal.abs().max()
        # A weight of lower rank has a pivot that is only rounding, seldom exactly zero
        if not smallest > dim * torch.finfo(torch.float32).eps * largest:
            raise ValueError(f"Linear: got a singular weight (pivots from {smallest:.1e} to {largest:.1e}), expected an invertible one")
        self.register_buffer("p", p.float())
        self.register_buffer("sign", diagonal.sign().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.log_diagonal = nn.Parameter(diagonal.abs().log().float())
        self.bias = nn.Parameter(torch.zeros(dim) if bias is None else bias.float().clone())

    def factors(self) -> Pair:
        """L with ones on its diagonal, and U, each (D, D)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())

    def forward(self, z: Tensor) -> Pair:
        lower, upper = self.factors()
        return z @ (self.p @ lower @ upper).T + self.bias, self.log_diagonal.sum().expand(z.shape[:-1])

    def inverse(self, x: Tensor) -> Pair:
        lower, upper = self.factors()
        y = ((x - self.bias) @ self.p).reshape(-1, x.shape[-1]).T
        y = torch.linalg.solve_triangular(lower, y, upper=False, unitriangular=True)
        z = torch.linalg.solve_triangular(upper, y, upper=True).T
        return z.reshape(x.shape), -self.log_diagonal.sum().expand(x.shape[:-1])


class Elementwise(nn.Module):
    """x_i = transform(z_i) with free parameters, the same for every sample: D one-dimensional flows side by side."""

    def __init__(self, dim: int, transform=None):
        super().__init__()
        self.transform = transform or AffineTransform()
        self.params = nn.Parameter(torch.zeros(dim, self.transform.outputs))

    def forward(self, z: Tensor) -> Pair:
        x, log_slopes = self.transform.forward(z, self.params.expand(*z.shape, -1))
        return x, log_slopes.sum(-1)

    def inverse(self, x: Tensor) -> Pair:
        z, log_slopes = self.transform.inverse(x, self.params.expand(*x.shape, -1))
        return z, log_slopes.sum(-1)


class Sigmoid(nn.Module):
    """x = 1 / (1 + exp(-z)): from all numbers to (0, 1). Run backwards, it frees pixels from their bounds."""

    def forward(self, z: Tensor) -> Pair:
        return z.sigmoid(), (functional.logsigmoid(z) + functional.logsigmoid(-z)).sum(-1)

    def inverse(self, x: Tensor) -> Pair:
        z = x.log() - (-x).log1p()
        return z, -self.forward(z)[1]
