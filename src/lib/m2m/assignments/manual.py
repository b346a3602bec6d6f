"""Written answers: out to a table with the rubric, marked by a person in any spreadsheet, and back in."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from m2m.assignments import classes
from m2m.assignments.judge import Assignment, Written

COLUMNS = ("student", "question", "criterion", "max", "points", "comment", "answer")


def harmless(text: str) -> str:
    """Text that a spreadsheet shows instead of calculating it: a formula gets an apostrophe in front."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_rows(path: Path, rows: list) -> Path:
    """Write a table as CSV, and its folder if there is none; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_table(out: Path, assignment: Assignment, path: Path) -> int:
    """Write a row per criterion of each written answer, with the marks given so far; returns the number of rows."""
    known, rows = stored(out), []
    for result in classes.results(out):
        for question in assignment.questions:
            row = result["questions"].get(question.id, {})
            if not isinstance(question, Written) or row.get("status") != "by hand":
                continue
            marks = known.get(result["student"], {}).get(question.id, {})
            for criterion, most in question.rubric.items():
                mark = marks.get(criterion, {})
                rows.append(
                    (
                        harmless(result["student"]),
                        question.id,
                        criterion,
                        most,
                        mark.get("points", ""),
                        mark.get("comment", ""),
                        harmless(row["answer"]),
                    )
                )
    write_rows(Path(path), [COLUMNS, *rows])
    return len(rows)


def read_table(out: Path, assignment: Assignment, path: Path) -> int:
    """Take over the marks of a table; returns how many. Rows without points stay open.

    Raises:
        ValueError: a column is missing, a row names nothing that is known, or points are outside 0 .. max.
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := set(COLUMNS[:6]) - set(reader.fieldnames or ()):
            raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; expected {', '.join(COLUMNS)}")
        rows = list(reader)
    students = {harmless(result["student"]): result["student"] for result in classes.results(out)}
    rubric = {question.id: question.rubric for question in assignment.questions if isinstance(question, Written)}
    known, count = stored(out), 0
    for number, row in enumerate(rows, start=2):
        if not (row["points"] or "").strip():
            continue
        where, student = f"{path}, line {number}", students.get(row["student"])
        most = rubric.get(row["question"], {}).get(row["criterion"])
        if student is None or most is None:
            raise ValueError(f"{where}: {row['student']!r}, {row['question']!r}, {row['criterion']!r} is not known")
        mark = {"points": points_of(row["points"], most, where), "max": most, "comment": row["comment"] or ""}
        known.setdefault(student, {}).setdefault(row["question"], {})[row["criterion"]] = mark
        count += 1
    classes.write_json(Path(out) / "manual.json", known)
    return count


def points_of(text: str, most: float, where: str) -> float:
    """A number of points as people write it, with a point or a comma."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise ValueError(f"{where}: got {text!r} points, expected a number from 0 to {most:g}")
    return value


def stored(out: Path) -> dict:
    """student -> question -> criterion -> {points, max, comment}."""
    path = Path(out) / "manual.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def complete_results(out: Path, assignment: Assignment) -> list[dict]:
    """The results with the marks for written answers in them; `open` counts the criteria that nobody has marked yet."""
    known, results = stored(out), classes.results(out)
    for result in results:
        result["open"] = 0
        for question in assignment.questions:
            row = result["questions"].get(question.id)
            if row is None or not isinstance(question, Written) or row["status"] != "by hand":
                continue
            marks = known.get(result["student"], {}).get(question.id, {})
            row["parts"] = [
                {
                    "what": criterion,
                    "max": most,
                    "points": marks[criterion]["points"],
                    "hint": marks[criterion]["comment"],
                }
                for criterion, most in question.rubric.items()
                if criterion in marks
            ]
            row["points"] = round(sum((part["points"] for part in row["parts"]), 0.0), 2)
            result["open"] += len(question.rubric) - len(row["parts"])
        result["score"] = round(sum(row["points"] for row in result["questions"].values()), 2)
    return results
