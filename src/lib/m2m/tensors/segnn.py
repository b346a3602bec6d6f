"""Steerable E(n) networks: multilayer perceptrons whose matrices are steered by arrows.

An ordinary layer multiplies features by a matrix W. Here W depends on an attribute a, numbers of degrees 0, 1, .. that turn
when space turns, such as the harmonics of a direction, and it depends on it in the one way that rotations allow:

    (W(a) f)^(l)_m = sum over paths (l1, l2, l), a, b of  W_path  sqrt(2l + 1) C^(l1 l2 l)_abm  f^(l1)_a  a^(l2)_b

With gates between them such layers are a network phi(f; a) of features that turn, and messages and updates can be networks:

    m_ij = phi_m(f_i, f_j, b_ij; a_ij),        f_i' = f_i + phi_f(f_i, sum_j m_ij; a_i)

b_ij are invariant numbers of an edge. Features {l: (rows, C_l, 2l + 1)} have the degrees 0, 1, .. without gaps. Mirrors are
not respected, as paths like (1, 1, 1) are cross products. Source: Brandstetter et al., https://arxiv.org/abs/2110.02905.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from m2m.messages import graph
from m2m.tensors import irreps
from m2m.tensors.clebsch_gordan import clebsch_gordan, paths
from m2m.tensors.harmonics import harmonics
from m2m.tensors.nonlinear import Gate, check_channels

Features = dict[int, Tensor]


class Attributes:
    """Steerable attributes of edges or of nodes, one channel of each degree 0 to l_max.

    Args:
        a: (rows, (l_max + 1)^2), degree by degree, as `harmonics` gives them; sums of harmonics will do, of positions,
            velocities, forces. Degree 0 should not vanish: it is what lets features pass unchanged.

    Raises:
        ValueError: a shape that does not fit, numbers that are not finite.
    """

    def __init__(self, a: Tensor):
        l_max = math.isqrt(a.shape[-1]) - 1 if a.ndim == 2 else -1
        if l_max < 0 or a.shape[1] != (l_max + 1) ** 2 or not a.is_floating_point():
            raise ValueError(f"a: got shape {tuple(a.shape)} of {a.dtype}, expected (rows, (l_max + 1)^2), floating-point")
        if not a.isfinite().all():
            raise ValueError(f"a: got {int((~a.isfinite()).sum())} numbers that are NaN or infinite, expected finite ones")
        self.a, self.l_max = a, l_max
        self.numbers = a.T.contiguous()[..., None].unbind(0)  # (rows, 1) each, ready to multiply channels

    def __len__(self) -> int:
        return len(self.a)

    @classmethod
    def of(cls, r: Tensor, l_max: int) -> Attributes:
        """The harmonics of vectors r (rows, 3), whatever their length; where r = 0 all but degree 0 vanish."""
        return cls(harmonics(r, l_max))


@functools.cache
def terms(path: tuple[int, int, int]) -> list[tuple[int, int, int, float]]:
    """What is not 0 of sqrt(2l + 1) C^(l1 l2 l): (order of f, place of the attribute, order of what goes out, number)."""
    c = math.sqrt(2 * path[2] + 1) * clebsch_gordan(*path)
    found = (c.abs() > 1e-12).nonzero().tolist()
    return [(m1, path[1] ** 2 + m2, m, c[m1, m2, m].item()) for m1, m2, m in found]


class Product(nn.Module):
    """Features times attributes, W(a) f: the linear layer of steerable networks, with a bias for degree 0.

    Args:
        channels_in, channels_out: {l: C_l}, degrees of what comes in without gaps.
        l_attribute: highest degree of the attributes.

    The weights of all paths from one degree l1 are a matrix (C_{l1}, columns). Features are multiplied by it first, `mix`, and
    by the attributes afterwards, `steer`: the first half does not know the attribute, so it can be shared between rows.

    Raises:
        ValueError: degrees with gaps, or one that no path leads to.
    """

    def __init__(self, channels_in: Mapping[int, int], channels_out: Mapping[int, int], l_attribute: int):
        super().__init__()
        self.channels_in = check_channels("channels_in", channels_in)
        self.channels_out = check_channels("channels_out", channels_out)
        self.l_in, self.l_attribute = len(self.channels_in) - 1, irreps.degree(l_attribute)
        if list(self.channels_in) != list(range(self.l_in + 1)):
            raise ValueError(f"channels_in: got degrees {list(self.channels_in)}, expected 0, 1, .. without gaps")
        self.paths = sorted(paths(self.channels_in, range(l_attribute + 1), self.channels_out))
        if missing := set(self.channels_out) - {path[2] for path in self.paths}:
            raise ValueError(f"channels_out: got degree {min(missing)}, to which no path leads from {list(self.channels_in)}")
        fan = {l: sum(self.channels_in[path[0]] for path in self.paths if path[2] == l) for l in self.channels_out}
        self.columns = {l1: [self.channels_out[l] for start, _, l in self.paths if start == l1] for l1 in self.channels_in}
        self.weights = nn.ParameterDict()
        for l1, channels in self.channels_in.items():
            ends = [l for start, _, l in self.paths if start == l1]
            blocks = [torch.randn(channels, self.channels_out[l]) / math.sqrt(fan[l]) for l in ends]
            self.weights[str(l1)] = nn.Parameter(torch.cat(blocks, 1))
        self.bias = nn.Parameter(torch.zeros(self.channels_out.get(0, 0), 1))

    def mix(self, f: Features, start: Mapping[int, int] | None = None) -> Features:
        """The matrices alone: {l1: (2 l1 + 1, rows, columns)}, for each path from l1 as many columns as its C_out.

        Args:
            f: {l: (rows, C, 2l + 1)}, all channels of channels_in, or those that begin at channel `start[l]`.
        """
        first = start or dict.fromkeys(f, 0)
        rows = {l: slice(first[l], first[l] + value.shape[1]) for l, value in f.items()}
        return {l: value.permute(2, 0, 1) @ self.weights[str(l)][rows[l]] for l, value in f.items()}

    def steer(self, mixed: Features, a: Attributes) -> Features:
        """What `mix` gave, times the attributes: {l: (rows, C_out, 2l + 1)}."""
        blocks = [block for l, value in mixed.items() for block in value.split(self.columns[l], -1)]
        out: dict[int, list[Tensor | None]] = {l: [None] * (2 * l + 1) for l in self.channels_out}
        for path, block in zip(self.paths, blocks, strict=True):
            rows, sums = block.unbind(0), out[path[2]]
            for m1, k, m, number in terms(path):
                if sums[m] is None:
                    sums[m] = rows[m1] * (number * a.numbers[k])
                else:
                    sums[m] = torch.addcmul(sums[m], rows[m1], a.numbers[k], value=number)
        out = {l: torch.stack(sums).permute(1, 2, 0) for l, sums in out.items()}
        return out | ({0: out[0] + self.bias} if 0 in out else {})

    def forward(self, f: Features, a: Attributes) -> Features:
        """{l: (rows, C_l, 2l + 1)} and as many attributes -> {l: (rows, C_out, 2l + 1)}.

        Raises:
            ValueError: degrees, channels, rows or attributes that do not fit.
        """
        irreps.check(f, self.channels_in)
        self.check(a, len(f[0]))
        return self.steer(self.mix(f), a)

    def check(self, a: Attributes, rows: int) -> None:
        """ValueError unless there are as many attributes as rows, of high enough degree."""
        if len(a) != rows or a.l_max < self.l_attribute:
            expected = f"{rows} to degree {self.l_attribute} or more"
            raise ValueError(f"attributes: got {len(a)} to degree {a.l_max}, expected {expected}")


class PairProduct(Product):
    """A `Product` of [f_i, f_j, b_ij] for every edge, whose matrices multiply f once for each node, not for each edge.

    Args:
        channels: {l: C_l} of the nodes.
        edges: how many invariant numbers b_ij an edge has.
    """

    def __init__(self, channels: Mapping[int, int], edges: int, channels_out: Mapping[int, int], l_attribute: int):
        self.nodes, self.edges = check_channels("channels", channels), edges
        super().__init__({l: 2 * c + edges * (l == 0) for l, c in channels.items()}, channels_out, l_attribute)

    def forward(self, f: Features, edge_index: Tensor, b: Tensor, a: Attributes) -> Features:
        """f {l: (N, C_l, 2l + 1)}, edge_index (2, E), b (E, edges), attributes of E edges -> {l: (E, C_out, 2l + 1)}."""
        irreps.check(f, self.nodes)
        graph.check(edge_index, len(f[0]))
        self.check(a, edge_index.shape[1])
        if b.shape != (edge_index.shape[1], self.edges):
            raise ValueError(f"b: got shape {tuple(b.shape)}, expected ({edge_index.shape[1]}, {self.edges})")
        i, j = edge_index
        receiver, sender = self.mix(f), self.mix(f, self.nodes)
        mixed = {l: _rows(value, i) + _rows(sender[l], j) for l, value in receiver.items()}
        if self.edges:
            mixed[0] = mixed[0] + self.mix({0: b[..., None]}, {0: 2 * self.nodes[0]})[0]
        return self.steer(mixed, a)


class Layer(nn.Module):
    """Messages and updates by steerable networks of two products each (equations 8 and 9 of the paper).

        m_ij = phi_m(f_i, f_j, b_ij; a_ij)                   product, gate, product, gate
        f_i' = f_i + phi_f(f_i, sum_j m_ij; a_i)             product, gate, product

    Args:
        channels: {l: C_l} of features and messages, degrees without gaps.
        edges: how many invariant numbers b_ij an edge has.
        l_attribute: highest degree of the attributes.
        neighbours: sums are divided by its square root; the mean number of neighbours keeps features of size 1.
    """

    def __init__(self, channels: Mapping[int, int], edges: int, l_attribute: int, *, neighbours: float = 1.0):
        super().__init__()
        if not neighbours > 0:
            raise ValueError(f"neighbours: got {neighbours}, expected a positive number")
        self.gate, self.scale = Gate(channels), neighbours**-0.5
        wanted = self.gate.channels_in
        self.first = PairProduct(channels, edges, wanted, l_attribute)
        self.second = Product(channels, wanted, l_attribute)
        self.third = Product({l: 2 * c for l, c in channels.items()}, wanted, l_attribute)
        self.fourth = Product(channels, channels, l_attribute)

    def forward(self, f: Features, edge_index: Tensor, b: Tensor, a_edge: Attributes, a_node: Attributes) -> Features:
        """f {l: (N, C_l, 2l + 1)}, edge_index (2, E), b (E, edges), attributes of edges and of nodes -> f'.

        A node without neighbours is updated by itself.
        """
        m = self.gate(self.first(f, edge_index, b, a_edge))
        m = self.gate(self.second(m, a_edge))
        total = {l: self.scale * graph.scatter_sum(value, edge_index[0], len(f[l])) for l, value in m.items()}
        both = {l: torch.cat([value, total[l]], 1) for l, value in f.items()}
        step = self.fourth(self.gate(self.third(both, a_node)), a_node)
        return {l: value + step[l] for l, value in f.items()}


class SEGNN(nn.Module):
    """Steerable features through an embedding, layers of messages, and a read-out at every node.

    Args:
        channels_in, channels, channels_out: {l: C_l} of input, hidden features and output, degrees without gaps.
        layers: T.
        edges, l_attribute, neighbours: as in `Layer`.

    >>> x, v = torch.randn(5, 3), torch.randn(5, 1, 3)
    >>> edge_index = graph.complete(graph.of_sizes([5]))
    >>> r = graph.vectors(x, edge_index)
    >>> around, along = Attributes.of(r, 1), Attributes.of(v[:, 0], 1)
    >>> model = SEGNN({0: 1, 1: 1}, {0: 16, 1: 8}, {0: 1, 1: 1}, layers=2, edges=1)
    >>> model({0: torch.ones(5, 1, 1), 1: v}, edge_index, graph.norm(r)[:, None], around, along)[1].shape
    torch.Size([5, 1, 3])
    """

    def __init__(
        self,
        channels_in: Mapping[int, int],
        channels: Mapping[int, int],
        channels_out: Mapping[int, int],
        *,
        layers: int = 4,
        edges: int = 1,
        l_attribute: int = 1,
        neighbours: float = 1.0,
    ):
        super().__init__()
        self.embed = Product(channels_in, channels, l_attribute)
        self.layers = nn.ModuleList(Layer(channels, edges, l_attribute, neighbours=neighbours) for _ in range(layers))
        self.gate = Gate(channels)
        self.read = nn.ModuleList(
            [Product(channels, self.gate.channels_in, l_attribute), Product(channels, channels_out, l_attribute)]
        )

    def forward(self, f: Features, edge_index: Tensor, b: Tensor, a_edge: Attributes, a_node: Attributes) -> Features:
        """{l: (N, C_l, 2l + 1)} of the channels that come in -> the same of the channels that go out."""
        f = self.embed(f, a_node)
        for layer in self.layers:
            f = layer(f, edge_index, b, a_edge, a_node)
        return self.read[1](self.gate(self.read[0](f, a_node)), a_node)


def _rows(value: Tensor, index: Tensor) -> Tensor:
    """value[:, index] for (orders, N, columns), as one selection of rows, which is several times faster."""
    orders, nodes, columns = value.shape
    every = index + nodes * torch.arange(orders, device=index.device)[:, None]
    return value.reshape(-1, columns).index_select(0, every.flatten()).view(orders, -1, columns)
