"""Tensor field networks: convolutions whose kernels are a learned radial function times spherical harmonics.

A convolution takes features of some degrees to features of others. For each path (l_in, l_filter, l_out) with
|l_in - l_filter| <= l_out <= l_in + l_filter (`m` runs over -l_out .. l_out, a and b over the other two)

    f'_i[m] += sum_j  phi(d_ij) W  sqrt(2 l_out + 1) sum_{a, b} C[a, b, m]  Y[b](r_ij)  f_j[a]

Features are dicts {l: (N, C_l, 2 l + 1)}. They turn with Wigner matrices when the points turn; mirrors are not respected,
since a path like (1, 1, 1) is a cross product. Source: Thomas et al., Tensor field networks, https://arxiv.org/abs/1802.08219.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m.messages import radial
from m2m.tensors import irreps
from m2m.tensors.clebsch_gordan import paths as allowed
from m2m.tensors.nonlinear import Gate, NormNonlinearity, check_channels, choose
from m2m.tensors.products import Features, Geometry, Path, ordered, products

__all__ = ["Convolution", "Gate", "Geometry", "Layer", "NormNonlinearity", "Radial", "SelfInteraction"]


class Radial(nn.Module):
    """Numbers of a distance, SiLU(A e(d) + b) C(d): d (...) -> (..., hidden), zero with its slope beyond the cutoff.

    Args:
        basis: e_k(d), a module with `size` such as `radial.Gaussians`.
        hidden: how many numbers.
        cutoff: r_c of the smooth cutoff C(d); None for none.
    """

    def __init__(self, basis: nn.Module, hidden: int, cutoff: float | None = None):
        super().__init__()
        if cutoff is not None and not cutoff > 0:
            raise ValueError(f"cutoff: got {cutoff}, expected a positive distance or None")
        self.basis, self.linear, self.cutoff = basis, nn.Linear(basis.size, hidden), cutoff
        nn.init.normal_(self.linear.weight, std=0.75)  # few Gaussians are large at a time: their squares sum to 1.8
        nn.init.zeros_(self.linear.bias)

    def forward(self, d: Tensor) -> Tensor:
        return self.bent(self.linear(self.basis(d)), d)

    def bent(self, h: Tensor, d: Tensor) -> Tensor:
        """SiLU(h) C(d) for h (..., hidden) and d (...)."""
        h = functional.silu(h)
        return h if self.cutoff is None else h * radial.polynomial(d, self.cutoff)[..., None]


class Convolution(nn.Module):
    """Sums over neighbours along all paths, each with a learned radial function.

    Args:
        channels_in, channels_out: {l: C_l}.
        l_filter: highest degree of the harmonics.
        basis, hidden, cutoff: of the radial functions, `Radial` and a linear layer without bias.
        kind: "full", a radial function for each path and each pair of channels (e3nn's "uvw"), or "depthwise", one for each
            path and each channel that comes in, with a matrix that mixes channels after the sum ("uvu" and a linear layer).
        paths: (l_in, l_filter, l_out) to use, by default all that are allowed.
        neighbours: sums are divided by its square root; the mean number of neighbours keeps features of size 1.

    The layer as a formula: for each l_out, with t_ij the products of all paths beside each other and h = Radial(d_ij),

        full       f'_i = sum_j t_ij (sum_k h_k W_k)         W_k (P, C_out)
        depthwise  f'_i = (sum_j t_ij * (sum_k h_k w_k)) M    w_k (P), M (P, C_out)

    Raises:
        ValueError: no path leads to a degree of channels_out, a path that is not allowed, an unknown kind.
    """

    def __init__(
        self,
        channels_in: Mapping[int, int],
        channels_out: Mapping[int, int],
        l_filter: int,
        basis: nn.Module,
        *,
        hidden: int = 32,
        cutoff: float | None = None,
        kind: str = "full",
        paths: Iterable[Path] | None = None,
        neighbours: float = 1.0,
    ):
        super().__init__()
        self.channels_in = check_channels("channels_in", channels_in)
        self.channels_out = check_channels("channels_out", channels_out)
        if kind not in ("full", "depthwise"):
            raise ValueError(f"kind: got {kind!r}, expected 'full' or 'depthwise'")
        if not neighbours > 0:
            raise ValueError(f"neighbours: got {neighbours}, expected a positive number")
        self.l_filter, self.kind, self.neighbours = irreps.degree(l_filter, "l_filter"), kind, neighbours
        every = ordered(allowed(self.channels_in, range(l_filter + 1), self.channels_out))
        self.paths = every if paths is None else ordered(paths)
        self._check_paths(every)
        self.width = {l: sum(self.channels_in[path[0]] for path in self.paths if path[2] == l) for l in self.channels_out}
        self.radial = Radial(basis, hidden, cutoff)
        size = {l: width * (self.channels_out[l] if kind == "full" else 1) for l, width in self.width.items()}
        self.weights = nn.ParameterDict({str(l): _normal(hidden, n, gain=1.7) for l, n in size.items()})
        self.mix = nn.ParameterDict()
        if kind == "depthwise":
            self.mix.update({str(l): _normal(width, self.channels_out[l], fan=1) for l, width in self.width.items()})

    def forward(self, f: Features, geometry: Geometry) -> Features:
        """f {l: (N, C_l, 2 l + 1)} of the channels that come in -> the same of the channels that go out.

        A node without neighbours gets zeros.

        Raises:
            ValueError: degrees, channels, nodes or types that do not fit.
        """
        self._check(f, geometry)
        h = self.radial(geometry.arranged(geometry.d))
        step = self._depthwise if self.kind == "depthwise" else self._full if geometry.slots is None else self._exchanged
        out = {}
        for l, t in products(f, geometry, self.paths).items():
            # Divided by the roots of the number of terms, so that features of size 1 give features of size 1
            out[l] = step(l, t, h, geometry).mT / math.sqrt(self.width[l] * self.neighbours)
        return out

    def radials(self, d: Tensor) -> dict[Path, Tensor]:
        """The radial function of each path at distances d (...), {path: (..., C_in, C_out)}.

        With all factors, so that f'_i[m] = sum over j and paths of phi(d_ij) C[a, b, m] Y[b](r_ij) f_j[a].
        """
        h, start, out = self.radial(d), dict.fromkeys(self.channels_out, 0), {}
        for path in self.paths:
            l, c = path[2], self.channels_in[path[0]]
            rows = slice(start[l], start[l] + c)
            start[l] += c
            weights = self.weights[str(l)]
            if self.kind == "full":
                phi = (h @ weights).unflatten(-1, (self.width[l], -1))[..., rows, :]
            else:
                phi = (h @ weights[:, rows])[..., None] * self.mix[str(l)][rows]
            out[path] = phi * math.sqrt((2 * l + 1) / (self.width[l] * self.neighbours))
        return out

    def _full(self, l: int, t: Tensor, h: Tensor, geometry: Geometry) -> Tensor:
        """Edge by edge: t (E, 2 l + 1, P) times a matrix (P, C_out) for each edge, then the sum."""
        weights = (h @ self.weights[str(l)]).view(len(t), self.width[l], self.channels_out[l])
        return geometry.sum(torch.bmm(t, weights))

    def _exchanged(self, l: int, t: Tensor, h: Tensor, geometry: Geometry) -> Tensor:
        """The same with the sums exchanged: first over the neighbours, so that no edge needs a matrix of its own."""
        nodes, k = geometry.nodes, geometry.slots
        h = h.view(nodes, k, -1).mT
        weights = self.weights[str(l)].view(-1, self.channels_out[l])
        # One order m at a time: sum_j h_j t_j is (N, hidden, P), laid out as the matrix of weights wants it
        rows = [torch.bmm(h, part).view(nodes, -1) @ weights for part in t.view(nodes, k, 2 * l + 1, -1).unbind(2)]
        return torch.stack(rows, 1)

    def _depthwise(self, l: int, t: Tensor, h: Tensor, geometry: Geometry) -> Tensor:
        """A number for each edge, path and channel; channels are mixed after the sum."""
        return geometry.sum(t * (h @ self.weights[str(l)])[:, None]) @ self.mix[str(l)]

    def _check_paths(self, every: tuple[Path, ...]) -> None:
        if unknown := set(self.paths) - set(every):
            raise ValueError(f"paths: got {sorted(unknown)}, expected some of {list(every)}")
        if missing := set(self.channels_out) - {path[2] for path in self.paths}:
            raise ValueError(f"channels_out: no path leads to degree {min(missing)}; the paths are {list(self.paths)}")

    def _check(self, f: Features, geometry: Geometry) -> None:
        irreps.check(f, self.channels_in)
        for l, value in f.items():
            if len(value) != geometry.nodes or value.dtype != geometry.Y.dtype:
                got = f"{len(value)} nodes of {value.dtype}"
                raise ValueError(
                    f"f: got {got} in degree {l}, expected {geometry.nodes} of {geometry.Y.dtype}, as in geometry"
                )
        if geometry.l_filter < self.l_filter:
            raise ValueError(f"geometry: got harmonics to degree {geometry.l_filter}, expected {self.l_filter} or more")


class SelfInteraction(nn.Module):
    """A matrix on the channels of each degree, the same for all m, and a bias for degree 0.

    Args:
        channels_in, channels_out: {l: C_l}; degrees that do not go out are dropped.
    """

    def __init__(self, channels_in: Mapping[int, int], channels_out: Mapping[int, int]):
        super().__init__()
        self.channels_in = check_channels("channels_in", channels_in)
        self.channels_out = check_channels("channels_out", channels_out)
        if absent := set(self.channels_out) - set(self.channels_in):
            raise ValueError(
                f"channels_out: got degree {min(absent)}, expected only degrees of channels_in {self.channels_in}"
            )
        self.weights = nn.ParameterDict(
            {
                str(l): _normal(self.channels_in[l], c, gain=self.channels_in[l] ** -0.5, fan=1)
                for l, c in self.channels_out.items()
            }
        )
        self.bias = nn.Parameter(torch.zeros(self.channels_out.get(0, 0), 1))

    def forward(self, f: Features) -> Features:
        """{l: (N, C_l, 2 l + 1)} of the channels that come in -> the same of the channels that go out."""
        irreps.check(f, self.channels_in)
        out = {l: self.weights[str(l)].T @ f[l] for l in self.channels_out}
        return out | ({0: out[0] + self.bias} if 0 in out else {})


class Layer(nn.Module):
    """Convolution, plus self-interaction of what was there, then a non-linearity.

    Args:
        nonlinearity: "gate", "norm" or None.
        options: of `Convolution`.
    """

    def __init__(
        self,
        channels_in: Mapping[int, int],
        channels_out: Mapping[int, int],
        l_filter: int,
        basis: nn.Module,
        *,
        nonlinearity: str | None = "gate",
        **options,
    ):
        super().__init__()
        self.nonlinear, wanted = choose(nonlinearity, channels_out)
        self.convolution = Convolution(channels_in, wanted, l_filter, basis, **options)
        kept = {l: c for l, c in wanted.items() if l in channels_in}
        self.itself = SelfInteraction(channels_in, kept) if kept else None

    def forward(self, f: Features, geometry: Geometry) -> Features:
        """{l: (N, C_l, 2 l + 1)} -> the same of the channels that go out."""
        out = self.convolution(f, geometry)
        if self.itself is not None:
            out |= {l: out[l] + value for l, value in self.itself(f).items()}
        return out if self.nonlinear is None else self.nonlinear(out)


def _normal(rows: int, columns: int, gain: float = 1.0, fan: int | None = None) -> nn.Parameter:
    """Normal numbers (rows, columns) of size gain / sqrt(fan), fan = rows by default."""
    return nn.Parameter(gain / math.sqrt(fan or rows) * torch.randn(rows, columns))
