"""E(n)-equivariant networks: messages that see distances only, and coordinates that move along differences.

Four networks of one interface, for particles with positions x, velocities v and edge attributes a_ij:

- `EGNN` (Satorras, Hoogeboom, Welling, arXiv:2102.09844), equivariant to rotations, reflections, translations;
- `RadialField` (Köhler, Klein, Noé, arXiv:1910.00753), also equivariant, with no features to pass on;
- `GNN`, plain messages over (x, v), equivariant to permutations only;
- `Linear`, x + t v with a learned time t.

`model(x, v, edge_index, a)` returns positions and velocities a fixed time later. Before training all are close to free flight,
x + time v: each layer covers its share of the time. All work in any dimension n of space.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from m2m.messages import graph
from m2m.messages.mpnn import mlp


class Joint(nn.Linear):
    """A linear layer on [f_i, f_j, b_ij] of every edge, (E, out), that multiplies f once per node instead of once per edge.

    Weights and their first values are those of one `nn.Linear(2 nodes + edges, out)`: three layers of their own would start
    with the last part, to which the squared distances belong, far too large.
    """

    def __init__(self, nodes: int, edges: int, out: int):
        super().__init__(2 * nodes + edges, out)
        self.parts = [nodes, nodes, edges]

    def forward(self, f: Tensor, edge_index: Tensor, b: Tensor) -> Tensor:
        receiver, sender = edge_index
        w_i, w_j, w_ij = self.weight.split(self.parts, 1)
        at_receiver, at_sender = torch.addmm(self.bias, f, w_i.T), f @ w_j.T
        return torch.addmm(at_receiver.index_select(0, receiver), b, w_ij.T) + at_sender.index_select(0, sender)


def check(x: Tensor, v: Tensor | None, edge_index: Tensor, a: Tensor | None, edges: int) -> None:
    """Raise a ValueError unless x and v are (N, n), edge_index (2, E) points at them, and a is (E, edges)."""
    if x.ndim != 2 or (v is not None and v.shape != x.shape):
        got = f"{tuple(x.shape)} and {None if v is None else tuple(v.shape)}"
        raise ValueError(f"x, v: got shapes {got}, expected (N, n) for both")
    graph.check(edge_index, len(x))
    if edges and (a is None or a.shape != (edge_index.shape[1], edges)) or not edges and a is not None:
        expected = f"({edge_index.shape[1]}, {edges}), {edges} for each edge" if edges else "None"
        raise ValueError(f"a: got {None if a is None else tuple(a.shape)}, expected {expected}")


class Layer(nn.Module):
    """One step of messages, coordinates, velocities and features (equations 3 to 7 of the paper).

        m_ij = phi_m(f_i, f_j, d_ij^2, a_ij)         times a gate in (0, 1) where `gate`
        v_i' = phi_v(f_i) v_i + mean_j phi_x(m_ij) r_ij,   without v the first term is left out
        x_i' = x_i + v_i'
        f_i' = f_i + phi_f(f_i, sum_j m_ij)

    Args:
        channels: C, the width of features, messages and hidden layers.
        edges: A, the number of edge attributes.
        gate: multiply each message by sigmoid(linear(m_ij)), the paper's attention (its equation 8).
        total: sum over senders in place of the mean in v_i'.
    """

    def __init__(self, channels: int, edges: int = 0, *, gate: bool = False, velocity: bool = True, total: bool = False):
        super().__init__()
        self.first = Joint(channels, 1 + edges, channels)
        self.second = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.gate = nn.Sequential(nn.Linear(channels, 1), nn.Sigmoid()) if gate else None
        self.phi_x = mlp(channels, channels, 1)
        self.phi_v = mlp(channels, channels, 1) if velocity else None
        self.phi_f = mlp(2 * channels, channels, channels)
        self.total = total
        nn.init.xavier_uniform_(self.phi_x[-1].weight, gain=0.001)  # first steps are small: x' near x + phi_v v
        nn.init.zeros_(self.phi_x[-1].bias)
        if velocity:
            nn.init.ones_(self.phi_v[-1].bias)  # v' near v, as in free flight

    def forward(
        self, f: Tensor, x: Tensor, edge_index: Tensor, v: Tensor | None = None, a: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """f (N, C), x and v (N, n), edge_index (2, E), a (E, A) -> f', x', v'; NaN stays within its graph.

        Raises:
            ValueError: shapes that do not fit, an edge to a node that is not there.
        """
        check(x, v, edge_index, a, self.first.parts[2] - 1)
        if f.shape != (len(x), self.first.parts[0]):
            raise ValueError(f"f: got shape {tuple(f.shape)}, expected ({len(x)}, {self.first.parts[0]})")
        r = graph.vectors(x, edge_index)
        squared = (r * r).sum(-1, keepdim=True)
        m = self.second(self.first(f, edge_index, squared if a is None else torch.cat([squared, a], -1)))
        if self.gate is not None:
            m = m * self.gate(m)
        gather = graph.scatter_sum if self.total else graph.scatter_mean
        step = gather(self.phi_x(m) * r, edge_index[0], len(x))
        if v is not None and self.phi_v is not None:
            step = step + self.phi_v(f) * v
        f = f + self.phi_f(torch.cat([f, graph.scatter_sum(m, edge_index[0], len(x))], -1))
        return f, x + step, step


class EGNN(nn.Module):
    """Layers of equivariant messages, begun with the speeds |v_i| as features.

    The authors multiply the first velocity in every layer; here each layer hands its own to the next, as a particle does.
    """

    def __init__(self, channels: int = 64, layers: int = 4, edges: int = 1, *, gate: bool = False, time: float = 1.0):
        super().__init__()
        self.share = time / layers
        self.embed = nn.Linear(1, channels)
        self.layers = nn.ModuleList(Layer(channels, edges, gate=gate) for _ in range(layers))

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x, v (N, n), edge_index (2, E), a (E, A) -> the new x and v."""
        check(x, v, edge_index, a, self.layers[0].first.parts[2] - 1)
        f, v = self.embed(graph.norm(v)[:, None]), self.share * v
        for layer in self.layers:
            f, x, v = layer(f, x, edge_index, v, a)
        return x, v / self.share


class RadialField(nn.Module):
    """x_i' = x_i + v_i', v_i' = phi_v(|v_i|) v_i + mean_j phi_x(d_ij, a_ij) r_ij, in several layers."""

    def __init__(self, channels: int = 64, layers: int = 4, edges: int = 1, *, time: float = 1.0):
        super().__init__()
        self.share = time / layers
        self.phi_x = nn.ModuleList(mlp(1 + edges, channels, 1) for _ in range(layers))
        self.phi_v = nn.ModuleList(mlp(1, channels, 1) for _ in range(layers))
        for phi in self.phi_x:
            nn.init.xavier_uniform_(phi[-1].weight, gain=0.001)
            nn.init.zeros_(phi[-1].bias)
        for phi in self.phi_v:
            nn.init.ones_(phi[-1].bias)

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x, v (N, n), edge_index (2, E), a (E, A) -> the new x and v."""
        check(x, v, edge_index, a, self.phi_x[0][0].in_features - 1)
        speed, v = graph.norm(v)[:, None], self.share * v
        for phi_x, phi_v in zip(self.phi_x, self.phi_v, strict=True):
            r = graph.vectors(x, edge_index)
            distance = graph.norm(r)[:, None]
            weight = phi_x(distance if a is None else torch.cat([distance, a], -1))
            v = phi_v(speed) * v + graph.scatter_mean(weight * r, edge_index[0], len(x))
            x = x + v
        return x, v / self.share


class GNN(nn.Module):
    """Messages over features that begin as (x_i, v_i): equivariant to permutations, and to no motion of space.

    m_ij = phi_m(f_i, f_j, a_ij),   f_i' = f_i + phi_f(f_i, sum_j m_ij),   (x_i + time v_i, v_i) + phi(f_i) at the end
    """

    def __init__(self, channels: int = 64, layers: int = 4, edges: int = 1, *, dim: int = 3, time: float = 1.0):
        super().__init__()
        self.time = time
        self.embed = nn.Linear(2 * dim, channels)
        self.first = nn.ModuleList(Joint(channels, edges, channels) for _ in range(layers))
        self.second = nn.ModuleList(nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU()) for _ in range(layers))
        self.phi_f = nn.ModuleList(mlp(2 * channels, channels, channels) for _ in range(layers))
        self.read = mlp(channels, channels, 2 * dim)

    def forward(self, x: Tensor, v: Tensor, edge_index: Tensor, a: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x, v (N, dim), edge_index (2, E), a (E, A) -> the new x and v."""
        check(x, v, edge_index, a, self.first[0].parts[2])
        if 2 * x.shape[1] != self.embed.in_features:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (N, {self.embed.in_features // 2})")
        a = x.new_zeros(edge_index.shape[1], 0) if a is None else a
        f = self.embed(torch.cat([x, v], -1))
        for first, second, phi_f in zip(self.first, self.second, self.phi_f, strict=True):
            m = second(first(f, edge_index, a))
            f = f + phi_f(torch.cat([f, graph.scatter_sum(m, edge_index[0], len(x))], -1))
        dx, dv = self.read(f).chunk(2, -1)
        return x + self.time * v + dx, v + dv


class Linear(nn.Module):
    """x + t v, with the time t learned; v stays."""

    def __init__(self, time: float = 1.0):
        super().__init__()
        self.time = nn.Parameter(torch.tensor(float(time)))

    def forward(
        self, x: Tensor, v: Tensor, edge_index: Tensor | None = None, a: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x, v (N, n) -> x + t v, v; edges are not looked at."""
        return x + self.time * v, v
