"""Equivariant convolutions of a graph, beside the libraries that do the same: time and extra memory.

    python -m bench.convolutions                         all, about three minutes on one thread
    python -m bench.convolutions --kinds depthwise --out ""
    python -m bench.convolutions --device cuda

Eight clouds of 32 points, 12 neighbours, 16 channels of each degree 0 to 2, harmonics to degree 4. What is the same for all: points,
edges, features, and a radial network of 16 Gaussians, 64 hidden units and a linear layer without bias. Harmonics (and for
se3-transformer-pytorch its basis, for m2m the kernels) belong to the geometry and are made once, outside of what is timed;
"m2m, geometry too" makes them in every call. se3-transformer-pytorch has such a network for each pair of degrees.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from bench import memory, report, timing  # before torch: sets the number of threads

import torch
from torch import Tensor, nn

from m2m.messages import graph, radial
from m2m.tensors import irreps, tfn

PACKAGES = ("torch", "e3nn", "se3-transformer-pytorch")
CLOUDS, POINTS, NEIGHBOURS, CHANNELS, L_MAX, HIDDEN, BASIS = 8, 32, 12, 16, 2, 64, 16
WIDTH = {l: CHANNELS for l in range(L_MAX + 1)}
PATHS = [(a, b, c) for a in WIDTH for c in WIDTH for b in range(abs(a - c), a + c + 1)]
Call = Callable[[], object]


class Task:
    """Points, edges, features and radial basis, the same in every process."""

    def __init__(self, device: torch.device):
        draw = torch.Generator().manual_seed(0)
        batch = graph.of_sizes([POINTS] * CLOUDS)
        x = torch.randn(len(batch), 3, generator=draw)
        self.edge_index = graph.nearest(x, NEIGHBOURS, batch).to(device)
        self.f = {l: value.to(device).requires_grad_() for l, value in irreps.random(WIDTH, len(x), generator=draw).items()}
        self.x, self.basis = x.to(device), radial.Gaussians(3.0, BASIS).to(device)
        torch.manual_seed(0)

    @property
    def flat(self) -> Tensor:
        """Features as e3nn has them, (N, C (2 l + 1) for all l)."""
        return torch.cat([value.detach().flatten(1) for value in self.f.values()], 1).requires_grad_()


def network(out: int, into: int = BASIS) -> nn.Module:
    return nn.Sequential(nn.Linear(into, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, out, bias=False))


# --- The libraries: each gives a module and a call that returns its outputs -------------------------------------------------


def ours(task: Task, kind: str, fresh: bool = False) -> tuple[nn.Module, Call]:
    module = tfn.Convolution(WIDTH, WIDTH, 2 * L_MAX, task.basis, hidden=HIDDEN, kind=kind).to(task.x.device)
    kept = tfn.Geometry(task.x, task.edge_index, 2 * L_MAX)
    made = lambda: tfn.Geometry(task.x, task.edge_index, 2 * L_MAX) if fresh else kept
    return module, lambda: list(module(task.f, made()).values())


def e3nn(task: Task, kind: str) -> tuple[nn.Module, Call]:
    """Its tensor product with a weight for each edge, then `index_add_`; depthwise, its linear layer afterwards."""
    from e3nn import o3

    into = o3.Irreps([(CHANNELS, (l, 1)) for l in WIDTH])
    filters = o3.Irreps([(1, (l, 1)) for l in range(2 * L_MAX + 1)])
    options = dict(shared_weights=False, internal_weights=False)
    if kind == "full":
        product, mix = o3.TensorProduct(into, filters, into, [(a, b, c, "uvw", True) for a, b, c in PATHS], **options), None
    else:
        middle, order, _ = o3.Irreps([(CHANNELS, (c, 1)) for _, _, c in PATHS]).sort()
        steps = [(a, b, order[k], "uvu", True) for k, (a, b, _) in enumerate(PATHS)]
        product, mix = o3.TensorProduct(into, filters, middle, steps, **options), o3.Linear(middle.simplify(), into)
    module = nn.ModuleList([network(product.weight_numel), product, *([mix] if mix else [])]).to(task.x.device)
    geometry, f = tfn.Geometry(task.x, task.edge_index, 2 * L_MAX), task.flat
    receiver, sender = task.edge_index
    Y, e = o3.spherical_harmonics(filters, geometry.r, True, "component"), task.basis(geometry.d)

    def call() -> list[Tensor]:
        message = product(f[sender], Y, module[0](e))
        out = message.new_zeros(len(f), message.shape[1]).index_add_(0, receiver, message)
        return [mix(out) if mix else out]

    return module, call


def se3_transformer(task: Task, kind: str) -> tuple[nn.Module, Call]:
    """Its tensor field layer, which is full, without self-interaction, and takes the mean over neighbours."""
    from se3_transformer_pytorch import se3_transformer_pytorch as theirs
    from se3_transformer_pytorch.basis import get_basis

    fiber = theirs.Fiber([(l, CHANNELS) for l in WIDTH])
    module = theirs.ConvSE3(fiber, fiber, self_interaction=False, edge_dim=BASIS).to(task.x.device)
    for pair in module.kernel_unary.values():
        pair.rp.net = network(pair.num_freq * CHANNELS**2, BASIS + 1).to(task.x.device)
    shape = (CLOUDS, POINTS, NEIGHBOURS)
    geometry = tfn.Geometry(task.x, task.edge_index, 0)
    basis = get_basis(geometry.r.view(*shape, 3), L_MAX, differentiable=False)
    info = ((task.edge_index[1] % POINTS).view(shape), None, task.basis(geometry.d).view(*shape, -1))
    f = {str(l): value.view(CLOUDS, POINTS, CHANNELS, -1) for l, value in task.f.items()}
    return module, lambda: list(module(f, info, geometry.d.view(shape), basis).values())


LIBRARIES: dict[str, Callable[[Task, str], tuple[nn.Module, Call]]] = {
    "m2m": ours, "m2m, geometry too": lambda task, kind: ours(task, kind, fresh=True), "e3nn": e3nn,
    "se3-transformer-pytorch": se3_transformer,
}  # fmt: skip


def libraries(kind: str) -> list[str]:
    return [name for name in LIBRARIES if kind == "full" or not name.startswith("se3")]


def forward(call: Call) -> Call:
    def run() -> None:
        with torch.no_grad():
            call()

    return run


def backward(module: nn.Module, call: Call) -> Call:
    """Outputs, and gradients of their squares for weights and features."""

    def run() -> None:
        for p in module.parameters():
            p.grad = None
        sum(value.square().sum() for value in call()).backward()

    return run


# --- Memory -----------------------------------------------------------------------------------------------------------------


def _call(kind: str, name: str, device: torch.device) -> Callable[[], object]:
    return backward(*LIBRARIES[name](Task(device), kind))


def measure(kind: str, device: torch.device, rounds: int, budget: float) -> list[dict]:
    """Times of all libraries, in turns, and their memory; the libraries that are not there are named."""
    cases: dict[str, dict[str, Call]] = {"forward": {}, "forward + backward": {}}
    task, mebibytes = Task(device), {}
    for name in libraries(kind):
        try:
            module, call = LIBRARIES[name](task, kind)
        except ImportError as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
            continue
        cases["forward"][name], cases["forward + backward"][name] = forward(call), backward(module, call)
        mebibytes[name] = memory.extra(_call, kind, name, device=device)
    rows = []
    for what, calls in cases.items():
        timed = timing.take_turns(calls, clock=timing.Clock(device), rounds=rounds, budget=budget)
        extra = (lambda name: {"mebibytes": mebibytes[name]}) if "backward" in what else (lambda name: {})
        rows += [{"task": f"{kind}, {what}", "library": name, **asdict(t), **extra(name)} for name, t in timed.items()]
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: a task a line, with every library's time; in brackets the quartiles, then the time over m2m's."""
    lines = ["| task | library | ms (quartiles) × time of m2m | extra MiB |", "|:--|:--|--:|--:|"]
    m2m = {row["task"]: row for row in rows if row["library"] == "m2m"}
    for row in rows:
        extra = row.get("mebibytes")
        shown = "" if extra is None else f"{extra:.0f}"
        lines.append(f"| {row['task']} | {row['library']} | {report.cell(row, m2m.get(row['task']))} | {shown} |")
    return "\n".join(lines)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--kinds", nargs="+", default=["depthwise", "full"], choices=["depthwise", "full"])
    arguments, device = report.begin(parser, "convolutions", budget=30.0)
    rows = [row for kind in arguments.kinds for row in measure(kind, device, arguments.rounds, arguments.budget)]
    print(table(rows))
    command = report.command("bench.convolutions", arguments)
    report.write(arguments.out, rows, command=command, device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
