"""Throughput of grading: a class of synthetic submissions, a tenth of them broken or hostile.

python -m bench.assignments --students 100 --jobs 2 --questions q1 q2 q3 q4
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "assignments"))


def write_class(folder: Path, assignment, students: int, faulty: int) -> dict[str, float]:
    """Write references, known wrong answers, empty notebooks and faults; returns the points that each deserves."""
    import faults

    from m2m.assignments import checking
    from m2m.assignments.judge import Question

    own = checking.reference(assignment)
    own = {question.id: own[question.id] for question in assignment.questions}
    text = checking.written_questions(assignment)
    most = sum(question.points for question in assignment.questions if isinstance(question, Question))
    wrong = [one for one in checking.wrong_answers(assignment).values() if one[0] in own]
    attacks = list(faults.ATTACKS.items())
    points = {}
    for k in range(students):
        name, sources, deserved = f"student {k:03d}", own, most
        if k < faulty:
            attack, (before, after, score) = attacks[k % len(attacks)]
            name, sources = f"student {k:03d} {attack}", own | {"q1": faults.answer(before, after)}
            deserved = most - (faults.ALL - score)
        elif k % 10 == 9:
            sources, deserved = {}, 0.0
        elif k % 3:
            question, score, source = wrong[k % len(wrong)]
            sources, deserved = own | {question: source}, most - assignment.question(question).points + score
        (folder / f"{name}.ipynb").write_text(json.dumps(checking.notebook(sources, text)), encoding="utf-8")
        points[name] = deserved
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--assignment", type=Path, default=ROOT / "assignments" / "flows")
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--faulty", type=int, default=0, help="how many of them are broken or hostile")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--questions", nargs="*", help="only these; by default all")
    options = parser.parse_args()

    from m2m.assignments import checking, classes, judge

    assignment = judge.load(options.assignment)
    if options.questions:
        assignment = checking.only(assignment, *options.questions)
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "submissions", Path(place) / "out"
        folder.mkdir()
        deserved = write_class(folder, assignment, options.students, options.faulty)
        before = os.times()
        start = time.perf_counter()
        results = classes.grade_class(folder, assignment, out, options.jobs, options.sandbox, progress=False)
        seconds, after = time.perf_counter() - start, os.times()
    busy = sum(after[:4]) - sum(before[:4])
    print(
        f"{len(results)} submissions, {len(assignment.questions)} questions, {options.jobs} jobs, "
        f"sandbox {results[0]['sandbox']}: "
        f"{seconds:.1f} s, {busy:.1f} s of processor time, {len(results) / seconds:.2f} submissions a second"
    )
    unlike = {
        row["student"]: (row["score"], deserved[row["student"]])
        for row in results
        if abs(row["score"] - deserved[row["student"]]) > 0.005
    }
    print(
        f"{len(results) - len(unlike)} of {len(results)} have the points that they deserve"
        + "".join(f"\n  {name}: {got}, deserved {wanted}" for name, (got, wanted) in unlike.items())
    )


if __name__ == "__main__":
    main()
