"""A submission read as data: no part of it is executed or trusted here, and nothing that is wrong with it is an error.

Whatever is odd becomes a note in the report. An answer is a cell whose first line is `# answer: q1` (in text cells
`**answer: q1**`), or, if that line was lost, whose metadata has the id q1.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

LARGEST_NOTEBOOK, LARGEST_CELL = 20_000_000, 200_000
LARGEST_FIGURE, MOST_FIGURES = 400_000, 2
STUB, TEXT_STUB = "# YOUR CODE HERE\nraise NotImplementedError()", "YOUR ANSWER HERE"
LABEL = re.compile(r"\W*(?:(given)\b|(answer|check)\W{0,3}:\W{0,3}(\w+))", re.IGNORECASE)


@dataclass
class Cell:
    """One cell: "code" or text; its part ("given", "answer", "check" or "") and question, if it has them."""

    kind: str
    source: str
    part: str = ""
    question: str = ""
    figures: list[str] = field(default_factory=list)  # PNG, base64


def read_notebook(path: Path) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook file and notes on what was odd; no cells if it is none."""
    notes: list[str] = []
    try:
        raw = path.read_bytes() if path.stat().st_size <= LARGEST_NOTEBOOK else None
    except OSError as error:
        return [], [f"the file cannot be read: {error.strerror}"]
    if raw is None:
        return [], [f"the file is larger than {LARGEST_NOTEBOOK // 1_000_000} MB"]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        notes.append("the file is not UTF-8; it was read as Latin-1")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return [], [*notes, "the file is no notebook: it is not valid JSON"]
    return _cells(content, notes), notes


def _cells(content: object, notes: list[str]) -> list[Cell]:
    found = content.get("cells") if isinstance(content, dict) else None
    if found is None and isinstance(content, dict):  # notebook format 3
        sheets = content.get("worksheets")
        found = (
            [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or []]
            if isinstance(sheets, list)
            else None
        )
    if not isinstance(found, list):
        notes.append("the file is no notebook: it has no list of cells")
        return []
    cells = [_cell(entry, notes) for entry in found]
    return [cell for cell in cells if cell is not None]


def _cell(entry: object, notes: list[str]) -> Cell | None:
    if not isinstance(entry, dict):
        notes.append("a cell that is no cell was left out")
        return None
    source = entry.get("source", entry.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str) or len(source) > LARGEST_CELL:
        notes.append(f"a cell without text or with more than {LARGEST_CELL} characters was left out")
        return None
    source = source.replace("\r\n", "\n").replace("\x00", "").encode("utf-8", "replace").decode()
    cell = Cell("code" if entry.get("cell_type") == "code" else "text", source)
    label_cell(cell, entry.get("metadata"), notes)
    cell.figures = _figures(entry.get("outputs"))
    return cell


def label_cell(cell: Cell, metadata: object, notes: list[str]) -> None:
    """Fill in what the cell is: by its first line, else by its metadata."""
    first = next((line for line in cell.source.split("\n") if line.strip()), "")
    stored = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    stored = stored.get("grade_id") if isinstance(stored, dict) else None
    stored = stored if isinstance(stored, str) else ""
    match = LABEL.match(first) if first.lstrip()[:1] in ("#", "*", "<", "_") else None
    if match:
        cell.part, cell.question = (match[1] or match[2]).lower(), (match[3] or "").lower()
        if cell.part == "answer" and stored and stored != cell.question:
            notes.append(f"a cell says 'answer: {cell.question}' and its metadata {stored[:20]!r}; its line counts")
    elif stored:
        cell.question, _, check = stored.partition("-")
        cell.part = "check" if check else "answer"


def _figures(outputs: object) -> list[str]:
    """The pictures stored with a cell: PNG only, since other kinds can carry programs."""
    found = []
    for output in outputs if isinstance(outputs, list) else []:
        data = output.get("data") if isinstance(output, dict) else None
        picture = data.get("image/png") if isinstance(data, dict) else None
        picture = (
            "".join(picture) if isinstance(picture, list) and all(isinstance(p, str) for p in picture) else picture
        )
        if isinstance(picture, str) and len(picture) <= LARGEST_FIGURE and _is_png(picture):
            found.append("".join(picture.split()))
    return found[:MOST_FIGURES]


def _is_png(text: str) -> bool:
    try:
        return base64.b64decode("".join(text.split()), validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    except (binascii.Error, ValueError):
        return False


def skeleton(master_source: str) -> frozenset[str]:
    """The lines of an answer cell that students are given: those outside the solutions, and the stubs."""
    lines, inside = set(STUB.split("\n") + [TEXT_STUB, ""]), False
    for line in master_source.split("\n"):
        inside |= "BEGIN SOLUTION" in line
        if not inside:
            lines.add(line.strip())
        inside &= "END SOLUTION" not in line
    return frozenset(lines)


def is_empty(source: str, given: frozenset[str]) -> bool:
    """Whether a student added nothing to what was given."""
    return {line.strip() for line in source.split("\n")} <= given


def pick(cells: list[Cell], skeletons: dict[str, frozenset[str]], notes: list[str]) -> dict[str, Cell]:
    """The answer cell of each question that has one: of several the last that is not empty."""
    found = {}
    for name, given in skeletons.items():
        own = [cell for cell in cells if cell.part == "answer" and cell.question == name]
        filled = [cell for cell in own if not is_empty(cell.source, given)]
        if len(own) > 1:
            notes.append(f"{name}: {len(own)} cells; the last one that was filled in counts")
        if own:
            found[name] = (filled or own)[-1]
        else:
            notes.append(f"{name}: no cell with this id")
    unknown = {cell.question for cell in cells if cell.part == "answer"} - set(skeletons)
    notes += [f"a cell for {name[:20]!r}, which is no question of this assignment" for name in sorted(unknown)]
    return found


def without_magics(source: str) -> str:
    """Notebook lines that start with % or ! become comments, if the cell is no Python otherwise."""
    try:
        ast.parse(source)
        return source
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = ["pass  # " + line if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n")]
        return "\n".join(lines)
