"""Real spherical harmonics and Wigner matrices, beside the libraries that do the same.

    python -m bench.harmonics                            all, about four minutes on one thread
    python -m bench.harmonics --parts forward --points 1000 --out ""
    python -m bench.harmonics --device cuda

All are given points (N, 3) in float32, and give all degrees up to l of their directions. The order of the entries and the
signs are each library's own. "compiled" is `torch.compile` of the same function; compiling, which takes a while, is not timed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from bench import report, timing  # before torch: sets the number of threads

import torch
from torch import Tensor

from m2m.tensors import irreps, rotations
from m2m.tensors.harmonics import harmonics

PACKAGES = ("torch", "numpy", "scipy", "e3nn", "sphericart-torch", "se3-transformer-pytorch")
DEGREES = (3, 6)
Function = Callable[[Tensor], object]
Cases = dict[str, Callable[[], object]]


def angles(r: Tensor) -> tuple[Tensor, Tensor]:
    """Polar angle and azimuth about z, for libraries that ask for them."""
    x, y, z = r.unbind(-1)
    return torch.atan2((x * x + y * y).sqrt(), z), torch.atan2(y, x)


def ours(l_max: int) -> Function:
    return lambda r: harmonics(r, l_max)


def compiled(l_max: int) -> Function:
    return torch.compile(ours(l_max), dynamic=True)


def e3nn(l_max: int) -> Function:
    from e3nn import o3

    degrees = list(range(l_max + 1))
    return lambda r: o3.spherical_harmonics(degrees, r, True, "component")


def sphericart(l_max: int) -> Function:
    from sphericart.torch import SphericalHarmonics

    return SphericalHarmonics(l_max)


def scipy(l_max: int) -> Function:
    """Complex harmonics of orders 0 to l, which is all that the real ones need, from angles; to make them real is not timed."""
    from scipy.special import sph_harm_y

    def compute(r: Tensor) -> list:
        polar, azimuth = (angle.numpy() for angle in angles(r))
        return [sph_harm_y(l, m, polar, azimuth) for l in range(l_max + 1) for m in range(l + 1)]

    return compute


def se3_transformer(l_max: int) -> Function:
    """It keeps Legendre polynomials in a cache, which is emptied for each new set of points, as its network does."""
    from se3_transformer_pytorch import spherical_harmonics as theirs

    def compute(r: Tensor) -> list[Tensor]:
        polar, azimuth = angles(r)
        theirs.clear_spherical_harmonics_cache()
        return [theirs.get_spherical_harmonics(l, polar, azimuth) for l in range(l_max + 1)]

    return compute


FORWARD = {
    "m2m": ours, "m2m, compiled": compiled, "e3nn": e3nn, "sphericart": sphericart, "scipy": scipy,
    "se3-transformer-pytorch": se3_transformer,
}  # fmt: skip
BACKWARD = {name: FORWARD[name] for name in ("m2m", "m2m, compiled", "e3nn", "sphericart")}


def with_peers(makers: dict[str, Callable[[int], Function]], l_max: int, device: torch.device) -> dict[str, Function]:
    """The libraries that are there; a message for those that are not."""
    found = {}
    for name, make in makers.items():
        if name == "scipy" and device.type != "cpu":
            continue
        try:
            found[name] = make(l_max)
        except (ImportError, OSError) as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
    return found


def draw(points: int, device: torch.device) -> Tensor:
    return torch.randn(points, 3, generator=torch.Generator().manual_seed(0)).to(device)


def forward(device: torch.device, sizes: list[int]) -> dict[str, Cases]:
    """Values alone."""
    tasks = {}
    for l_max in DEGREES:
        functions = with_peers(FORWARD, l_max, device)
        for points in sizes:
            r = draw(points, device)
            tasks[f"harmonics to l = {l_max}, {points:,} points"] = {
                name: lambda f=f, r=r: f(r) for name, f in functions.items()
            }
    return tasks


def backward(device: torch.device, sizes: list[int]) -> dict[str, Cases]:
    """Values, and the gradient with respect to the points of a sum with weights, which lie in memory as the values do."""
    tasks = {}
    for l_max in DEGREES:
        functions = with_peers(BACKWARD, l_max, device)
        for points in sizes:
            r = draw(points, device).requires_grad_()
            weights = {name: torch.empty_like(f(r)).normal_() for name, f in functions.items()}  # keeps the strides

            def step(name: str, functions=functions, r=r, weights=weights) -> Tensor:
                return torch.autograd.grad((functions[name](r) * weights[name]).sum(), r)[0]

            tasks[f"harmonics to l = {l_max}, {points:,} points, forward + backward"] = {
                name: lambda name=name, step=step: step(name) for name in functions
            }
    return tasks


def wigner(device: torch.device, sizes: list[int]) -> dict[str, Cases]:
    """Wigner matrices of degrees 0 to 6 of 1,000 rotations."""
    R = rotations.random(1000, generator=torch.Generator().manual_seed(0)).to(device)
    cases: Cases = {"m2m": lambda: [irreps.wigner_d(l, R) for l in range(7)]}
    try:
        from e3nn import o3

        parts = [o3.Irrep(l, 1) for l in range(7)]
        cases["e3nn"] = lambda: [part.D_from_matrix(R) for part in parts]
    except ImportError as error:
        print(f"e3nn is skipped: {error}", file=sys.stderr)
    return {"Wigner matrices to l = 6, 1,000 rotations": cases}


PARTS = {"forward": forward, "backward": backward, "wigner": wigner}


def table(rows: list[dict]) -> str:
    """Markdown: a task a line, with every library's time; in brackets the quartiles, then the time over m2m's."""
    lines = ["| task | library | ms (quartiles) × time of m2m |", "|:--|:--|--:|"]
    m2m = {row["task"]: row for row in rows if row["library"] == "m2m"}
    return "\n".join(
        lines + [f"| {row['task']} | {row['library']} | {report.cell(row, m2m.get(row['task']))} |" for row in rows]
    )


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--points", nargs="+", type=int, default=[1000, 100_000])
    arguments, device = report.begin(parser, "harmonics", budget=10.0)
    rows = []
    for part in arguments.parts:
        for task, cases in PARTS[part](device, arguments.points).items():
            timed = timing.take_turns(cases, clock=timing.Clock(device), rounds=arguments.rounds, budget=arguments.budget)
            rows += [{"task": task, "library": name, **asdict(t)} for name, t in timed.items()]
    print(table(rows))
    report.write(arguments.out, rows, command=report.command("bench.harmonics", arguments), device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
