"""Execute notebooks and store their outputs in a form that does not change when nothing changed.

    python tools/refresh.py [NOTEBOOK ...]      without names: every chapter of the book

Afterwards the time in each chapter's head, results/notebook_times.json and book/claims.md are what was measured.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import claims

ROOT = Path(__file__).resolve().parent.parent
TIMES = ROOT / "results" / "notebook_times.json"
CELL_TIMEOUT = 600
IDENTIFIER = re.compile(r"(?:code|text)-[0-9a-f]{8}")
TIME_LINE = re.compile(r"^\*Time: .*\*$", re.MULTILINE)
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(notebook: nbformat.NotebookNode, folder: Path) -> float:
    """Run every cell in place; returns the processor seconds of its kernel, which other work on the machine hardly changes."""
    os.environ.update(M2M_SCALE="cpu", M2M_THREADS="1")
    os.environ.pop("MPLBACKEND", None)  # the kernel's own backend draws into the notebook
    start = ended_processes()
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    return ended_processes() - start


def ended_processes() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Remove, in place, what differs between two runs or two machines without being a result."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken: set[str] = set()
    for cell in notebook.cells:
        cell.source = cell.source.rstrip()
        cell.id = identifier(cell, taken)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = normalised_outputs(cell.outputs)
            describe_image(cell)


def describe_image(cell: nbformat.NotebookNode) -> None:
    """Hand the alternative text of a picture, which `plotting.show` stores beside it, to the page."""
    cell.metadata.pop("mystnb", None)
    texts = [output.metadata.get("image/png", {}).get("alt") for output in cell.outputs if "image/png" in output.get("data", {})]
    if any(texts):
        cell.metadata["mystnb"] = {"image": {"alt": " ".join(filter(None, texts))}}


def identifier(cell: nbformat.NotebookNode, taken: set[str]) -> str:
    """An id of this form is kept; another (Jupyter draws random ones) is replaced by a hash of the cell's text."""
    kind = "code" if cell.cell_type == "code" else "text"
    name, text = cell.get("id", ""), cell.source
    while not IDENTIFIER.fullmatch(name) or name in taken:
        name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        text += " "  # a second cell with the same text gets another id
    taken.add(name)
    return name


def normalised_outputs(outputs: list) -> list:
    """The outputs without warnings and progress bars, neighbouring prints merged, machine paths replaced."""
    kept: list = []
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET in output.get("data", {}):
            continue
        if "execution_count" in output:
            output.execution_count = None
        if output.output_type == "stream":
            output.text = without_paths(without_overwritten(output.text))
            if kept and kept[-1].get("name") == output.name:
                kept[-1].text += output.text
                continue
        elif "text/plain" in output.get("data", {}):
            output.data["text/plain"] = without_paths(output.data["text/plain"])
        kept.append(output)
    return kept


def without_overwritten(text: str) -> str:
    """What a terminal would show: of a line rewritten by carriage returns, the last version."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def without_paths(text: str) -> str:
    for path, name in ((ROOT, "."), (Path(tempfile.gettempdir()), "<temporary>"), (Path.home(), "~")):
        text = text.replace(f"{path}/", f"{name}/")
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook as Jupyter does, but the data of a figure on one line: figures take half the space."""
    notebook, figures = copy.deepcopy(notebook), {}
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if PLOTLY in output.get("data", {}):
            place = f"figure {len(figures)} of {path.stem}"
            figures[json.dumps(place)] = json.dumps(output.data[PLOTLY], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
            output.data[PLOTLY] = place
    text = nbformat.writes(notebook)
    for place, figure in figures.items():
        text = text.replace(place, figure, 1)
    path.write_text(text + "\n", encoding="utf-8")


def duration(seconds: float) -> str:
    """The time in words that a second run would say again: rounded up to 10 seconds, above a minute to half minutes."""
    if seconds <= 50:
        return f"{max(10, -(-int(seconds) // 10) * 10)} seconds"
    halves = max(2, round(seconds / 30))
    minutes = f"{halves / 2:g}"
    return f"{minutes} minute{'' if minutes == '1' else 's'}"


def write_time(notebook: nbformat.NotebookNode, name: str, seconds: float) -> None:
    """Put the measured time into the chapter's head and into results/notebook_times.json."""
    head = notebook.cells[0]
    head.source = TIME_LINE.sub(f"*Time: about {duration(seconds)} on one CPU core.*", head.source)
    times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    times[name] = {"seconds": round(seconds, 1), "machine": machine(), "versions": versions()}
    TIMES.parent.mkdir(exist_ok=True)
    TIMES.write_text(json.dumps(times, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return f"{model[1] if model else platform.processor() or platform.machine()}, one thread of {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    packages = ("torch", "numpy", "tensorflow", "tensorflow-probability")
    return {"python": platform.python_version()} | {package: metadata.version(package) for package in packages}


def refresh(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    seconds = execute(notebook, path.parent)
    normalise(notebook)
    write_time(notebook, path.relative_to(ROOT).as_posix(), seconds)
    write(notebook, path)
    print(f"{path.relative_to(ROOT)}: {seconds:.0f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every chapter")
    paths = [path.resolve() for path in parser.parse_args().notebooks] or claims.chapters()
    for path in paths:
        if not path.is_file():
            sys.exit(f"no such notebook: {path}")
    for path in paths:
        refresh(path)
    claims.main()


if __name__ == "__main__":
    main()
