"""Write the page book/claims.md: the claims that the chapters' cells printed, and the long runs behind some of them.

    python tools/claims.py
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
LINE = re.compile(
    r"^claim (?P<name>\S+) (?P<verdict>\S+) \| (?P<statement>.*) \| value (?P<value>.*?)"
    r" \| (?P<run>live|long run)(?: \| literature: (?P<literature>.*))?$"
)
HEAD = """\
# Claims

A chapter that says "better", "equal" or "never" settles it in a cell. The cell prints one line, and stops the notebook
if the claim does not hold. This page collects those lines from the notebooks' stored outputs; it is written by
`make refresh`, and a test compares the two. *Live* values are computed in the chapter itself, on a CPU, each time it is
executed. *Long run* values come from a file in `results/`, which names the command that makes it.
"""

LONG_RUNS = """
## Long runs

Each file of `results/` names the command that wrote it, the commit, the machine and the time of each row; the same command,
started again, computes what is missing. From each file a row has been drawn at random and run again, by `tools/rerun.py`. *The same*
means that no number differs by more than a thousandth. Training amplifies the last digit, in which machines differ; *within the
spread* means that the largest difference is one that other seeds make too.

| File | Command | Rows | Time | Machine | A row again |
|:--|:--|--:|--:|:--|:--|
"""


@dataclass(frozen=True)
class Claim:
    name: str
    verdict: str
    statement: str
    value: str
    run: str
    literature: str | None


def chapters(root: Path = ROOT) -> list[Path]:
    """The notebooks of the book, in the order of the table of contents."""
    toc = (root / "_toc.yml").read_text(encoding="utf-8")
    names = re.findall(r"(?:root|file): (\S+)", toc)
    return [root / f"{name}.ipynb" for name in names if (root / f"{name}.ipynb").exists()]


def title(notebook: nbformat.NotebookNode) -> str:
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ")


def claims(notebook: nbformat.NotebookNode) -> list[Claim]:
    """The claims in the notebook's stored outputs.

    Raises:
        ValueError: a line starts like a claim, but is none.
    """
    printed = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stdout":
                printed += [line for line in output.text.splitlines() if line.startswith("claim ")]
    return [_parsed(line) for line in printed]


def _parsed(line: str) -> Claim:
    match = LINE.match(line)
    if match is None:
        raise ValueError(f"not the line of a claim: {line!r}")
    return Claim(**match.groupdict())


def page(root: Path = ROOT) -> str:
    """The Markdown of book/claims.md."""
    parts = [HEAD]
    for path in chapters(root):
        notebook = nbformat.read(path, as_version=4)
        if rows := claims(notebook):
            parts.append(_section(title(notebook), path.relative_to(root / "book").as_posix(), rows))
    if len(parts) == 1:
        parts.append("\nNo chapter has stated one yet.\n")
    return "".join(parts) + long_runs(root)


def long_runs(root: Path = ROOT) -> str:
    """The section on results files, with what came out when a row of each was run again."""
    again = json.loads((root / "results" / "rerun.json").read_text(encoding="utf-8"))
    lines = []
    for path in sorted((root / "results").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "experiment" in record:
            lines.append(_long_run(path, record, again.get(path.stem)))
    return LONG_RUNS + "".join(lines)


def _long_run(path: Path, record: dict, again: dict | None) -> str:
    machine = record["machine"]
    where = machine["gpu"] or f"{machine['cpu']}, {_counted(machine['threads'], 'thread')}"
    seconds = sum(row["seconds"] for row in record["rows"])
    time = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
    verdict = "not yet"
    if again:
        verdict = again["verdict"] + (f": {_plain(again['differs most'])} by {100 * again['by']:.3g} %" if again["by"] else "")
    return f"| `{path.name}` | `{record['command']}` | {len(record['rows'])} | {time} | {where} | {verdict} |\n"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _section(heading: str, link: str, rows: list[Claim]) -> str:
    lines = [f"\n## {heading}\n", f"Settled in [{heading}]({link}).\n"]
    lines += ["| Claim | Holds | Value | Run | What the literature says |", "|:--|:--|:--|:--|:--|"]
    for row in rows:
        statement = f"{_plain(row.statement)} (`{row.name}`)"
        verdict = "yes" if row.verdict == "holds" else "**no**"
        lines.append(f"| {statement} | {verdict} | {_plain(row.value)} | {row.run} | {_plain(row.literature or '')} |")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\|$*<`\[])", r"\\\1", text)


def main() -> None:
    (ROOT / "book" / "claims.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
