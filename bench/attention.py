"""Equivariant attention beside the libraries that do the same, or have the parts for it: time and extra memory.

    python -m bench.attention                            all, about four minutes on one thread
    python -m bench.attention --tasks attention --out ""
    python -m bench.attention --device cuda

"attention": one layer on eight clouds of 32 points, 12 neighbours, 16 channels of each degree 0 to 2, two heads, harmonics to
degree 4, outputs and gradients. "n-body C": a training step (geometry, loss, gradients, Adam) of four layers on 128 systems of
5 particles, C channels of each degree 0 to 3, one head, harmonics to degree 6, at the size of the paper's experiment for C = 3.

m2m and "e3nn" compute the same function of the same number of weights: e3nn has no attention, and is used for harmonics, tensor
products and linear maps; the softmax is the same code. se3-transformer-pytorch has networks for each pair of degrees, and
weights of attention for each degree by itself, in place of one set for all. Its harmonics, as the others', are made outside of
what is timed in "attention" and within it in "n-body". "depthwise" is m2m with one radial function for each channel that comes
in, in place of one for each pair: a cheaper layer, and another one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict

from bench import memory, report, timing  # before torch: sets the number of threads
from bench import convolutions

import torch
from torch import Tensor, nn

from m2m.data import particles
from m2m.messages import graph, radial
from m2m.tensors import se3_transformer, tfn

PACKAGES = ("torch", "e3nn", "se3-transformer-pytorch")
HIDDEN, BASIS, HEADS, LAYERS = 64, 16, 2, 4
Call = Callable[[], object]


def width(channels: int, l_max: int) -> dict[int, int]:
    return {l: channels for l in range(l_max + 1)}


# --- Attention of parts of e3nn --------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """The layer of `m2m.tensors.se3_transformer.Attention`, kind "full", in e3nn's order of features."""

    def __init__(self, channels: int, l_max: int, heads: int, l_in: int | None = None):
        super().__init__()
        from e3nn import o3

        degrees, degrees_in = range(l_max + 1), range((l_max if l_in is None else l_in) + 1)
        self.irreps_in = o3.Irreps([(channels, (l, 1)) for l in degrees_in])
        self.irreps = o3.Irreps([(channels, (l, 1)) for l in degrees])
        both = o3.Irreps([((1 + (l in degrees_in)) * channels, (l, 1)) for l in degrees])  # keys and values
        self.filters = o3.Irreps([(1, (l, 1)) for l in range(2 * l_max + 1)])
        paths = [(a, b, c, "uvw", True) for a in degrees_in for c in degrees for b in range(abs(a - c), a + c + 1)]
        options = dict(shared_weights=False, internal_weights=False)
        self.product = o3.TensorProduct(self.irreps_in, self.filters, both, paths, **options)
        self.radial = convolutions.network(self.product.weight_numel)
        self.query = o3.Linear(self.irreps_in, self.irreps_in)
        self.sizes, self.heads = [channels * (2 * l + 1) for l in degrees], heads
        self.keys = [l in degrees_in for l in degrees]

    def forward(self, f: Tensor, Y: Tensor, e: Tensor, edge_index: Tensor) -> Tensor:
        receiver, sender = edge_index
        blocks = self.product(f[sender], Y, self.radial(e)).split([(1 + key) * n for n, key in zip(self.sizes, self.keys)], 1)
        parts = [block.split(n, 1) for block, n in zip(blocks, self.sizes, strict=True)]
        by_head = lambda t: t.view(len(t), self.heads, -1)
        k = torch.cat([by_head(part[0]) for part in parts if len(part) == 2], -1)
        query = self.query(f).split([n for n, key in zip(self.sizes, self.keys, strict=True) if key], 1)
        q = torch.cat([by_head(part) for part in query], -1)
        alpha = graph.scatter_softmax((q[receiver] * k).sum(-1) / math.sqrt(q.shape[-1]), receiver, len(f))[..., None]
        weighted = torch.cat([(alpha * by_head(part[-1])).flatten(1) for part in parts], 1)
        return f.new_zeros(len(f), sum(self.sizes)).index_add_(0, receiver, weighted)


class Network(nn.Module):
    """The layers of `SE3Transformer` without non-linearity and residual."""

    def __init__(self, channels: int, l_max: int):
        super().__init__()
        from e3nn import o3

        into, first = o3.Irreps("2x0e + 1x1e"), o3.Irreps([(channels, (0, 1)), (channels, (1, 1))])
        degrees = [1] + [l_max] * (LAYERS - 1)
        self.attention = nn.ModuleList(Attention(channels, l_max, 1, l_in) for l_in in degrees)
        self.filters, inner = self.attention[0].filters, self.attention[0].irreps
        self.embed, self.read = o3.Linear(into, first), o3.Linear(inner, "2x1e")
        self.itself = nn.ModuleList(o3.Linear(layer.irreps_in, inner) for layer in self.attention)

    def forward(self, f: Tensor, r: Tensor, e: Tensor, edge_index: Tensor) -> Tensor:
        from e3nn import o3

        Y = o3.spherical_harmonics(self.filters, r, True, "component")
        f = self.embed(f)
        for attention, itself in zip(self.attention, self.itself, strict=True):
            f = attention(f, Y, e, edge_index) + itself(f)
        return self.read(f)


# --- One layer --------------------------------------------------------------------------------------------------------------


def one_layer(device: torch.device) -> dict[str, Callable[[], Call]]:
    """For each library what makes its call: outputs of one layer, and gradients for weights and features."""
    task = convolutions.Task(device)
    l_max, channels = convolutions.L_MAX, convolutions.CHANNELS
    wide, geometry = width(channels, l_max), tfn.Geometry(task.x, task.edge_index, 2 * l_max)

    def ours(kind: str) -> Call:
        options = dict(hidden=HIDDEN, kind=kind, heads=HEADS)
        module = se3_transformer.Attention(wide, wide, 2 * l_max, task.basis, **options).to(device)
        return convolutions.backward(module, lambda: module(task.f, geometry).values())

    def e3nn() -> Call:
        from e3nn import o3

        module, f = Attention(channels, l_max, HEADS).to(device), task.flat
        Y, e = o3.spherical_harmonics(module.filters, geometry.r, True, "component"), task.basis(geometry.d)
        return convolutions.backward(module, lambda: [module(f, Y, e, task.edge_index)])

    def peer() -> Call:
        from se3_transformer_pytorch import se3_transformer_pytorch as theirs
        from se3_transformer_pytorch.basis import get_basis

        fiber = theirs.Fiber(list(wide.items()))
        module = theirs.AttentionSE3(fiber, dim_head=channels // HEADS, heads=HEADS, edge_dim=BASIS).to(device)
        shape = (convolutions.CLOUDS, convolutions.POINTS, convolutions.NEIGHBOURS)
        basis = get_basis(geometry.r.view(*shape, 3), l_max, differentiable=False)
        edges = ((task.edge_index[1] % shape[1]).view(shape), None, task.basis(geometry.d).view(*shape, -1))
        f = {str(l): value.view(*shape[:2], channels, -1) for l, value in task.f.items()}
        return convolutions.backward(module, lambda: module(f, edges, geometry.d.view(shape), basis).values())

    return {
        "m2m": lambda: ours("full"),
        "m2m, depthwise": lambda: ours("depthwise"),
        "e3nn": e3nn,
        "se3-transformer-pytorch": peer,
    }


# --- A training step of the N-body network ------------------------------------------------------------------------------------


def training_step(device: torch.device, channels: int, l_max: int = 3, systems: int = 128) -> dict[str, Callable[[], Call]]:
    """For each library what makes its call: geometry, network, loss, gradients and an Adam step."""
    x, v, q = (part.float() for part in particles.start(systems, generator=torch.Generator().manual_seed(0)))
    batch = particles.Pairs(x, v, x + v, v, q)[:].to(device)
    scalars, basis = torch.stack([graph.norm(batch.v0), batch.q], -1), radial.Gaussians(6.0, BASIS).to(device)
    torch.manual_seed(0)

    def step(module: nn.Module, predict: Callable[[], Tensor]) -> Call:
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
        wanted = torch.stack([batch.x1 - batch.x0, batch.v1 - batch.v0], 1)

        def run() -> None:
            optimizer.zero_grad()
            (predict() - wanted).square().mean().backward()
            optimizer.step()

        run.parameters = sum(p.numel() for p in module.parameters())
        return run

    def ours(kind: str) -> Call:
        options = dict(layers=LAYERS, heads=1, l_filter=2 * l_max, basis=basis, hidden=HIDDEN, kind=kind)
        options |= dict(nonlinearity=None, residual=False)
        module = se3_transformer.SE3Transformer({0: 2, 1: 1}, width(channels, l_max), {1: 2}, **options).to(device)
        f = {0: scalars[..., None], 1: batch.v0[:, None]}
        return step(module, lambda: module(f, tfn.Geometry(batch.x0, batch.edge_index, 2 * l_max))[1])

    def e3nn() -> Call:
        module, f = Network(channels, l_max).to(device), torch.cat([scalars, batch.v0], -1)

        def predict() -> Tensor:
            r = graph.vectors(batch.x0, batch.edge_index)
            return module(f, r, basis(graph.norm(r)), batch.edge_index).view(-1, 2, 3)

        return step(module, predict)

    def peer() -> Call:
        from se3_transformer_pytorch import SE3Transformer

        options = dict(input_degrees=2, num_degrees=l_max + 1, output_degrees=2, dim_in=(2, 1), dim_out=(2, 2))
        module = SE3Transformer(dim=channels, heads=1, dim_head=channels, depth=LAYERS, attend_self=False, **options).to(
            device
        )
        f = {"0": scalars.view(systems, 5, 2, 1), "1": batch.v0.view(systems, 5, 1, 3)}
        return step(module, lambda: module(f, batch.x0.view(systems, 5, 3), return_type=1).view(-1, 2, 3))

    return {
        "m2m": lambda: ours("full"),
        "m2m, depthwise": lambda: ours("depthwise"),
        "e3nn": e3nn,
        "se3-transformer-pytorch": peer,
    }


TASKS: dict[str, Callable[[torch.device], dict[str, Callable[[], Call]]]] = {
    "attention": one_layer,
    "n-body 3": lambda device: training_step(device, 3),
    "n-body 8": lambda device: training_step(device, 8),
}


# --- Measuring ----------------------------------------------------------------------------------------------------------------


def _call(task: str, name: str, device: torch.device) -> Callable[[], object]:
    return TASKS[task](device)[name]()


def measure(task: str, device: torch.device, rounds: int, budget: float) -> list[dict]:
    """Times of all libraries, in turns, and their memory; the libraries that are not there are named."""
    calls: dict[str, Call] = {}
    mebibytes = {}
    for name, make in TASKS[task](device).items():
        try:
            calls[name] = make()
        except ImportError as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
            continue
        mebibytes[name] = memory.extra(_call, task, name, device=device)
    timed = timing.take_turns(calls, clock=timing.Clock(device), rounds=rounds, budget=budget)
    extra = lambda name: (
        {"mebibytes": mebibytes[name]} | ({"parameters": calls[name].parameters} if hasattr(calls[name], "parameters") else {})
    )
    return [{"task": task, "library": name, **asdict(t), **extra(name)} for name, t in timed.items()]


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    arguments, device = report.begin(parser, "attention", rounds=9, budget=60.0)
    rows = [row for task in arguments.tasks for row in measure(task, device, arguments.rounds, arguments.budget)]
    print(convolutions.table(rows))
    command = report.command("bench.attention", arguments)
    report.write(arguments.out, rows, command=command, device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
