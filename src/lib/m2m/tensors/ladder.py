"""The ladder of equivariant networks on one problem: where will charged particles be?

Eight networks of one interface, `model(x, v, edge_index, a) -> x', v'` for positions x, velocities v (N, 3) and a_ij = q_i q_j
(E, 1), as in `messages.egnn`. All read the same: |v_i|, v_i, r_ij, and the invariant numbers b_ij of an edge (`Pairs`). All
start near free flight, x' = x + v. What differs from rung to rung is the message:

    convolution           W(r_ij, b_ij) f_j                     linear; knows translations only
    group convolution     sum_h W(g^-1 r_ij, b_ij, g^-1 h) f_j(h)   linear; and the rotations of a finite group
    SchNet                w(b_ij) f_j                           linear, invariant
    invariant messages    phi(f_i, f_j, b_ij)                   non-linear, invariant
    EGNN                  the same, and coordinates that move   non-linear, invariant
    TFN                   sum over paths of w(b_ij) C Y(r_ij) f_j   linear, steerable
    SE(3)-Transformer     the same, weighted by alpha_ij(f)     weights non-linear, steerable
    SEGNN                 phi(f_i, f_j, b_ij; Y(r_ij))          non-linear, steerable
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from m2m.messages import egnn, graph, radial
from m2m.tensors import segnn
from m2m.tensors.harmonics import harmonics
from m2m.tensors.products import Geometry
from m2m.tensors.se3_transformer import SE3Transformer

SMALL = 0.1  # corrections to free flight start so small


class Pairs(nn.Module):
    """What all networks know of a pair besides its direction, b_ij = [a_ij, 1 / d', a_ij / d', e_1(d) .. e_6(d)], (E, 9).

    d' = sqrt(d^2 + 0.01) keeps the second and third below 10.
    """

    def __init__(self):
        super().__init__()
        self.basis = radial.Gaussians(3.0, 6)
        self.size = 3 + self.basis.size

    def near(self, d: Tensor, a: Tensor) -> Tensor:
        """The first three, (E, 3)."""
        inverse = (d * d + 0.01).rsqrt()[:, None]
        return torch.cat([a, inverse, a * inverse], 1)

    def forward(self, d: Tensor, a: Tensor) -> Tensor:
        return torch.cat([self.near(d, a), self.basis(d)], 1)


# --- Features that are numbers --------------------------------------------------------------------------------------------


class Convolution(nn.Module):
    """f_i' = f_i + phi_f(f_i, sum_j W(r_ij, b_ij) * (A f_j)): a kernel in space, a network of the vector; (N, C) features.

    Args:
        inputs: numbers that the kernel reads, 3 + those of b; or those of b alone, SchNet's filter.
    """

    def __init__(self, channels: int, inputs: int):
        super().__init__()
        self.sender = nn.Linear(channels, channels, bias=False)
        self.kernel = egnn.mlp(inputs, 32, channels)
        self.phi_f = egnn.mlp(2 * channels, channels, channels)

    def forward(self, f: Tensor, edge_index: Tensor, geometry: Tensor) -> Tensor:
        m = self.kernel(geometry) * self.sender(f)[edge_index[1]]
        return f + self.phi_f(torch.cat([f, graph.scatter_sum(m, edge_index[0], len(f))], -1))


class Messages(nn.Module):
    """f_i' = f_i + phi_f(f_i, sum_j phi(f_i, f_j, b_ij)): the same update, with a message that is a network."""

    def __init__(self, channels: int, inputs: int):
        super().__init__()
        self.first = egnn.Joint(channels, inputs, channels)
        self.second = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.phi_f = egnn.mlp(2 * channels, channels, channels)

    def forward(self, f: Tensor, edge_index: Tensor, geometry: Tensor) -> Tensor:
        m = self.second(self.first(f, edge_index, geometry))
        return f + self.phi_f(torch.cat([f, graph.scatter_sum(m, edge_index[0], len(f))], -1))


class Classic(nn.Module):
    """Convolutions over features that begin as v_i, and coordinates of an arrow at the end."""

    def __init__(self, channels: int = 64, layers: int = 4):
        super().__init__()
        self.pairs = Pairs()
        self.embed, self.read = nn.Linear(3, channels), nn.Linear(channels, 3)
        self.layers = nn.ModuleList(Convolution(channels, 3 + self.pairs.size) for _ in range(layers))

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        egnn.check(x, v, edge_index, a, 1)
        r, f = graph.vectors(x, edge_index), self.embed(v)
        geometry = torch.cat([r, self.pairs(graph.norm(r), a)], 1)
        for layer in self.layers:
            f = layer(f, edge_index, geometry)
        return x + v + SMALL * self.read(f), v


class Invariant(nn.Module):
    """Layers over invariant features that begin as |v_i|; at the end psi(f_i) v_i + mean_j phi(f_i, f_j, b_ij) r_ij is added.

    Args:
        layer: `Convolution`, which makes it a SchNet, or `Messages`.
        dots: adds v_i . r_ij, v_j . r_ij (r of length 1) and v_i . v_j to b_ij, which else says nothing of where v points.
    """

    def __init__(self, layer: type[nn.Module], channels: int = 64, layers: int = 4, *, dots: bool = False):
        super().__init__()
        self.pairs, self.dots = Pairs(), dots
        size = self.pairs.size + 3 * dots
        self.embed = nn.Linear(1, channels)
        self.layers = nn.ModuleList(layer(channels, size) for _ in range(layers))
        self.along = nn.Linear(channels, 1)
        self.towards = egnn.Joint(channels, size, channels)
        self.length = nn.Sequential(nn.SiLU(), nn.Linear(channels, 1))

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        egnn.check(x, v, edge_index, a, 1)
        r, f = graph.vectors(x, edge_index), self.embed(graph.norm(v)[:, None])
        b = self.pairs(graph.norm(r), a)
        if self.dots:
            (i, j), n = edge_index, nn.functional.normalize(r, dim=1)
            products = [(v[i] * n).sum(1), (v[j] * n).sum(1), (v[i] * v[j]).sum(1)]
            b = torch.cat([b, torch.stack(products, 1)], 1)
        for layer in self.layers:
            f = layer(f, edge_index, b)
        push = graph.scatter_mean(self.length(self.towards(f, edge_index, b)) * r, edge_index[0], len(x))
        return x + v + SMALL * (self.along(f) * v + push), v


class EGNN(egnn.EGNN):
    """`messages.egnn.EGNN` with b_ij of the first positions as edge attributes."""

    def __init__(self, channels: int = 64, layers: int = 4):
        pairs = Pairs()
        super().__init__(channels, layers, edges=pairs.size)
        self.pairs = pairs

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        egnn.check(x, v, edge_index, a, 1)
        b = self.pairs(graph.norm(graph.vectors(x, edge_index)), a)
        return super().forward(x, v, edge_index, b)


# --- Features on a finite group of rotations ------------------------------------------------------------------------------


def tetrahedral() -> Tensor:
    """The 12 rotations of a tetrahedron, (12, 3, 3): signed cyclic permutations of the axes with determinant 1."""
    signs = [s for s in itertools.product((1.0, -1.0), repeat=3) if s[0] * s[1] * s[2] > 0]
    turns = [torch.eye(3).roll(shift, 0) * torch.tensor(s) for shift in range(3) for s in signs]
    return torch.stack(turns)


class GroupConvolution(nn.Module):
    """f_i'(g) = f_i(g) + phi_f(f_i(g), sum_j W(g^-1 r_ij, b_ij) * sum_h A(g^-1 h) f_j(h)), features (N, |G|, C).

    A kernel on R^3 x G in two factors: first along the group, at the node, then in space, for each edge and each g.
    """

    def __init__(self, channels: int, inputs: int, relative: Tensor):
        super().__init__()
        self.along = nn.Parameter(torch.randn(len(relative), channels, channels) / (len(relative) * channels) ** 0.5)
        self.kernel = egnn.mlp(inputs, 32, channels)
        self.phi_f = egnn.mlp(2 * channels, channels, channels)
        self.register_buffer("relative", relative)

    def forward(self, f: Tensor, edge_index: Tensor, geometry: Tensor) -> Tensor:
        nodes, size, channels = f.shape
        matrix = self.along[self.relative].permute(1, 2, 0, 3).reshape(size * channels, -1)  # from (h, c) to (g, c')
        sent = (f.flatten(1) @ matrix).view(nodes, size, channels)
        m = self.kernel(geometry) * sent[edge_index[1]]
        return f + self.phi_f(torch.cat([f, graph.scatter_sum(m, edge_index[0], nodes)], -1))


class Group(nn.Module):
    """Positions and velocities as each of 12 rotations g sees them, g^-1 r and g^-1 v; the answers, turned back, averaged."""

    def __init__(self, channels: int = 16, layers: int = 4):
        super().__init__()
        self.pairs = Pairs()
        self.register_buffer("group", tetrahedral())
        # g^-1 h, as a number of the list
        products = torch.einsum("gba,hbc->ghac", self.group, self.group)
        relative = (products[:, :, None] - self.group).square().sum((-1, -2)).argmin(-1)
        self.embed, self.read = nn.Linear(3, channels), nn.Linear(channels, 3)
        self.layers = nn.ModuleList(GroupConvolution(channels, 3 + self.pairs.size, relative) for _ in range(layers))

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        egnn.check(x, v, edge_index, a, 1)
        r = graph.vectors(x, edge_index)
        seen = lambda arrows: torch.einsum("gba,nb->nga", self.group.to(arrows), arrows)
        b = self.pairs(graph.norm(r), a)[:, None].expand(-1, len(self.group), -1)
        f, geometry = self.embed(seen(v)), torch.cat([seen(r), b], -1)
        for layer in self.layers:
            f = layer(f, edge_index, geometry)
        push = torch.einsum("gab,ngb->na", self.group.to(f), self.read(f)) / len(self.group)
        return x + v + SMALL * push, v


# --- Features that turn ---------------------------------------------------------------------------------------------------


def arrows(x: Tensor, v: Tensor, edge_index: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    """What steerable networks begin with: |v_i|, v_i and the mean r of r_ij as r / (1 + |r|); and r_ij (E, 3)."""
    r = graph.vectors(x, edge_index)
    middle = graph.scatter_mean(r, edge_index[0], len(x))
    middle = middle / (1 + graph.norm(middle)[:, None])
    return {0: graph.norm(v)[:, None, None], 1: torch.stack([v, middle], 1)}, r


class Tensors(nn.Module):
    """A tensor field network or an SE(3)-Transformer, degrees 0 and 1; b_ij goes into the radial functions.

    Args:
        attention: without it all neighbours weigh the same, which makes it a tensor field network.
    """

    def __init__(self, attention: bool, channels: int = 32, layers: int = 4, heads: int = 2):
        super().__init__()
        self.pairs, width = Pairs(), {0: channels, 1: channels}
        options = dict(layers=layers, heads=heads, l_filter=1, attention=attention, edge_features=3, neighbours=1.0)
        self.network = SE3Transformer({0: 1, 1: 2}, width, {1: 1}, basis=self.pairs.basis, **options)

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        egnn.check(x, v, edge_index, a, 1)
        f, _ = arrows(x, v, edge_index)
        geometry = Geometry(x, edge_index, 1)
        out = self.network(f, geometry, self.pairs.near(geometry.d, a))
        return x + v + SMALL * out[1][:, 0], v


class Steerable(nn.Module):
    """A SEGNN: attributes Y(r_ij) of edges, and (Y(v_i) + mean_j Y(r_ij)) / 2 of nodes, as in the paper's N-body experiment.

    Args:
        channels: {l: C_l}.
        l_attribute: 0 takes the arrows from the attributes.
        velocity: without it nodes have the mean of Y(r_ij) alone.
    """

    def __init__(
        self, channels: dict[int, int] | None = None, layers: int = 4, *, l_attribute: int = 1, velocity: bool = True
    ):
        super().__init__()
        self.pairs, self.l_attribute, self.velocity = Pairs(), l_attribute, velocity
        options = dict(layers=layers, edges=self.pairs.size, l_attribute=l_attribute, neighbours=4.0)
        self.network = segnn.SEGNN({0: 1, 1: 2}, channels or {0: 32, 1: 16}, {0: 1, 1: 1}, **options)

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        egnn.check(x, v, edge_index, a, 1)
        f, r = arrows(x, v, edge_index)
        around = segnn.Attributes.of(r, self.l_attribute)
        mean = graph.scatter_mean(around.a, edge_index[0], len(x))
        own = (mean + harmonics(v, self.l_attribute)) / 2 if self.velocity else mean
        out = self.network(f, edge_index, self.pairs(graph.norm(r), a), around, segnn.Attributes(own))
        return x + v + SMALL * out[1][:, 0], v


RUNGS = {
    "convolution": Classic,
    "group convolution": Group,
    "SchNet": lambda: Invariant(Convolution),
    "invariant messages": lambda: Invariant(Messages),
    "EGNN": EGNN,
    "TFN": lambda: Tensors(False),
    "SE(3)-Transformer": lambda: Tensors(True),
    "SEGNN": Steerable,
}
