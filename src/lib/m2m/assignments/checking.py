"""What must hold for an assignment before it is released: the reference gets all points, the empty notebook none, every
known wrong answer its stated score, and the students' notebook shows nothing that it should not.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from pathlib import Path

from m2m.assignments import answers, building, grading, validation
from m2m.assignments.judge import Assignment, Question
from m2m.assignments.sandbox import Sandbox

SCORE = re.compile(r"^# score: ([\d.]+)$", re.MULTILINE)
SEED, MORE_SEEDS = 20_250, 2  # a stated score must hold for any hidden inputs, so more than one draw is tried
QUICK, QUICK_SEEDS = 30, 4  # seconds allowed to a question of which the reference is tried with more draws still


def reference(assignment: Assignment) -> dict[str, str]:
    """The master's own answers: question -> source."""
    cells, _ = answers.read_notebook(assignment.folder / "master.ipynb")
    return {cell.question: cell.source for cell in cells if cell.part == "answer"}


def notebook(sources: dict[str, str], text: tuple[str, ...] = ()) -> dict:
    """A submission with these answers, as the JSON of a notebook; the questions in `text` are text cells."""
    cells = []
    for name, source in sources.items():
        cell = {
            "cell_type": "markdown" if name in text else "code",
            "id": name,
            "source": source,
            "metadata": {"nbgrader": {"grade_id": name, "solution": True}},
        }
        cells.append(cell | ({} if name in text else {"outputs": [], "execution_count": None}))
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def written_questions(assignment: Assignment) -> tuple[str, ...]:
    """The ids of the questions that a person reads, in order."""
    return tuple(question.id for question in assignment.questions if not isinstance(question, Question))


def only(assignment: Assignment, *names: str) -> Assignment:
    """The same assignment with some of its questions."""
    return dataclasses.replace(
        assignment,
        questions=tuple(assignment.question(name) for name in names),
        skeletons={name: assignment.skeletons[name] for name in names},
    )


def wrong_answers(assignment: Assignment) -> dict[str, tuple[str, float, str]]:
    """Name -> (question, the score it must get, source) of each file in wrong/.

    Raises:
        ValueError: a file does not begin with `# answer: ...` and `# score: ...`.
    """
    found = {}
    for path in sorted((assignment.folder / "wrong").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        label, score = answers.LABEL.match(source), SCORE.search(source)
        if not (label and label[3] and score):
            raise ValueError(f"{path}: got {source[:40]!r}, expected the lines '# answer: q1' and '# score: 0.5' first")
        found[path.stem] = label[3], float(score[1]), source
    return found


def grade_answers(assignment: Assignment, sources: dict[str, str], sandbox: Sandbox, seed: int = SEED) -> dict:
    """The result of a submission with these answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.ipynb"
        path.write_text(json.dumps(notebook(sources, written_questions(assignment))), encoding="utf-8")
        return grading.grade(path, assignment, seed, sandbox, "check")


def complaints(assignment: Assignment, sandbox: Sandbox, names: tuple[str, ...] = (), seed: int = SEED) -> list[str]:
    """All that is wrong with an assignment, or with some of its questions; an empty list if nothing is."""
    part = only(assignment, *(names or [question.id for question in assignment.questions]))
    own, found = reference(assignment), losses(part, sandbox, seed)
    quick = [question.id for question in part.questions if isinstance(question, Question) and question.seconds <= QUICK]
    for draw in range(seed + 1, seed + 1 + QUICK_SEEDS) if quick and not found else ():
        found += losses(only(part, *quick), sandbox, draw)
    found += not_passing(part, sandbox)
    released = building.student(assignment)
    empty = {
        cell.metadata["nbgrader"]["grade_id"]: cell.source
        for cell in released.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    if score := grade_answers(part, empty, sandbox, seed)["score"]:
        found.append(f"the empty notebook gets {score} points")
    for name, (question, score, source) in wrong_answers(assignment).items():
        for draw in range(seed, seed + 1 + MORE_SEEDS) if question in part.skeletons else ():
            row = grade_answers(only(part, question), own | {question: source}, sandbox, draw)["questions"][question]
            if abs(row["points"] - score) > 0.005:
                why = row["message"] or row["parts"]
                found.append(f"wrong/{name}.py gets {row['points']} with seed {draw}, stated {score}: {why}")
    found += few_wrong_answers(part)
    found += [f"the students' notebook shows {line!r}" for line in building.leaks(assignment, json.dumps(released))]
    return found


def losses(assignment: Assignment, sandbox: Sandbox, seed: int) -> list[str]:
    """The questions of which the reference does not get all points with the hidden inputs of this seed."""
    found = []
    for name, row in grade_answers(assignment, reference(assignment), sandbox, seed)["questions"].items():
        if row["status"] != "by hand" and row["points"] != row["max"]:
            missed = "; ".join(one["what"] for one in row["parts"] if one["points"] < one["max"])
            found.append(f"{name}: the reference gets {row['points']} of {row['max']} with seed {seed}: {row['message'] or missed}")
    return found


def not_passing(assignment: Assignment, sandbox: Sandbox) -> list[str]:
    """Visible checks and hidden tests of the master that its own answers do not pass."""
    cells, _ = answers.read_notebook(assignment.folder / "master.ipynb")
    found = answers.pick(cells, assignment.skeletons, [])
    said = validation.visible_checks(cells, found, sandbox)
    return [
        f"{name}: the reference and its visible check: {text}"
        for name, text in said.items()
        if text != validation.PASSES
    ]


def few_wrong_answers(assignment: Assignment, least: int = 2) -> list[str]:
    """Questions with fewer known wrong answers than that: nothing shows that their checks can fail."""
    per_question = [question for question, _, _ in wrong_answers(assignment).values()]
    return [
        f"{question.id}: {per_question.count(question.id)} wrong answers, expected at least {least}"
        for question in assignment.questions
        if isinstance(question, Question) and per_question.count(question.id) < least
    ]


def sections(assignment: Assignment, book: Path) -> list[str]:
    """Sections that questions send students to and that the book does not have."""
    missing = []
    for question in assignment.questions:
        page, _, section = question.read.partition("#")
        texts = [path.read_text(encoding="utf-8") for path in book.glob(f"*/{page}.ipynb")]
        headings = [json.loads(f'"{line}"') for text in texts for line in re.findall(r'"#{2,3} (.+?)(?:\\n)?"', text)]
        if section not in headings:
            missing.append(f"{question.id}: no section {section!r} in {page!r}")
    return missing
