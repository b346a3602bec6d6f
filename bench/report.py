"""What every benchmark ends with: a table to read and a file to keep."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from bench import timing


def cell(row: dict | None, ours: dict | None) -> str:
    """Median, quartiles and the ratio to our time; "-" where nothing was measured."""
    if row is None:
        return "-"
    ratio = f" ×{row['median'] / ours['median']:.2f}" if ours else ""
    return f"{row['median']:.3g} ({row['low']:.3g} to {row['high']:.3g}){ratio}"


def begin(parser: argparse.ArgumentParser, name: str, *, rounds: int = 15, budget: float) -> tuple[argparse.Namespace, torch.device]:
    """Parse a benchmark's own options and those that all have; one thread on a CPU. `rounds`, `budget`: the defaults."""
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--budget", type=float, default=budget, help="seconds for each task, after three rounds")
    parser.add_argument("--out", default=f"results/bench_{name}.json", help="the results file; empty for none")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    timing.keep_memory()
    return arguments, device


def parser(description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def command(module: str, arguments: argparse.Namespace) -> str:
    """The command that gives these rows again; where they are written is left out."""

    def listed(value) -> str:
        values = value if isinstance(value, list) else [value]
        return " ".join(f'"{v}"' if " " in str(v) else str(v) for v in values)

    return " ".join(
        [f"python -m {module}", *(f"--{name} {listed(value)}" for name, value in vars(arguments).items() if name != "out")]
    )


def write(out: str, rows: list[dict], *, command: str, device: torch.device, packages: tuple[str, ...]) -> None:
    """Print what the rows were measured on; write all of it to the file `out`, if it has a name."""
    about = {
        "command": command,
        "commit": timing.commit(),
        "clock": "processor time" if device.type == "cpu" else "wall time",
        "machine": timing.machine(device),
        "versions": timing.versions(*packages),
    }
    print("\n" + "; ".join(f"{key} {value}" for key, value in {**about["machine"], **about["versions"]}.items()))
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
