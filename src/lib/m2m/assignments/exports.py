"""Scores in the forms that learning platforms read: a plain table, Canvas, Moodle, Gradescope."""

from __future__ import annotations

import csv
from pathlib import Path

from m2m.assignments import classes, expect
from m2m.assignments.judge import Assignment, Question, Written
from m2m.assignments.manual import harmless, write_rows

CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def table(results: list[dict], assignment: Assignment, path: Path) -> Path:
    """One line per student: points per question, total, criteria still to be marked, notes."""
    names = [question.id for question in assignment.questions]
    rows = [["student", *names, "total", "max", "open", "sandbox", "notes"]]
    for result in results:
        points = [result["questions"][name]["points"] for name in names]
        rows.append(
            [
                harmless(result["student"]),
                *points,
                result["score"],
                result["max"],
                result["open"],
                result["sandbox"],
                harmless("; ".join(result["notes"])),
            ]
        )
    return write_rows(path, rows)


def canvas(results: list[dict], assignment: Assignment, path: Path, gradebook: Path | None = None) -> Path:
    """A file for Canvas's gradebook import.

    Its columns are Student, ID, SIS User ID, SIS Login ID, Section and one per assignment; the second line gives the
    points possible; a student is found by ID, SIS user ID or login
    https://teaching.resources.osu.edu/toolsets/carmencanvas/guides/calculating-final-grades/import-csv-file-carmen-grades

    Args:
        gradebook: a file exported from the same course, whose lines and whose name for the assignment's column are
            kept. Without it the names of the submissions are taken for logins.
    """
    scores = {result["student"].lower(): result["score"] for result in results}
    if gradebook is None:
        lines = [[harmless(result["student"]), "", "", harmless(result["student"]), ""] for result in results]
        return write_rows(
            path,
            [
                [*CANVAS, assignment.title],
                ["    Points Possible", "", "", "", "", assignment.points],
                *[[*line, result["score"]] for line, result in zip(lines, results, strict=True)],
            ],
        )
    with Path(gradebook).open(newline="", encoding="utf-8-sig") as file:
        exported = list(csv.reader(file))
    columns = [exported[0].index(name) for name in CANVAS if name in exported[0]]
    own = next((name for name in exported[0] if name.startswith(assignment.title)), assignment.title)
    rows = [
        [exported[0][k] for k in columns] + [own],
        [*["    Points Possible", *[""] * (len(columns) - 1)], assignment.points],
    ]
    for line in exported[1:]:
        keys = [line[k].strip().lower() for k in columns if k < len(line)]
        if score := [scores[key] for key in keys if key in scores]:
            rows.append([*[line[k] for k in columns], score[0]])
    return write_rows(path, rows)


def moodle(results: list[dict], assignment: Assignment, path: Path) -> Path:
    """A file for Moodle's *Grades, Import, CSV*.

    On import, ID number or Email address is mapped to the user, the score's column to the grade item, the last column
    to its feedback; Moodle wants grade and feedback together (https://docs.moodle.org/en/Grade_import).
    """
    rows = [["ID number", "Email address", assignment.title, f"Feedback: {assignment.title}"]]
    for result in results:
        email = "@" in result["student"]
        lost = [name for name, row in result["questions"].items() if row["points"] < row["max"]]
        said = f"{result['score']:g} of {result['max']:g} points." + (
            f" Look again at {', '.join(lost)}." if lost else ""
        )
        rows.append(
            [
                "" if email else harmless(result["student"]),
                harmless(result["student"]) if email else "",
                result["score"],
                said,
            ]
        )
    return write_rows(path, rows)


def gradescope(result: dict, assignment: Assignment) -> dict:
    """The content of Gradescope's results.json (https://gradescope-autograders.readthedocs.io/en/latest/specs/).

    One test per question; what the student's code printed is not shown.
    """
    return {
        "score": result["score"],
        "execution_time": round(result["seconds"]),
        "output": "\n".join(result["notes"]),
        "output_format": "text",
        "visibility": "after_due_date",
        "stdout_visibility": "hidden",
        "tests": [_gradescope_test(question, result["questions"][question.id]) for question in assignment.questions],
        "extra_data": {"seed": result["seed"], "sandbox": result["sandbox"], "versions": result["versions"]},
    }


def _gradescope_test(question: Question | Written, row: dict) -> dict:
    lines = [row["message"]] if row["message"] else []
    lines += [f"{part['points']:g} of {part['max']:g}: {part['what']}. {part['hint']}".strip() for part in row["parts"]]
    if row["points"] < row["max"] and question.read:
        lines.append(f"Read: {expect.where(question.read)}")
    return {
        "name": f"{question.id}. {question.title}",
        "number": question.id,
        "score": row["points"],
        "max_score": row["max"],
        "status": "passed" if row["points"] == row["max"] else "failed",
        "output": "\n".join(lines),
        "output_format": "text",
        "visibility": "visible",
    }


def everything(results: list[dict], assignment: Assignment, out: Path, gradebook: Path | None = None) -> list[Path]:
    """All of them, in `out/export`; returns the paths."""
    folder = Path(out) / "export"
    made = [
        table(results, assignment, folder / "scores.csv"),
        canvas(results, assignment, folder / "canvas.csv", gradebook),
        moodle(results, assignment, folder / "moodle.csv"),
    ]
    for result in results:
        name = classes.result_path(out, result["student"]).stem
        path = folder / "gradescope" / name / "results.json"
        classes.write_json(path, gradescope(result, assignment))
        made.append(path)
    return made
