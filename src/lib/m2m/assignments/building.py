"""From a master notebook to what students and instructors get, by nbgrader's preprocessors.

The master's visible lines (`# given`, `# answer: q1`, `# check: q1`) say what a cell is; nbgrader's metadata is written
from them. The student's notebook has neither solutions nor hidden tests nor outputs; the instructor's has all of it.

nbgrader (https://nbgrader.readthedocs.io) is needed here only; grading does without it.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat

from m2m.assignments import answers, judge
from m2m.assignments.judge import Assignment, Question

SOLUTION = re.compile(r"^[^\n]*BEGIN SOLUTION[^\n]*\n(.*?)^[^\n]*END SOLUTION", re.DOTALL | re.MULTILINE)
HIDDEN = re.compile(r"^[^\n]*BEGIN HIDDEN TESTS[^\n]*\n(.*?)^[^\n]*END HIDDEN TESTS", re.DOTALL | re.MULTILINE)
TAG = re.compile(r"<[^<>]*>")
SHORTEST_SECRET = 16
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def build(assignment: Assignment, out: Path, with_solutions: bool = True) -> dict[str, Path]:
    """Write `<name>.ipynb` for students and, if wanted, `instructor/<name>.ipynb`; returns the paths.

    Raises:
        ValueError: something of a solution or a hidden test would reach the students.
    """
    versions = {"student": student(assignment)} | ({"instructor": labelled(assignment)} if with_solutions else {})
    if found := leaks(assignment, nbformat.writes(versions["student"])):
        raise ValueError(f"{assignment.name}: the student's notebook would show {found[0]!r}")
    paths = {
        "student": Path(out) / f"{assignment.name}.ipynb",
        "instructor": Path(out) / "instructor" / f"{assignment.name}.ipynb",
    }
    for kind, notebook in versions.items():
        paths[kind].parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, paths[kind])
    return {kind: paths[kind] for kind in versions}


def labelled(assignment: Assignment) -> nbformat.NotebookNode:
    """The master with nbgrader's metadata, written from the visible lines, and without outputs."""
    notebook = nbformat.read(assignment.folder / "master.ipynb", as_version=4)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        own = answers.Cell("code" if cell.cell_type == "code" else "text", cell.source)
        answers.label_cell(own, None, [])
        cell.id = f"{own.part or cell.cell_type}-{own.question or number}"
        cell.metadata = nbformat.from_dict(metadata(own, assignment))
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def metadata(cell: answers.Cell, assignment: Assignment) -> dict:
    """nbgrader's metadata of a cell (schema 3); cells that are not for the student to change are locked."""
    if cell.part == "answer":
        question = assignment.question(cell.question)
        mine = {"grade_id": cell.question, "solution": True, "locked": False, "task": False, "schema_version": 3}
        by_hand = not isinstance(question, Question)
        return {"nbgrader": mine | {"grade": by_hand} | ({"points": question.points} if by_hand else {})}
    if cell.part == "check":
        question = assignment.question(cell.question)
        mine = {
            "grade_id": f"{cell.question}-check",
            "grade": True,
            "points": question.points,
            "solution": False,
            "locked": True,
            "task": False,
            "schema_version": 3,
        }
        return {"deletable": False, "editable": False, "nbgrader": mine}
    return {"deletable": False, "editable": False} if cell.part == "given" else {}


def student(assignment: Assignment) -> nbformat.NotebookNode:
    """What a student gets: the answers' places are stubs."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    notebook, resources = labelled(assignment), {}
    for step in (ClearSolutions(), ClearHiddenTests()):
        notebook, resources = step.preprocess(notebook, resources)
    return notebook


def secrets(assignment: Assignment) -> list[str]:
    """The lines that nobody but the instructor may see: of solutions, hidden tests and the judge's calculations.

    Short lines (`return x`), decorators and lines that the open part of the master or the probes contain are no secrets.
    """
    notebook = nbformat.read(assignment.folder / "master.ipynb", as_version=4)
    closed, opened = [], []
    for cell in notebook.cells:
        closed += [text for pattern in (SOLUTION, HIDDEN) for text in pattern.findall(cell.source)]
        opened.append(HIDDEN.sub("", SOLUTION.sub("", cell.source)))
    code = (assignment.folder / "judge.py").read_text(encoding="utf-8")
    functions = [
        part
        for part in re.split(r"^(?=def |class |QUESTIONS)", code, flags=re.MULTILINE)
        if re.match(r"def \w+_(?:check|inputs)\b|def _", part)
    ]
    public = " ".join("\n".join(opened).split())
    lines = {" ".join(line.split()) for text in [*closed, *functions] for line in text.split("\n")}
    return sorted(line for line in lines if len(line) >= SHORTEST_SECRET and line[0] != "@" and line not in public)


def leaks(assignment: Assignment, text: str) -> list[str]:
    """The secrets that occur in a text: a notebook file, a page with or without its tags, a feedback."""
    text = text.replace("\\n", "\n").replace('\\"', '"')
    plain = html.unescape(TAG.sub("", text))
    words = " ".join(f"{text} {html.unescape(text)} {plain}".split())
    return [line for line in secrets(assignment) if line in words]


def find(root: Path) -> list[Assignment]:
    """All assignments in a folder of assignments."""
    return [judge.load(path.parent) for path in sorted(Path(root).glob("*/judge.py"))]
