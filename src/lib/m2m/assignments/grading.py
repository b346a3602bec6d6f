"""Grade one submission: read it, run each answer in the sandbox, compare values, say what counted and why."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from importlib import metadata
from pathlib import Path

from m2m.assignments import answers, judge, programs
from m2m.assignments.answers import Cell
from m2m.assignments.judge import Assignment, Question, Written
from m2m.assignments.sandbox import Sandbox, SandboxError

PACKAGES = ("torch", "numpy", "moons-to-molecules")


def grade(path: Path | None, assignment: Assignment, seed: int, sandbox: Sandbox, student: str = "") -> dict:
    """The result of one submission as plain data; whatever is in the file, there is one.

    Args:
        path: the notebook, None if nothing was handed in.
        seed: of the hidden inputs.
    """
    start = time.monotonic()
    cells, notes = answers.read_notebook(path) if path else ([], ["nothing was handed in"])
    found = answers.pick(cells, assignment.skeletons, notes) if cells else {}
    filled = {name for name, cell in found.items() if not answers.is_empty(cell.source, assignment.skeletons[name])}
    inputs = {q.id: judge.draw(q, seed) for q in assignment.questions if isinstance(q, Question)}
    requests = [request(q, found[q.id], cells, found, assignment, inputs[q.id])
                for q in assignment.questions if q.id in filled and q.id in inputs]  # fmt: skip
    records, failed = answered(sandbox, requests)
    notes += [f"could not be graded: {failed}"] if failed else []
    questions = {}
    for q in assignment.questions:
        cell = found.get(q.id) if q.id in filled else None
        by_hand = isinstance(q, Written)
        questions[q.id] = written(q, cell) if by_hand else marked(q, cell, records.get(q.id), inputs[q.id])
    return {"student": student, "file": path.name if path else "", "sha256": fingerprint(path)} | {
        "assignment": assignment.name, "digest": assignment.digest, "seed": seed, "sandbox": sandbox.kind, "failed": failed,
        "score": round(sum(one["points"] for one in questions.values()), 2),
        "max": assignment.points, "questions": questions, "notes": notes,
        "versions": versions(), "seconds": round(time.monotonic() - start, 2),
    }  # fmt: skip


def answered(sandbox: Sandbox, requests: list[dict]) -> tuple[dict[str, dict], str]:
    """The sandbox's records by question, and why there are none if it did not work."""
    try:
        return sandbox.run(requests), ""
    except SandboxError as error:
        return {}, str(error)


def request(
    question: Question, cell: Cell, cells: list[Cell], found: dict, assignment: Assignment, inputs: object
) -> dict:
    """What the sandbox needs to know of one question: program, probe, inputs, time. Nothing of the check."""
    chosen = {id(one) for one in found.values()}
    candidates = [one for one in cells if id(one) in chosen or (one.kind == "code" and one.part == "") or one is cell]
    return {
        "id": question.id,
        "program": programs.assembled(cell, candidates, assignment.given),
        "probe": judge.probe_source(question),
        "inputs": inputs,
        "seconds": question.seconds,
    }


def marked(question: Question, cell: Cell | None, record: dict | None, inputs: object) -> dict:
    """The row of a question that the grader marks."""
    row = {
        "points": 0.0,
        "max": question.points,
        "parts": [],
        "message": "",
        "seconds": 0.0,
        "output": "",
        "answer": cell.source if cell else "",
        "figures": cell.figures if cell else [],
    }
    if cell is None:
        return row | {"status": "empty", "message": "No answer."}
    if record is None:
        return row | {"status": "not graded", "message": "This answer could not be run; ask your instructor."}
    row |= {"seconds": record["seconds"], "output": record["output"]}
    message = ended(record, question)
    if message:
        return row | {"status": record["status"], "message": message}
    output, message = value_of(record["answer"])
    if message:
        return row | {"status": "error", "message": message}
    parts, message = judge.marks(question, inputs, output)
    points = round(sum((one["points"] for one in parts), 0.0), 2)
    return row | {"status": "graded", "points": points, "parts": parts, "message": message}


def written(question: Written, cell: Cell | None) -> dict:
    """The row of a question that a person marks; its points come later."""
    empty = cell is None
    return {
        "points": 0.0,
        "max": question.points,
        "parts": [],
        "seconds": 0.0,
        "output": "",
        "status": "empty" if empty else "by hand",
        "message": "No answer." if empty else "Marked by a person.",
        "answer": cell.source if cell else "",
        "figures": [],
    }


def ended(record: dict, question: Question) -> str:
    """What to tell the student if there is no answer, empty if there is one."""
    if record["status"] == "answered":
        return ""
    if record["status"] == "time":
        return f"Not finished: {question.seconds:g} seconds of work were allowed, and it waited for something."
    if record["status"] == "killed":
        name = (
            signal.Signals(record["signal"]).name
            if record["signal"] in {s.value for s in signal.Signals}
            else "a signal"
        )
        reason = {
            "SIGXCPU": f": more than {question.seconds:g} seconds of work",
            "SIGXFSZ": ": it wrote too large a file",
            "SIGSEGV": ": a crash outside Python",
        }.get(name, "")
        return f"The program was ended by {name}{reason}."
    return {
        "too long": "The answer was far longer than what was asked for.",
        "silent": "The program ended without an answer (it may have called exit).",
        "lost": "The program took down what ran it.",
    }.get(record["status"], "No answer arrived.")


def value_of(text: str) -> tuple[object, str]:
    """The value that the sandbox sent, or why there is none. The text may be anything."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None, "The answer that arrived could not be read."
    if isinstance(content, dict) and isinstance(content.get("error"), str):
        return None, content["error"][-600:]
    if not isinstance(content, dict) or "value" not in content:
        return None, "The answer that arrived could not be read."
    return content["value"], ""


def fingerprint(path: Path | None) -> str:
    """The SHA-256 of a file as hexadecimal digits, "" if there is none or it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
    except OSError:
        return ""


def versions() -> dict[str, str]:
    """Of the packages that a result may depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
