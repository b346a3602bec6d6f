"""Distances between point clouds, beside what one would write or install: time and extra memory.

    python -m bench.clouds                                all, about ten minutes on one thread
    python -m bench.clouds --parts chamfer --out ""
    python -m bench.clouds --device cuda --parts chamfer sets

Clouds of points on ellipsoids, float32. "cdist" is Chamfer as most write it: all distances, `min` along both axes. "k-d tree"
is scipy's: indices, then the lengths to the nearest in torch. Exact earth mover's distances agree; regularised ones do not,
so for these the table shows how far each is above the exact one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict

from bench import memory, report, timing  # before torch: sets the number of threads

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from m2m.clouds import decoders, distances, encoders, latents, metrics, transport, vae

PACKAGES = ("torch", "numpy", "scipy", "numba", "POT", "geomloss")
CONVENTION = {"reduction": "mean", "squared": True}
REG = 0.01
Cases = dict[str, Callable[[], object]]
for _backend in ("TENSORFLOW", "JAX", "CUPY"):  # which POT would import
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_backend}", "1")


def draw(*shape: int, seed: int, device: torch.device) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.normalize(torch.randn(*shape, 3, generator=g), dim=-1)
    return (x * (0.3 + 0.7 * torch.rand(*shape[:-1], 1, 3, generator=g))).to(device)


# --- Chamfer ----------------------------------------------------------------------------------------------------------------


def with_cdist(x: Tensor, y: Tensor) -> Tensor:
    d = torch.cdist(x, y) ** 2
    return d.min(2)[0].mean(1) + d.min(1)[0].mean(1)


def with_trees(x: Tensor, y: Tensor) -> Tensor:
    def lengths(a: Tensor, b: Tensor) -> Tensor:
        found = [cKDTree(there.numpy()).query(here.numpy())[1] for here, there in zip(a.detach(), b.detach())]
        index = torch.stack([torch.from_numpy(one) for one in found])[..., None].expand_as(a)
        return ((a - b.gather(1, index)) ** 2).sum(2).mean(1)

    return lengths(x, y) + lengths(y, x)


def with_m2m(x: Tensor, y: Tensor) -> Tensor:
    return distances.chamfer(x, y, **CONVENTION)


CHAMFER = {"m2m": with_m2m, "k-d tree": with_trees, "cdist": with_cdist}


def chamfer(device: torch.device) -> dict[str, Cases]:
    tasks = {}
    functions = {name: f for name, f in CHAMFER.items() if name != "k-d tree" or device.type == "cpu"}
    for batch in (8, 32):
        x, y = draw(batch, 2048, seed=0, device=device).requires_grad_(), draw(batch, 2048, seed=1, device=device)

        def step(f: Callable[[Tensor, Tensor], Tensor], x=x, y=y) -> Tensor:
            return torch.autograd.grad(f(x, y).sum(), x)[0]

        size = f"{batch} x 2,048 x 2,048"
        tasks[f"Chamfer {size}"] = {name: lambda f=f, x=x, y=y: torch.no_grad()(f)(x, y) for name, f in functions.items()}
        tasks[f"Chamfer {size}, forward + backward"] = {name: lambda f=f, step=step: step(f) for name, f in functions.items()}
    return tasks


def sets(device: torch.device) -> dict[str, Cases]:
    """All pairs of two sets, and within one: 10 clouds a set, the time of more growing with the number of pairs."""
    a, b = draw(10, 2048, seed=0, device=device), draw(10, 2048, seed=1, device=device)

    def pairs(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        return lambda: torch.stack([f(x.expand_as(b), b) for x in a])

    cases: Cases = {"m2m": lambda: metrics.chamfer_pairs(a, b, **CONVENTION), "cdist": pairs(with_cdist)}
    if device.type == "cpu":
        cases["k-d tree"] = pairs(with_trees)
    return {
        "all pairs of 10 and 10 clouds of 2,048 points": cases,
        "all pairs within 10 clouds of 2,048 points": {"m2m": lambda: metrics.chamfer_pairs(a, **CONVENTION)},
    }


# --- Earth mover's distance -------------------------------------------------------------------------------------------------


def emd(device: torch.device) -> dict[str, Cases]:
    tasks = {}
    for points in (512, 1024, 2048):
        x, y = draw(1, points, seed=0, device=device)[0], draw(1, points, seed=1, device=device)[0]
        cases: Cases = {"m2m": lambda x=x, y=y: distances.emd(x, y)}
        try:
            import ot

            cases["POT"] = lambda x=x, y=y: ot.emd2([], [], distances.cost(x, y, squared=False).cpu().numpy())
        except ImportError as error:
            print(f"POT is skipped: {error}", file=sys.stderr)
        tasks[f"earth mover's distance, {points:,} points"] = cases
    return tasks


def sinkhorn(device: torch.device) -> dict[str, Cases]:
    """The cost of moving the plan, at the same regularisation; each library ends by its own rule."""
    tasks = {}
    for points in (512, 2048):
        x, y = draw(1, points, seed=0, device=device)[0], draw(1, points, seed=1, device=device)[0]
        cases: Cases = {"m2m": lambda x=x, y=y: transport.sinkhorn(x, y, reg=REG).cost}
        try:
            import ot

            def theirs(x=x, y=y) -> float:
                d = distances.cost(x, y, squared=False)
                even = d.new_ones(len(d)) / len(d)
                return ot.sinkhorn2(even, even, d, REG, method="sinkhorn_log", stopThr=1e-3 / len(d) ** 0.5, warn=False)

            cases["POT"] = theirs
        except ImportError as error:
            print(f"POT is skipped: {error}", file=sys.stderr)
        try:
            from geomloss import SamplesLoss

            cases["geomloss"] = lambda x=x, y=y, f=SamplesLoss("sinkhorn", p=1, blur=REG, debias=False, backend="tensorized"): (
                f(x, y)
            )
        except ImportError as error:
            print(f"geomloss is skipped: {error}", file=sys.stderr)
        tasks[f"Sinkhorn at {REG}, {points:,} points"] = cases
    return tasks


# --- A step of training -----------------------------------------------------------------------------------------------------


def step(device: torch.device) -> dict[str, Cases]:
    """Loss and gradients of a VAE (PointNet, Gaussian, MLP), the same network with either Chamfer distance."""
    x = draw(32, 2048, seed=0, device=device)
    torch.manual_seed(0)
    posterior = latents.Gaussian(64)
    model = vae.VAE(encoders.PointNet(posterior.inputs), posterior, decoders.MLP(64, x.shape[1])).to(device)
    noise = torch.randn(len(x), 64, generator=torch.Generator().manual_seed(0)).to(device)

    def one(f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        model.zero_grad()
        h = model.encoder(x)
        z, log_q = model.posterior(h, noise)
        loss = (vae.WEIGHT * f(model.decoder(z), x) + model.kl(h, z, log_q)).mean()
        loss.backward()
        return loss.detach()

    cases = {name: lambda f=CHAMFER[name]: one(f) for name in ("m2m", "cdist")}
    return {"VAE, loss and gradients, 32 x 2,048": cases}


PARTS = {"chamfer": chamfer, "sets": sets, "emd": emd, "sinkhorn": sinkhorn, "step": step}


def above(task: str, value: object, device: torch.device) -> float | None:
    """By how much a regularised value is above the exact one, a share of it."""
    if not task.startswith("Sinkhorn"):
        return None
    points = int(task.split()[-2].replace(",", ""))
    exact = distances.emd(*(draw(1, points, seed=seed, device=device)[0] for seed in (0, 1))).item()
    return float(value) / exact - 1


# --- The table --------------------------------------------------------------------------------------------------------------


def _call(part: str, task: str, name: str, device: torch.device) -> Callable[[], object]:
    return PARTS[part](device)[task][name]


def measure(part: str, device: torch.device, rounds: int, budget: float) -> list[dict]:
    """A row for each task and library."""
    rows = []
    for task, cases in PARTS[part](device).items():
        timed = timing.take_turns(cases, clock=timing.Clock(device), rounds=rounds, budget=budget)
        for name, t in timed.items():
            extra = {"mebibytes": memory.extra(_call, part, task, name, device=device), "above": above(task, cases[name](), device)}
            rows.append({"task": task, "library": name, **asdict(t), **extra})
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: a task a line, with every library's time; in brackets the quartiles, then the time over m2m's."""
    lines = ["| task | library | ms (quartiles) × time of m2m | extra MiB | above exact |", "|:--|:--|--:|--:|--:|"]
    m2m = {row["task"]: row for row in rows if row["library"] == "m2m"}
    for row in rows:
        extra = "" if row.get("mebibytes") is None else f"{row['mebibytes']:.0f}"
        error = "" if row.get("above") is None else f"{row['above']:.1%}"
        lines.append(f"| {row['task']} | {row['library']} | {report.cell(row, m2m.get(row['task']))} | {extra} | {error} |")
    return "\n".join(lines)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    arguments, device = report.begin(parser, "clouds", budget=20.0)
    rows = [row for part in arguments.parts for row in measure(part, device, arguments.rounds, arguments.budget)]
    print(table(rows))
    report.write(arguments.out, rows, command=report.command("bench.clouds", arguments), device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
