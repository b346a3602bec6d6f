"""For students: is everything in the file that I am about to hand in, and do its visible checks pass from a fresh
start?

    python -m m2m.assignments validate flows.ipynb

Each answer is run as the grader will run it, in a fresh program, on the student's own machine.
"""

from __future__ import annotations

from pathlib import Path

from m2m.assignments import answers, grading, programs, sandbox
from m2m.assignments.answers import Cell

SECONDS = 120.0
PASSES = "passes its visible check"


def validate(path: Path) -> list[tuple[str, str]]:
    """(question, what there is to say) for each answer in the file; the question "" for the file itself.

    Raises:
        ValueError: there is no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"notebook: got {path}, expected a file")
    cells, notes = answers.read_notebook(Path(path))
    names = list(dict.fromkeys(cell.question for cell in cells if cell.part == "answer"))
    empty = answers.skeleton("")
    found = answers.pick(cells, dict.fromkeys(names, empty), notes)
    said = [("", note) for note in notes]
    if not names:
        return [*said, ("", "no answer cells: is this the assignment's notebook?")]
    checked = _on_this_machine(cells, found)
    for name in names:
        cell = found[name]
        if answers.STUB.split("\n")[1] in cell.source or answers.TEXT_STUB in cell.source:
            said.append((name, "not answered, or not all of it"))
        elif cell.kind == "text":
            said.append((name, f"{len(cell.source.split())} words"))
        else:
            said.append((name, checked.get(name, "answered; it has no visible check")))
    return said


def _on_this_machine(cells: list[Cell], found: dict[str, Cell]) -> dict[str, str]:
    """The verdicts of the visible checks, none where processes cannot be forked (Windows)."""
    try:
        with sandbox.Sandbox("process", programs.imports_of(_given(cells))) as box:
            return visible_checks(cells, found, box)
    except (sandbox.SandboxError, OSError, AttributeError):
        return {}


def _given(cells: list[Cell]) -> list[str]:
    return [cell.source for cell in cells if cell.part == "given" and cell.kind == "code"]


def visible_checks(cells: list[Cell], found: dict[str, Cell], box: sandbox.Sandbox) -> dict[str, str]:
    """What the visible check of each answer says when both run in a fresh program; PASSES if it does."""
    given = _given(cells)
    chosen = {id(cell) for cell in found.values()}
    others = [cell for cell in cells if id(cell) in chosen or (cell.kind == "code" and not cell.part)]
    requests = []
    for check in cells:
        if check.part == "check" and check.question in found:
            program = programs.assembled(found[check.question], others, given)
            requests.append(
                {
                    "id": check.question,
                    "program": [*program, ["check", check.source]],
                    "probe": "",
                    "inputs": None,
                    "seconds": SECONDS,
                }
            )
    return {name: _verdict(record) for name, record in box.run(requests).items()}


def _verdict(record: dict) -> str:
    if record["status"] != "answered":
        return f"ended without an answer ({record['status']})"
    return grading.value_of(record["answer"])[1] or PASSES
