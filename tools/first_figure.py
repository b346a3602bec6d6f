"""Measure how long a reader waits for each chapter's first figure: the setup cell's installation, imports, cells up to it.

    python tools/first_figure.py [NOTEBOOK ...]                     on Colab's versions, in .venv-colab (8 GB, made if missing)
    python tools/first_figure.py --python .venv/bin/python NOTEBOOK       somewhere else, to look at

The book is installed by pip from a zip of the working tree, as the setup cell does from GitHub, but into a new folder, which
leaves the environment as it is; so numba's loops are compiled anew, as at a reader's. Downloading the zip is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import claims
import colab
import refresh

OUT = colab.ROOT / "results" / "first_figure.json"
LIMIT = 30.0  # seconds a chapter may take
FIGURES = ("image/png", "application/vnd.plotly.v1+json")
PACKAGES = ("torch", "numpy", "matplotlib", "plotly", "numba", "tensorflow")
KERNEL = "first-figure"


def shows_figure(cell: nbformat.NotebookNode) -> bool:
    return any(kind in output.get("data", {}) for output in cell.get("outputs", []) for kind in FIGURES)


def up_to_figure(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as far as the first cell whose stored outputs have a figure.

    Raises:
        ValueError: there is none.
    """
    for k, cell in enumerate(notebook.cells):
        if shows_figure(cell):
            return nbformat.from_dict({**notebook, "cells": notebook.cells[: k + 1]})
    raise ValueError(f"got no figure in {len(notebook.cells)} cells, expected one of {', '.join(FIGURES)}")


def seconds(cell: nbformat.NotebookNode) -> float:
    """How long an executed cell took, from the times that nbclient keeps of its start and end; text takes none."""
    if cell.cell_type != "code":
        return 0.0
    begin, end = (cell.metadata["execution"][f"iopub.status.{state}"] for state in ("busy", "idle"))
    return (
        datetime.fromisoformat(end.replace("Z", "+00:00")) - datetime.fromisoformat(begin.replace("Z", "+00:00"))
    ).total_seconds()


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and processor seconds of the processes that the call has started and ended."""
    processor, clock = refresh.ended_processes(), time.perf_counter()
    call()
    return time.perf_counter() - clock, refresh.ended_processes() - processor


def install(python: Path, folder: Path) -> tuple[float, float]:
    """Install the book into folder/library as the setup cell does, and time that."""
    archive = colab.archive(folder)
    return timed(
        lambda: colab.run(
            python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "library", archive
        )
    )


def make_kernel(python: Path, folder: Path) -> None:
    """A kernel of that Python which sees the library in folder/library."""
    place = folder / "kernels" / KERNEL
    place.mkdir(parents=True)
    environment = {"PYTHONPATH": str(folder / "library"), "M2M_SCALE": "cpu"}
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": KERNEL, "language": "python", "env": environment}
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(folder)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> tuple[float, float]:
    """Execute the cells in a fresh kernel; seconds of the cells, and processor seconds of the kernel with its start.

    Raises:
        ValueError: the last cell showed no figure.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook, timeout=refresh.CELL_TIMEOUT, kernel_name=KERNEL, resources={"metadata": {"path": str(folder)}}
    )
    processor = timed(client.execute)[1]
    if not shows_figure(notebook.cells[-1]):
        raise ValueError(f"cell {len(notebook.cells) - 1}: got no figure, expected one as in the stored notebook")
    return sum(map(seconds, notebook.cells)), processor


def measure(path: Path, python: Path) -> dict:
    """The row of a chapter, run in a new folder with the results of long runs, which Colab would fetch."""
    notebook = up_to_figure(nbformat.read(path, as_version=4))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / path.relative_to(colab.ROOT).parent
        place.mkdir(parents=True)
        shutil.copytree(colab.ROOT / "results", folder / "results")
        installed = install(python, folder)
        make_kernel(python, folder)
        shown = execute(notebook, place)
    return row(path.relative_to(colab.ROOT).as_posix(), len(notebook.cells) - 1, installed, shown)


def row(name: str, cell: int, installed: tuple[float, float], shown: tuple[float, float]) -> dict:
    """What is kept of a chapter, from the clock and processor seconds of the installation and of the cells."""
    parts = {
        "install": installed[0],
        "cells": shown[0],
        "seconds": installed[0] + shown[0],
        "processor": installed[1] + shown[1],
    }
    return {"notebook": name, "cell": cell, **{part: round(value, 2) for part, value in parts.items()}}


def about(arguments: argparse.Namespace) -> dict:
    """What the rows were measured on. The Python and packages are those of the kernel."""
    code = f"""if True:
        import json, platform
        from importlib import metadata
        there = {{d.metadata["Name"].lower(): d.version for d in metadata.distributions()}}
        print(json.dumps({{"python": platform.python_version()}} | {{p: there[p] for p in {PACKAGES} if p in there}}))"""
    words = [path.as_posix() for path in arguments.notebooks]
    words += [] if arguments.python == colab.PYTHON else ["--python", arguments.python.as_posix()]
    return {
        "command": " ".join(["python tools/first_figure.py", *words]),
        "commit": colab.run("git", "rev-parse", "--short", "HEAD", cwd=colab.ROOT).strip(),
        "machine": f"{refresh.machine()}, load {os.getloadavg()[0]:.1f}",
        "versions": json.loads(colab.run(arguments.python, "-c", code)),
    }


# --- On the page of benches -------------------------------------------------------------------------------------------

HEAD = """
## Time to the first figure

What a reader of a chapter in Colab waits for: the book's installation by the setup cell, imports, and all cells up to
the first figure, in a fresh kernel on Colab's versions. Seconds on the clock and, beside them, of the processor, to
which other work on the machine does not add; these include the kernel's start. Downloading the book comes on top.
"""


def table(root: Path = colab.ROOT) -> str:
    """The section of book/speed.md, empty as long as nothing has been measured."""
    path = root / "results" / "first_figure.json"
    if not path.exists():
        return ""
    record = json.loads(path.read_text(encoding="utf-8"))
    slow = [one["notebook"] for one in record["rows"] if one["seconds"] > LIMIT]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        HEAD,
        f"Measured by `{record['command']}` at {record['commit']} on {record['machine']}, with {versions}.\n",
    ]
    lines += [f"The aim is at most {LIMIT:.0f} seconds. Over it: {', '.join(slow) or 'none'}.\n"]
    lines += ["| Chapter | Install | Cells | Together | Processor |\n|:--|--:|--:|--:|--:|"]
    for one in record["rows"]:
        numbers = " | ".join(f"{one[part]:.1f}" for part in ("install", "cells", "seconds", "processor"))
        lines.append(f"| {one['notebook'].removeprefix('book/').removesuffix('.ipynb')} | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every chapter")
    parser.add_argument("--python", type=Path, help="of another environment than Colab's versions")
    parser.add_argument("--out", help="the results file; by default that of the page, and none with --python")
    arguments = parser.parse_args()
    if arguments.python is None:
        colab.make_environment()
        arguments.python, arguments.out = colab.PYTHON, arguments.out or OUT
    record, rows = about(arguments), []
    for path in arguments.notebooks or claims.chapters():
        rows.append(measure(path.resolve(), arguments.python.absolute()))
        print(rows[-1], flush=True)
        if arguments.out:
            text = json.dumps({**record, "rows": rows}, indent=1)
            Path(arguments.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
