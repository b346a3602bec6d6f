"""SchNet: messages through filters that are functions of distance, energies, and forces as their gradient.

Source: Schuett and others, https://arxiv.org/abs/1706.08566. One layer is

    m_i = sum_j (W f_j) * w(d_ij) C(d_ij),      f_i' = f_i + phi_f(m_i)

with * element by element. The filter w is a network of the distance alone, and that has two uses here. Filters do not
depend on the features, so those of all layers are computed at once; and w(d_ij) = w(d_ji), so once per pair of atoms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m.messages import graph, radial

ELEMENTS = 100  # atomic numbers 0 .. 99 have an embedding


class ShiftedSoftplus(nn.Module):
    """log((1 + e^x) / 2) of each x (...): smooth, so that forces are, and 0 at 0."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.softplus(x) - math.log(2)


class Filters(nn.Module):
    """The filters of all layers, w(d) C(d), of vectors r with d = |r|: (P, 3) -> (layers, P, channels)."""

    symmetric = True  # w(-r) = w(r), so that one filter serves both directions of a pair

    def __init__(self, basis: nn.Module, layers: int, channels: int, cutoff: float, envelope: str):
        super().__init__()
        if envelope not in radial.CUTOFFS:
            raise ValueError(f"envelope: got {envelope!r}, expected one of {', '.join(radial.CUTOFFS)}")
        self.basis, self.cutoff, self.envelope = basis, cutoff, radial.CUTOFFS[envelope]
        self.first = nn.Linear(basis.size, layers * channels)
        self.weight = nn.Parameter(torch.empty(layers, channels, channels))  # (layer, in, out)
        self.bias = nn.Parameter(torch.zeros(layers, 1, channels))
        self.activation = ShiftedSoftplus()
        for part in (*self.first.weight.chunk(layers), *self.weight):
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(self.first.bias)

    def features(self, r: Tensor, d: Tensor) -> Tensor:
        """What the network of the filters reads, (P, K): the basis of the distance, and nothing else."""
        return self.basis(d)

    def forward(self, r: Tensor) -> Tensor:
        (layers, channels, _), d = self.weight.shape, graph.norm(r)
        hidden = self.activation(self.first(self.features(r, d))).view(len(d), layers, channels)
        return torch.baddbmm(self.bias, hidden.transpose(0, 1), self.weight) * self.envelope(d, self.cutoff)[:, None]


class Interaction(nn.Module):
    """One continuous-filter layer, f -> f + phi_f(sum_j (W f_j) * w_ij), (N, C) -> (N, C)."""

    def __init__(self, features: int, channels: int):
        super().__init__()
        self.sender = nn.Linear(features, channels, bias=False)
        self.update = nn.Sequential(nn.Linear(channels, features), ShiftedSoftplus(), nn.Linear(features, features))
        for linear in (self.sender, self.update[0], self.update[2]):
            nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(self.update[0].bias), nn.init.zeros_(self.update[2].bias)

    def forward(self, f: Tensor, edge_index: Tensor, w: Tensor) -> Tensor:
        """f: (N, C). edge_index: (2, E). w: (E, channels), or (E / 2, channels) if the second half of the edges are the
        first half reversed, which share their filters."""
        receiver, sender = edge_index
        directions = 1 if len(w) == len(sender) else 2
        message = self.sender(f).index_select(0, sender).view(directions, *w.shape) * w
        return f + self.update(graph.scatter_sum(message.flatten(0, 1), receiver, len(f)))


class SchNet(nn.Module):
    """Energies (B,) of molecules: `model(z, x, batch, edge_index=None)`; by default all pairs nearer than the cutoff.

    Args:
        features: C, numbers per atom; channels: numbers per message, by default as many.
        layers: T.
        cutoff: r_c, in the unit of x (Angstrom).
        basis: a module from distances (P,) to (P, K) with an attribute `size`; by default 25 Gaussians up to the cutoff.
        envelope: C(d): "cosine", "polynomial", or "hard", which is there to show why not.
        scale: the energy that the network's output 1 means, such as the size of the forces times 1 Angstrom.

    >>> model = SchNet(features=16, layers=2)
    >>> z, x = torch.tensor([8, 1, 1]), torch.tensor([[0., 0, 0], [.76, .59, 0], [-.76, .59, 0]])
    >>> model(z, x, torch.zeros(3, dtype=torch.int64)).shape
    torch.Size([1])
    """

    def __init__(
        self,
        features: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        *,
        channels: int | None = None,
        basis: nn.Module | None = None,
        envelope: str = "cosine",
        scale: float = 1.0,
    ):
        super().__init__()
        if features < 2 or layers < 1 or not cutoff > 0:
            got = f"features={features}, layers={layers}, cutoff={cutoff}"
            raise ValueError(f"SchNet: got {got}, expected features >= 2, layers >= 1 and a positive cutoff")
        channels = channels or features
        self.cutoff, self.scale = cutoff, scale
        self.embedding = nn.Embedding(ELEMENTS, features)
        self.filters = Filters(basis or radial.Gaussians(cutoff), layers, channels, cutoff, envelope)
        self.layers = nn.ModuleList(Interaction(features, channels) for _ in range(layers))
        self.readout = nn.Sequential(nn.Linear(features, features // 2), ShiftedSoftplus(), nn.Linear(features // 2, 1))
        for linear in (self.readout[0], self.readout[2]):
            nn.init.xavier_uniform_(linear.weight), nn.init.zeros_(linear.bias)

    def forward(self, z: Tensor, x: Tensor, batch: Tensor, edge_index: Tensor | None = None) -> Tensor:
        f, _, _ = self.atoms(z, x, batch, edge_index)
        return self.energy(f, batch)

    def energy(self, f: Tensor, batch: Tensor) -> Tensor:
        """The sum over the atoms of each molecule of what the readout makes of their features, (B,)."""
        return self.scale * graph.scatter_sum(self.readout(f)[:, 0], batch, graph.count(batch))

    def atoms(self, z: Tensor, x: Tensor, batch: Tensor, edge_index: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the atoms (N, C), and the edges (2, E) with their vectors r (P, 3), P = E / 2 for own edges."""
        check(z, x, batch, edge_index)
        once = edge_index is None and self.filters.symmetric
        edge_index = paired(x, self.cutoff, batch) if edge_index is None else edge_index
        r = graph.vectors(x, edge_index[:, : edge_index.shape[1] // 2] if once else edge_index)
        f, filters = self.embedding(z), self.filters(r)
        for layer, w in zip(self.layers, filters.unbind(0), strict=True):
            f = layer(f, edge_index, w)
        return f, edge_index, r


class VectorForces(SchNet):
    """SchNet with a head for forces beside the one for energies, which knows nothing of it: `model.energy_and_forces(...)`.

    F_i = sum_j s_ij r_ij / d_ij C(d_ij) with s_ij a network of f_i + f_j and of the filter's distance, the same both ways, so
    that F turns with the molecule and sums to zero. It is no gradient of anything.
    """

    def __init__(self, features: int = 64, layers: int = 3, cutoff: float = 5.0, **options):
        super().__init__(features, layers, cutoff, **options)
        self.pair = nn.Linear(features, features)
        self.distance = nn.Linear(self.filters.basis.size, features, bias=False)
        self.strength = nn.Sequential(
            ShiftedSoftplus(), nn.Linear(features, features), ShiftedSoftplus(), nn.Linear(features, 1)
        )

    def energy_and_forces(self, z: Tensor, x: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (B,) and forces (N, 3)."""
        f, edge_index, r = self.atoms(z, x, batch)
        i, j = edge_index[:, : len(r)]
        d, per_atom = graph.norm(r), self.pair(f)
        strength = self.strength(per_atom[i] + per_atom[j] + self.distance(self.filters.basis(d)))
        envelope = self.filters.envelope(d, self.cutoff) / d.clamp_min(1e-6)
        force = self.scale * strength * r * envelope[:, None]
        return self.energy(f, batch), graph.scatter_sum(torch.cat([force, -force]), edge_index[0], len(x))


def energy_and_forces(
    model: nn.Module, z: Tensor, x: Tensor, batch: Tensor, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """E (B,) of the molecules and F = -dE/dx (N, 3), by automatic differentiation.

    Args:
        create_graph: whether a loss of the forces will be differentiated once more, as in training.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        energy = model(z, x, batch)
        (slope,) = torch.autograd.grad(energy.sum(), x, create_graph=create_graph, allow_unused=True)
    forces = torch.zeros_like(x) if slope is None else -slope
    return (energy, forces) if create_graph else (energy.detach(), forces)


def paired(x: Tensor, cutoff: float, batch: Tensor) -> Tensor:
    """Edges nearer than the cutoff (2, E), in two halves: each pair i < j once, then the same pairs reversed."""
    edge_index = graph.radius(x, cutoff, batch)
    once = edge_index[:, edge_index[0] < edge_index[1]]
    return torch.cat([once, once.flip(0)], 1)


def check(z: Tensor, x: Tensor, batch: Tensor, edge_index: Tensor | None = None) -> None:
    """Raise a ValueError unless z (N,), x (N, 3), batch (N,) and edge_index (2, E) describe molecules."""
    if x.ndim != 2 or x.shape[1] != 3 or not x.is_floating_point():
        raise ValueError(f"x: got shape {tuple(x.shape)} of {x.dtype}, expected positions (N, 3), floating-point numbers")
    for name, value in (("z", z), ("batch", batch)):
        if value.shape != x.shape[:1] or value.dtype != torch.int64:
            got = f"shape {tuple(value.shape)} of {value.dtype}"
            raise ValueError(f"{name}: got {got}, expected ({len(x)},) of torch.int64, one number for each atom")
    if len(z) and not (0 <= z.min() and z.max() < ELEMENTS):
        raise ValueError(f"z: got {z.min()} to {z.max()}, expected atomic numbers below {ELEMENTS}")
    if edge_index is not None:
        graph.check(edge_index, len(x))
