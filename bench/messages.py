"""Neighbour search, SchNet, EGNN and the N-body simulator, beside the libraries that do the same.

    python -m bench.messages                             all, about five minutes on one thread
    python -m bench.messages --parts search --out ""
    python -m bench.messages --device cuda --parts schnet egnn

What is the same for all: the points, the network's widths, the edges of SchNet and EGNN (handed over, not searched again).
What differs is said at each function. schnetpack asks for an old PyTorch; `bench/schnetpack.txt` says how to have it here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from bench import report, timing  # before torch: sets the number of threads

import numpy
import torch
from torch import Tensor

from m2m.data import particles
from m2m.messages import egnn, graph, schnet

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "numba", "torch_geometric", "egnn-pytorch", "schnetpack")
Cases = dict[str, Callable[[], object]]


def backward(module: torch.nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A call that computes a loss and its gradients."""
    parameters = list(module.parameters())

    def step() -> None:
        for p in parameters:
            p.grad = None
        loss().backward()

    return step


def optional(cases: Cases, name: str, make: Callable[[], Callable[[], object]]) -> None:
    """Add a peer, or say that it is not there."""
    try:
        cases[name] = make()
    except ImportError as error:
        print(f"{name} is skipped: {error}", file=sys.stderr)


# --- Neighbour search -------------------------------------------------------------------------------------------------------


def search(device: torch.device) -> dict[str, Cases]:
    """Points in a cube and on a sphere, all pairs within a radius and 16 nearest, and many small molecules at once."""
    tasks = {}
    for n, cutoff in ((512, 0.3), (2048, 0.2), (20_000, 0.08)):
        draw = torch.Generator().manual_seed(n)
        cube = torch.rand(n, 3, generator=draw)
        sphere = torch.nn.functional.normalize(torch.randn(n, 3, generator=draw), dim=1)
        for shape, x in (("cube", cube), ("sphere", sphere)):
            tasks[f"radius, {n:,} points, {shape}"] = within(x.to(device), cutoff)
            tasks[f"16 nearest, {n:,} points, {shape}"] = k_nearest(x.to(device), 16)
    sizes = torch.randint(10, 28, (64,), generator=torch.Generator().manual_seed(0))
    batch = graph.of_sizes(sizes).to(device)
    x = 2 * torch.randn(len(batch), 3, generator=torch.Generator().manual_seed(1)).to(device)
    tasks["radius, 64 molecules"] = within(x, 5.0, batch)
    tasks["8 nearest, 64 molecules"] = k_nearest(x, 8, batch)
    return tasks


def clouds(x: Tensor, batch: Tensor | None) -> list[numpy.ndarray]:
    """What the peers are given: they know one cloud at a time."""
    return [x.cpu().numpy()] if batch is None else [part.cpu().numpy() for part in x.split(torch.bincount(batch).tolist())]


def within(x: Tensor, cutoff: float, batch: Tensor | None = None) -> Cases:
    """All pairs in both directions. The tree gives each pair once, which is turned round; it does not sort them."""
    parts = clouds(x, batch)
    cases: Cases = {"m2m": lambda: graph.radius(x, cutoff, batch)}

    def tree() -> Callable[[], object]:
        from scipy.spatial import cKDTree

        def both(cloud: numpy.ndarray) -> numpy.ndarray:
            pairs = cKDTree(cloud).query_pairs(cutoff, output_type="ndarray")
            return numpy.concatenate([pairs, pairs[:, ::-1]])

        return lambda: [both(cloud) for cloud in parts]

    def learn() -> Callable[[], object]:
        from sklearn.neighbors import NearestNeighbors

        return lambda: [NearestNeighbors(radius=cutoff).fit(c).radius_neighbors(return_distance=False) for c in parts]

    optional(cases, "scipy", tree)
    optional(cases, "scikit-learn", learn)
    return cases


def k_nearest(x: Tensor, k: int, batch: Tensor | None = None) -> Cases:
    """The k nearest others. The tree is asked for k + 1, for it finds the point itself."""
    parts = clouds(x, batch)
    cases: Cases = {"m2m": lambda: graph.nearest(x, k, batch)}

    def tree() -> Callable[[], object]:
        from scipy.spatial import cKDTree

        return lambda: [cKDTree(cloud).query(cloud, k + 1)[1][:, 1:] for cloud in parts]

    def learn() -> Callable[[], object]:
        from sklearn.neighbors import NearestNeighbors

        return lambda: [NearestNeighbors(n_neighbors=k).fit(c).kneighbors(return_distance=False) for c in parts]

    optional(cases, "scipy", tree)
    optional(cases, "scikit-learn", learn)
    return cases


# --- SchNet -----------------------------------------------------------------------------------------------------------------


def molecules(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Clouds of 18 atoms about as dense as molecules: z, x, batch."""
    draw = torch.Generator().manual_seed(0)
    batch = graph.of_sizes([18] * count)
    z = torch.tensor([1, 6, 7, 8])[torch.randint(4, (len(batch),), generator=draw)]
    x = 1.6 * torch.randn(len(batch), 3, generator=draw)
    return z.to(device), x.to(device), batch.to(device)


def schnets(device: torch.device) -> dict[str, Cases]:
    """Energies and their gradient for the weights (32 molecules); energies, forces and the gradient of both (10)."""
    return {
        "SchNet, energies, forward + backward": schnet_cases(*molecules(32, device), forces=False),
        "SchNet, energies and forces, training step": schnet_cases(*molecules(10, device), forces=True),
    }


def schnet_cases(
    z: Tensor, x: Tensor, batch: Tensor, forces: bool, features: int = 64, layers: int = 3, basis: int = 25
) -> Cases:
    """m2m searches the edges itself, for it then makes each filter once for both directions; the peers are handed them."""
    edge_index = graph.radius(x, 5.0, batch)
    ours = schnet.SchNet(features, layers, 5.0).to(x.device)
    cases: Cases = {
        "m2m": backward(ours, loss_of(lambda p: ours(z, p, batch), x, forces)),
        "m2m, edges handed over": backward(ours, loss_of(lambda p: ours(z, p, batch, edge_index), x, forces)),
    }

    def geometric() -> Callable[[], None]:
        from torch_geometric.nn.models import SchNet

        # PyTorch Geometric has the sender first; the graph is handed over, its lengths follow the positions
        lengths = lambda p, _: (edge_index.flip(0), graph.norm(graph.vectors(p, edge_index)))
        model = SchNet(features, features, layers, basis, 5.0, interaction_graph=lengths).to(x.device)
        return backward(model, loss_of(lambda p: model(z, p, batch)[:, 0], x, forces))

    optional(cases, "PyTorch Geometric", geometric)
    optional(cases, "schnetpack", lambda: schnetpack(z, x, batch, edge_index, forces, features, layers, basis))
    return cases


def loss_of(energy: Callable[[Tensor], Tensor], x: Tensor, forces: bool) -> Callable[[], Tensor]:
    """A number to differentiate: the energies alone, or them and the squared forces."""

    def loss() -> Tensor:
        if not forces:
            return energy(x).sum()
        p = x.detach().requires_grad_()
        e = energy(p)
        (slope,) = torch.autograd.grad(e.sum(), p, create_graph=True)
        return e.sum() + (slope**2).sum()

    return loss


def schnetpack(z, x, batch, edge_index, forces, features, layers, basis) -> Callable[[], None]:
    import typing

    from torch.utils.data import dataloader

    if not hasattr(dataloader, "T_co"):  # a name that newer versions of PyTorch no longer have
        dataloader.T_co = typing.TypeVar("T_co", covariant=True)
    import schnetpack as spk
    from schnetpack import nn, properties

    representation = spk.representation.SchNet(
        n_atom_basis=features, n_interactions=layers, radial_basis=nn.GaussianRBF(basis, 5.0), cutoff_fn=nn.CosineCutoff(5.0)
    )
    outputs = [spk.atomistic.Atomwise(n_in=features, output_key="energy")]
    if forces:
        outputs.append(spk.atomistic.Forces(energy_key="energy", force_key="forces"))
    model = spk.model.NeuralNetworkPotential(representation, [spk.atomistic.PairwiseDistances()], outputs).to(x.device)
    given = {
        properties.Z: z, properties.idx_m: batch, properties.idx_i: edge_index[0], properties.idx_j: edge_index[1],
        properties.offsets: x.new_zeros(edge_index.shape[1], 3), properties.n_atoms: torch.bincount(batch),
    }  # fmt: skip

    def loss() -> Tensor:
        found = model({**given, properties.R: x.detach().clone()})
        return found["energy"].sum() + ((found["forces"] ** 2).sum() if forces else 0)

    return backward(model, loss)


# --- EGNN -------------------------------------------------------------------------------------------------------------------


def egnns(device: torch.device, channels: int = 64, layers: int = 4) -> dict[str, Cases]:
    """100 systems of 5 and of 20 particles. egnn-pytorch has no velocities and works on dense pairs; "as printed" is the
    formula of the paper word for word: one matrix for all inputs of an edge, concatenated."""
    tasks = {}
    for n in (5, 20):
        x, v, q = (part.float().to(device) for part in particles.start(100, n, generator=torch.Generator().manual_seed(0)))
        edge_index = graph.complete(graph.of_sizes([n] * 100)).to(device)
        a = (q.flatten()[edge_index[0]] * q.flatten()[edge_index[1]])[:, None]
        flat = x.flatten(0, 1), v.flatten(0, 1), edge_index, a
        ours, printed = (kind(channels, layers, 1).to(device) for kind in (egnn.EGNN, as_printed()))
        cases = tasks[f"EGNN, {n} particles, forward + backward"] = {
            "m2m": backward(ours, lambda model=ours, flat=flat: model(*flat)[0].sum()),
            "as printed": backward(printed, lambda model=printed, flat=flat: model(*flat)[0].sum()),
        }

        def dense(x=x, q=q) -> Callable[[], None]:
            from egnn_pytorch import EGNN

            model = torch.nn.ModuleList(EGNN(dim=channels, edge_dim=1, m_dim=channels) for _ in range(layers)).to(device)
            pairs = (q[:, :, None] * q[:, None])[..., None]

            def loss() -> Tensor:
                f, moved = x.new_ones(*x.shape[:2], channels), x
                for layer in model:
                    f, moved = layer(f, moved, edges=pairs)
                return moved.sum()

            return backward(model, loss)

        optional(cases, "egnn-pytorch", dense)
    return tasks


def as_printed() -> type:
    """`egnn.EGNN` with the first matrix of an edge applied to the concatenation of its inputs, as the paper writes it."""

    class Concatenated(egnn.Joint):
        def forward(self, f: Tensor, edge_index: Tensor, b: Tensor) -> Tensor:
            return torch.nn.functional.linear(torch.cat([f[edge_index[0]], f[edge_index[1]], b], -1), self.weight, self.bias)

    class Printed(egnn.EGNN):
        def __init__(self, *sizes: int):
            super().__init__(*sizes)
            for layer in self.layers:
                layer.first.__class__ = Concatenated

    return Printed


# --- The simulator ------------------------------------------------------------------------------------------------------------


def simulator(device: torch.device) -> dict[str, Cases]:
    """100 steps. The loop moves one system at a time, with NumPy and all pairs at once, as the published code does."""
    tasks = {}
    for samples in (1, 200):
        x, v, q = (part.to(device) for part in particles.start(samples, 5, generator=torch.Generator().manual_seed(0)))
        systems = list(zip(*(part.cpu().numpy() for part in (x, v, q)), strict=True))
        tasks[f"100 steps of {samples} systems" if samples > 1 else "100 steps of one system"] = {
            "m2m": lambda state=(x, v, q): particles.simulate(*state, 100),
            "loop over systems": lambda systems=systems: [one_by_one(*state, 100) for state in systems],
        }
    return tasks


def one_by_one(x: numpy.ndarray, v: numpy.ndarray, q: numpy.ndarray, steps: int, dt: float = 1e-3) -> numpy.ndarray:
    """Positions (n, 3) of one system after some steps of `particles.simulate`."""
    charge = q[:, None] * q
    for _ in range(steps):
        r = x[:, None] - x
        d = numpy.sqrt((r**2).sum(-1))
        numpy.fill_diagonal(d, numpy.inf)
        force = ((charge / d**3)[..., None] * r).sum(1)
        v = v + dt * numpy.clip(force, -0.1 / dt, 0.1 / dt)
        x = x + dt * v
    return x


PARTS = {"search": search, "schnet": schnets, "egnn": egnns, "simulator": simulator}


def table(rows: list[dict]) -> str:
    """Markdown: a task a line, with every library's time; in brackets the quartiles, then the time over m2m's."""
    lines = ["| task | library | ms (quartiles) × time of m2m |", "|:--|:--|--:|"]
    ours = {row["task"]: row for row in rows if row["library"] == "m2m"}
    return "\n".join(
        lines + [f"| {row['task']} | {row['library']} | {report.cell(row, ours.get(row['task']))} |" for row in rows]
    )


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    arguments, device = report.begin(parser, "messages", budget=20.0)
    torch.manual_seed(0)
    rows = []
    for part in arguments.parts:
        for task, cases in PARTS[part](device).items():
            timed = timing.take_turns(cases, clock=timing.Clock(device), rounds=arguments.rounds, budget=arguments.budget)
            rows += [{"task": task, "library": name, **asdict(t)} for name, t in timed.items()]
    print(table(rows))
    report.write(arguments.out, rows, command=report.command("bench.messages", arguments), device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
