"""Message passing: one frame, and the layers of Gilmer and others as choices of its parts.

    m_ij = phi_m(f_i, f_j, a_ij)         a message along each edge, from j to i         (4.2)
    m_i  = sum over j in N(i) of m_ij    aggregated at the receiver, in no order        (4.3)
    f_i' = phi_f(f_i, m_i)               each node brought up to date                   (4.4)
    y    = sum over i of phi_r(f_i)      for a graph: a readout, in no order            (4.5)

Gilmer, Schoenholz, Riley, Vinyals, Dahl 2017 (arXiv:1704.01212). Everywhere f is (N, C), edge_index (2, E) with receivers in
row 0 and senders in row 1 (`m2m.messages.graph`), a (E, A) what is known of each edge. A layer is called `layer(f, edge_index, a)`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from m2m.messages import graph

SUMS = {"sum": graph.scatter_sum, "mean": graph.scatter_mean, "max": graph.scatter_max}


class MessagePassing(nn.Module):
    """The frame: any message, any sum, any update.

    Args:
        message: (f_i, f_j, a) -> (E, M), each argument with one row for each edge.
        update: (f, m) -> (N, C').
        aggregate: "sum", "mean" or "max", or a function (messages (E, M), receiver (E,), nodes) -> (N, M).

    >>> add = MessagePassing(lambda f_i, f_j, a: f_j, lambda f, m: m)
    >>> add(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0, 0, 2], [1, 2, 0]])).tolist()
    [[5.0], [0.0], [1.0]]
    """

    def __init__(self, message: Callable, update: Callable, aggregate: str | Callable = "sum"):
        super().__init__()
        if not callable(aggregate) and aggregate not in SUMS:
            raise ValueError(f"aggregate: got {aggregate!r}, expected one of {', '.join(SUMS)}, or a function")
        self.message, self.update = message, update
        self.aggregate = aggregate if callable(aggregate) else SUMS[aggregate]

    def forward(self, f: Tensor, edge_index: Tensor, a: Tensor | None = None) -> Tensor:
        check(f, edge_index, a)
        i, j = edge_index
        m_ij = self.message(f[i], f[j], a)
        m_i = self.aggregate(m_ij, i, len(f))
        return self.update(f, m_i)


def check(f: Tensor, edge_index: Tensor, a: Tensor | None = None) -> None:
    """Raise a ValueError unless f is (N, C), the edges are between these nodes, and a has a row for each."""
    if f.ndim != 2:
        raise ValueError(f"f: got shape {tuple(f.shape)}, expected (N, C), a row of features for each node")
    graph.check(edge_index, len(f))
    if a is not None and (a.ndim != 2 or len(a) != edge_index.shape[1]):
        raise ValueError(f"a: got shape {tuple(a.shape)}, expected ({edge_index.shape[1]}, A), a row for each edge")


# --- The family: layers ---------------------------------------------------------------------------------------------------


class GCN(nn.Module):
    """Graph convolution: m_ij = W f_j / sqrt(d_i d_j), the node counted among its own neighbours, and f_i' = m_i + b.

    d_i is the number of neighbours, the node included. Kipf, Welling 2017 (arXiv:1609.02907, equation 2, without its ReLU).
    """

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.weight = nn.Linear(channels, out, bias=False)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, f: Tensor, edge_index: Tensor, a: Tensor | None = None) -> Tensor:
        check(f, edge_index)
        i, j = edge_index
        f = self.weight(f)
        scale = (graph.degree(edge_index, len(f)) + 1).to(f.dtype).rsqrt()[:, None]
        sent = f * scale  # 1 / sqrt(d_j) belongs to the sender and 1 / sqrt(d_i) to the receiver: no edge needs either
        return (graph.scatter_sum(sent[j], i, len(f)) + sent) * scale + self.bias


class GIN(nn.Module):
    """Sum network: m_ij = f_j and f_i' = MLP((1 + eps) f_i + m_i), which tells apart what colour refinement does.

    Xu, Hu, Leskovec, Jegelka 2019 (arXiv:1810.00826, equation 4.1).
    """

    def __init__(self, channels: int, out: int, hidden: int | None = None):
        super().__init__()
        self.mlp = mlp(channels, hidden or out, out)
        self.eps = nn.Parameter(torch.zeros(()))

    def forward(self, f: Tensor, edge_index: Tensor, a: Tensor | None = None) -> Tensor:
        check(f, edge_index)
        i, j = edge_index
        return self.mlp((1 + self.eps) * f + graph.scatter_sum(f[j], i, len(f)))


class GatedGraph(nn.Module):
    """Gated graph network: m_ij = W f_j, and f_i' = GRU(m_i, f_i), a recurrent cell that can also choose to keep f_i.

    Li, Tarlow, Brockschmidt, Zemel 2016 (arXiv:1511.05493), for one type of edges.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Linear(channels, channels, bias=False)
        self.gru = nn.GRUCell(channels, channels)

    def forward(self, f: Tensor, edge_index: Tensor, a: Tensor | None = None) -> Tensor:
        check(f, edge_index)
        i, j = edge_index
        return self.gru(graph.scatter_sum(self.weight(f)[j], i, len(f)), f)


class EdgeNetwork(nn.Module):
    """Edge network: m_ij = A(a_ij) f_j, a matrix made from the edge by a small network, and f_i' = m_i + W f_i + b.

    Gilmer and others, section 5.2; there the update is the cell of `GatedGraph`, here `update="gru"`.
    """

    def __init__(self, channels: int, edge: int, hidden: int = 32, update: str = "linear"):
        super().__init__()
        if update not in ("linear", "gru"):
            raise ValueError(f"update: got {update!r}, expected 'linear' or 'gru'")
        self.hidden = nn.Sequential(nn.Linear(edge, hidden), nn.SiLU())
        self.matrix = nn.Linear(hidden, channels * channels)
        self.update = nn.GRUCell(channels, channels) if update == "gru" else nn.Linear(channels, channels)

    def forward(self, f: Tensor, edge_index: Tensor, a: Tensor) -> Tensor:
        check(f, edge_index, a)
        (i, j), channels = edge_index, f.shape[1]
        # A(a) = A_0 + sum_k h_k(a) A_k is linear in h: multiply the nodes by each A_k once, not each edge by its own A
        matrices = torch.cat([self.matrix.bias[:, None], self.matrix.weight], 1).view(channels, channels, -1)
        seen = torch.einsum("nc,ock->nko", f, matrices)
        h = torch.cat([a.new_ones(len(a), 1), self.hidden(a)], 1)
        m_i = graph.scatter_sum(torch.bmm(h[:, None], seen[j])[:, 0], i, len(f))
        return self.update(m_i, f) if isinstance(self.update, nn.GRUCell) else m_i + self.update(f)


class PairMessage(nn.Module):
    """Pair messages: m_ij = W_2 (silu(W_1 [f_i, f_j]) * W_3 a_ij), and f_i' = f_i + MLP([f_i, m_i]); * is element by element.

    Gilmer and others, section 5.2, after Battaglia and others 2016 (arXiv:1612.00222). There a_ij stands beside f_i and f_j; as
    a factor it can make a message fade out. W_1 is applied to nodes before the edges are formed, and W_2 after the sum, with
    which it may change places: a few numbers an edge is all the work that is left.

    Args:
        edge: number of edge attributes A; 0 for none, and no factor.
    """

    def __init__(self, channels: int, edge: int = 0):
        super().__init__()
        self.receiver, self.sender = nn.Linear(channels, channels), nn.Linear(channels, channels, bias=False)
        self.factor = nn.Linear(edge, channels, bias=False) if edge else None
        self.second = nn.Linear(channels, channels, bias=False)
        self.mlp = mlp(2 * channels, channels, channels)

    def forward(self, f: Tensor, edge_index: Tensor, a: Tensor | None = None) -> Tensor:
        check(f, edge_index, a)
        if (a is None) != (self.factor is None):
            raise ValueError(
                f"a: got {'none' if a is None else tuple(a.shape)}, expected {'(E, A)' if self.factor else 'none'}"
            )
        i, j = edge_index
        h = nn.functional.silu(self.receiver(f)[i] + self.sender(f)[j])
        h = h if a is None else h * self.factor(a)
        m_i = self.second(graph.scatter_sum(h, i, len(f)))
        return f + self.mlp(torch.cat([f, m_i], 1))


def mlp(*sizes: int, last: bool = False) -> nn.Sequential:
    """Linear layers with SiLU between them, and after the last one where `last`."""
    layers = [layer for a, b in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*(layers if last else layers[:-1]))


# --- Readouts -------------------------------------------------------------------------------------------------------------


class Set2Set(nn.Module):
    """Readout by attention: a recurrent cell asks, each node answers with a weight, the weighted mean is the next input.

    Vinyals, Bengio, Kudlur 2016 (arXiv:1511.06391). (N, C) -> (B, 2C); zero where a graph has no nodes and `steps` is 1.
    """

    def __init__(self, channels: int, steps: int = 3):
        super().__init__()
        self.steps, self.lstm = steps, nn.LSTMCell(2 * channels, channels)

    def forward(self, f: Tensor, batch: Tensor, graphs: int) -> Tensor:
        q_star = f.new_zeros(graphs, 2 * f.shape[1])
        state = (f.new_zeros(graphs, f.shape[1]), f.new_zeros(graphs, f.shape[1]))
        for _ in range(self.steps):
            state = self.lstm(q_star, state)
            q = state[0]
            weight = graph.scatter_softmax((f * q[batch]).sum(-1), batch, graphs)
            q_star = torch.cat([q, graph.scatter_sum(weight[:, None] * f, batch, graphs)], 1)
        return q_star


class Network(nn.Module):
    """Molecules to numbers: elements as features, T layers of messages, a readout, (B, out).

    Args:
        layers: the message passing layers; called `layer(f, edge_index, a)`.
        readout: "sum" of what each atom gives, for what grows with the molecule; "mean"; or "set2set".
        edges: (z, x, batch) -> edge_index, the network's own neighbour search.
        attributes: (z, x, edge_index) -> a (E, A), or None; where it does not look at x, the network does not either.

    Atoms beyond fluorine have features too, but QM9 has none of them.
    """

    def __init__(self, layers: list[nn.Module], channels: int, out: int = 1, *, edges: Callable, attributes: Callable | None = None,
                 readout: str = "sum", elements: int = 10):  # fmt: skip
        super().__init__()
        if readout not in ("sum", "mean", "set2set"):
            raise ValueError(f"readout: got {readout!r}, expected 'sum', 'mean' or 'set2set'")
        self.embedding = nn.Embedding(elements, channels)
        self.layers, self.edges, self.attributes, self.readout = nn.ModuleList(layers), edges, attributes, readout
        self.set2set = Set2Set(channels) if readout == "set2set" else None
        self.head = mlp(2 * channels if readout == "set2set" else channels, channels, out)

    def forward(
        self, z: Tensor, x: Tensor, batch: Tensor, edge_index: Tensor | None = None, graphs: int | None = None
    ) -> Tensor:
        """z (N,), x (N, 3), batch (N,) -> (B, out); edges are looked for where none are given."""
        if z.numel() and z.max() >= self.embedding.num_embeddings:
            raise ValueError(f"z: got atomic number {int(z.max())}, expected less than {self.embedding.num_embeddings}")
        edge_index = self.edges(z, x, batch) if edge_index is None else edge_index
        a = self.attributes(z, x, edge_index) if self.attributes else None
        f = self.embedding(z)
        for layer in self.layers:
            f = layer(f, edge_index, a)
        graphs = graph.count(batch) if graphs is None else graphs
        if self.set2set:
            return self.head(self.set2set(f, batch, graphs))
        return SUMS[self.readout](self.head(f), batch, graphs)
