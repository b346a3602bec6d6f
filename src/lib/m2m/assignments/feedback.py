"""A page for each student: points, what was looked at, hints, what to read, their own answers and pictures.

The page is one file without scripts and without links to other machines. It has nothing that the student's program
printed, and everything on it that came from the student is escaped.
"""

from __future__ import annotations

import html
from pathlib import Path

from m2m.assignments import building, classes, expect
from m2m.assignments.judge import Assignment

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #8885 }
pre { overflow-x: auto; padding: .6rem; background: #8881; font-size: .85rem } img { max-width: 100% }
h2 { margin-top: 2.2rem; font-size: 1.15rem } .points { float: right; font-weight: normal }
section { border-left: .3rem solid #c2571a; padding-left: .7rem } section.full { border-color: #2a7f4f }
"""


def page(result: dict, assignment: Assignment, with_answers: bool = True) -> str:
    """The HTML of one student's page."""
    rows = [(question, result["questions"][question.id]) for question in assignment.questions]
    lines = "".join(
        f"<tr><td>{question.id}</td><td>{_text(question.title)}</td><td>{_points(row)}</td></tr>"
        for question, row in rows
    )
    still_open = f"<p>{result['open']} marks for written answers are still to come.</p>" if result.get("open") else ""
    notes = "".join(f"<li>{_text(note)}</li>" for note in result["notes"])
    title = f"{assignment.title}: {result['student']}"
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_text(title)}</title><style>{STYLE}</style>\n<h1>{_text(title)}</h1>\n"
        f"<p><strong>{result['score']:g} of {result['max']:g} points.</strong></p>{still_open}\n"
        f"<table><tr><th>Question<th><th>Points</tr>{lines}</table>\n"
        + (f"<h2>Notes</h2><ul>{notes}</ul>\n" if notes else "")
        + "\n".join(_question(question, row, with_answers) for question, row in rows)
        + "\n</html>\n"
    )


def _question(question: object, row: dict, with_answers: bool) -> str:
    full = row["points"] == row["max"]
    parts = "".join(
        f"<li>{part['points']:g} of {part['max']:g}: {_text(part['what'])}."
        + (f" <em>{_text(part['hint'])}</em>" if part["hint"] else "")
        + "</li>"
        for part in row["parts"]
    )
    message = f"<pre>{_text(row['message'])}</pre>" if row["message"] and not full else ""
    read = f"<p>Read: {_text(expect.where(question.read))}.</p>" if question.read and not full else ""
    answer = (
        f"<details><summary>Your answer</summary><pre>{_text(row['answer'])}</pre></details>"
        if with_answers and row["answer"]
        else ""
    )
    pictures = "".join(
        f'<p><img alt="a picture from your notebook" src="data:image/png;base64,{_text(picture)}"></p>'
        for picture in row["figures"]
    )
    return (
        f"<section class={'full' if full else 'part'}><h2>{question.id}. {_text(question.title)}"
        f"<span class=points>{_points(row)}</span></h2>\n"
        f"<ul>{parts}</ul>{message}{read}{answer}{pictures}</section>"
    )


def _points(row: dict) -> str:
    """A written answer that nobody has marked has no points yet, not 0."""
    waits = row["status"] == "by hand" and not row["parts"]
    return f"{'-' if waits else format(row['points'], 'g')} of {row['max']:g}"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def shows(result: dict, assignment: Assignment) -> list[str]:
    """Secrets on the page that the student did not write."""
    own = " ".join(" ".join(row["answer"].split()) for row in result["questions"].values())
    return [
        line for line in building.leaks(assignment, page(result, assignment, with_answers=False)) if line not in own
    ]


def write_pages(results: list[dict], assignment: Assignment, out: Path) -> list[Path]:
    """A page per student in `out/feedback`.

    Raises:
        ValueError: a page would show a line of a solution or of a hidden test.
    """
    folder = Path(out) / "feedback"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for result in results:
        if found := shows(result, assignment):
            raise ValueError(f"feedback for {result['student']!r} would show {found[0]!r}")
        path = folder / f"{classes.result_path(out, result['student']).stem}.html"
        path.write_text(page(result, assignment), encoding="utf-8")
        paths.append(path)
    return paths
