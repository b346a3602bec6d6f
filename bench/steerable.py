"""One layer of a SEGNN beside the same layer built of e3nn's parts: time and extra memory.

    python -m bench.steerable                            all, about two minutes on one thread
    python -m bench.steerable --cases particles --out ""
    python -m bench.steerable --device cuda

"particles": 100 systems of 5 particles, all pairs, 32 numbers and 16 arrows, attributes of degrees 0 and 1, as in the chapter.
"clouds": 8 clouds of 32 points, 12 neighbours, 16 channels of degrees 0 to 2, attributes to degree 2. Both layers are two
products with gates for messages and two for updates, with the same number of weights; attributes are made beforehand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from bench import memory, report, timing  # before torch: sets the number of threads

import torch
from torch import Tensor, nn

from bench.convolutions import backward, forward, table
from m2m.messages import graph
from m2m.tensors import irreps, segnn

PACKAGES = ("torch", "e3nn")
CASES = {"particles": ({0: 32, 1: 16}, 1), "clouds": ({0: 16, 1: 16, 2: 16}, 2)}
EDGES = 3  # invariant numbers of an edge
Call = Callable[[], object]


class Task:
    """Edges, features, numbers and attributes of edges and nodes, the same in every process."""

    def __init__(self, case: str, device: torch.device):
        draw = torch.Generator().manual_seed(0)
        self.channels, self.l = CASES[case]
        batch = graph.of_sizes([5] * 100 if case == "particles" else [32] * 8)
        x = torch.randn(len(batch), 3, generator=draw)
        edge_index = graph.complete(batch) if case == "particles" else graph.nearest(x, 12, batch)
        self.neighbours = edge_index.shape[1] / len(x)
        self.f = {
            l: value.to(device).requires_grad_() for l, value in irreps.random(self.channels, len(x), generator=draw).items()
        }
        self.b = torch.randn(edge_index.shape[1], EDGES, generator=draw).to(device)
        self.edge_index, r = edge_index.to(device), graph.vectors(x, edge_index)
        self.a_edge = segnn.Attributes.of(r.to(device), self.l)
        self.a_node = segnn.Attributes.of(torch.randn(len(x), 3, generator=draw).to(device), self.l)
        torch.manual_seed(0)


def ours(task: Task) -> tuple[nn.Module, Call]:
    layer = segnn.Layer(task.channels, EDGES, task.l, neighbours=task.neighbours).to(task.b.device)
    return layer, lambda: list(layer(task.f, task.edge_index, task.b, task.a_edge, task.a_node).values())


def e3nn(task: Task) -> tuple[nn.Module, Call]:
    """`FullyConnectedTensorProduct` and `Gate`, features concatenated for each edge, sums by `index_add_`."""
    from e3nn import nn as theirs
    from e3nn import o3

    irreps_of = lambda channels: o3.Irreps([(c, (l, 1)) for l, c in channels.items()])
    numbers, gated = irreps_of({0: task.channels[0]}), irreps_of({l: c for l, c in task.channels.items() if l})
    gates = o3.Irreps([(gated.num_irreps, (0, 1))])
    gate = theirs.Gate(numbers, [torch.nn.functional.silu], gates, [torch.sigmoid], gated)
    node, attribute = irreps_of(task.channels), irreps_of(dict.fromkeys(range(task.l + 1), 1))
    product = lambda into, out: o3.FullyConnectedTensorProduct(into, attribute, out, irrep_normalization="component")
    beside = irreps_of({l: 2 * c + EDGES * (l == 0) for l, c in task.channels.items()})
    both = irreps_of({l: 2 * c for l, c in task.channels.items()})
    steps = [
        product(beside, gate.irreps_in),
        product(node, gate.irreps_in),
        product(both, gate.irreps_in),
        product(node, node),
    ]
    module = nn.ModuleList([*steps, gate]).to(task.b.device)
    receiver, sender = task.edge_index

    def flat(*parts: dict[int, Tensor]) -> Tensor:
        return torch.cat([torch.cat([part[l] for part in parts if l in part], 1).flatten(1) for l in task.channels], 1)

    def split(value: Tensor) -> dict[int, Tensor]:
        parts = value.split([c * (2 * l + 1) for l, c in task.channels.items()], 1)
        return {l: part.unflatten(1, (c, 2 * l + 1)) for (l, c), part in zip(task.channels.items(), parts, strict=True)}

    def call() -> list[Tensor]:
        i, j = ({l: value[index] for l, value in task.f.items()} for index in (receiver, sender))
        message = gate(steps[0](flat(i, j, {0: task.b[..., None]}), task.a_edge.a))
        message = gate(steps[1](message, task.a_edge.a))
        total = message.new_zeros(len(task.f[0]), message.shape[1]).index_add_(0, receiver, message) / task.neighbours**0.5
        step = steps[3](gate(steps[2](flat(task.f, split(total)), task.a_node.a)), task.a_node.a)
        return [flat(task.f) + step]

    return module, call


LIBRARIES: dict[str, Callable[[Task], tuple[nn.Module, Call]]] = {"m2m": ours, "e3nn": e3nn}


def _call(case: str, name: str, device: torch.device) -> Callable[[], object]:
    return backward(*LIBRARIES[name](Task(case, device)))


def measure(case: str, device: torch.device, rounds: int, budget: float) -> list[dict]:
    """Times of both libraries, in turns, and their memory; e3nn is skipped with a message where it is not."""
    cases: dict[str, dict[str, Call]] = {"forward": {}, "forward + backward": {}}
    task, mebibytes = Task(case, device), {}
    for name, make in LIBRARIES.items():
        try:
            module, call = make(task)
        except ImportError as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
            continue
        cases["forward"][name], cases["forward + backward"][name] = forward(call), backward(module, call)
        mebibytes[name] = memory.extra(_call, case, name, device=device)
    rows = []
    for what, calls in cases.items():
        timed = timing.take_turns(calls, clock=timing.Clock(device), rounds=rounds, budget=budget)
        extra = (lambda name: {"mebibytes": mebibytes[name]}) if "backward" in what else (lambda name: {})
        rows += [{"task": f"{case}, {what}", "library": name, **asdict(t), **extra(name)} for name, t in timed.items()]
    return rows


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    arguments, device = report.begin(parser, "steerable", budget=30.0)
    rows = [row for case in arguments.cases for row in measure(case, device, arguments.rounds, arguments.budget)]
    print(table(rows))
    command = report.command("bench.steerable", arguments)
    report.write(arguments.out, rows, command=command, device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
