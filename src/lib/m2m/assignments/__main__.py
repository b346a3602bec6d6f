"""`python -m m2m.assignments COMMAND`: build, check, grade, feedback, export, manual, validate."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from m2m.assignments import building, checking, classes, exports, feedback, judge, manual, sandbox, validation

ROOT = Path("assignments")
FOLDERS = "folders of assignments; by default all in assignments/"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, sandbox.SandboxError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m m2m.assignments", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    _before_release(command)
    _grading(command("grade", grade, "grade a folder of submissions; a run that was stopped goes on where it stopped"))
    _after_grading(command)
    made = command("validate", validate, "for students: is the file complete, and do its visible checks pass?")
    made.add_argument("notebook", type=Path)
    return parser


def _before_release(command: Callable[..., argparse.ArgumentParser]) -> None:
    made = command("build", build, "write the notebooks for students and instructors")
    made.add_argument("folders", nargs="*", type=Path, help=FOLDERS)
    made.add_argument("--out", type=Path, default=Path("build/assignments"))
    made.add_argument("--students", action="store_true", help="only the students' notebooks, for the book's pages")
    made = command("check", check, "check an assignment: reference, empty notebook, wrong answers, leaks")
    made.add_argument("folders", nargs="*", type=Path, help=FOLDERS)
    made.add_argument("--sandbox", choices=sandbox.KINDS, default="auto")


def _grading(made: argparse.ArgumentParser) -> None:
    made.add_argument("submissions", type=Path)
    made.add_argument(
        "--assignment", type=Path, help="its folder; by default assignments/<name of the folder of submissions>"
    )
    made.add_argument("--out", type=Path, help="by default grades-<assignment> beside the submissions")
    made.add_argument("--jobs", type=int, default=1, help="submissions at a time")
    made.add_argument("--sandbox", choices=sandbox.KINDS, default="auto")
    made.add_argument("--seed", type=int, help="of the hidden inputs; by default a secret one")
    made.add_argument(
        "--roster", type=Path, help="a file with one student per line: those who handed in nothing get a row too"
    )
    made.add_argument(
        "--dask", metavar="ADDRESS", help="a Dask scheduler, or 'local' for a cluster of --jobs processes here"
    )


def _after_grading(command: Callable[..., argparse.ArgumentParser]) -> None:
    made = {}
    for name, run, text in (
        ("feedback", give_feedback, "write a page per student"),
        ("export", export, "write tables for Canvas and Moodle, results.json for Gradescope"),
        ("manual", by_hand, "write the written answers with their rubric to a table, or read it back"),
    ):
        made[name] = command(name, run, text)
        made[name].add_argument("out", type=Path, help="the --out of `grade`")
        made[name].add_argument("--assignment", type=Path, help="its folder; by default assignments/<name>")
    made["export"].add_argument("--canvas-gradebook", type=Path, help="a gradebook exported from Canvas")
    made["manual"].add_argument("--read", type=Path, metavar="TABLE", help="take over the points of this table")


def _assignments(options: argparse.Namespace) -> list[judge.Assignment]:
    found = [judge.load(folder) for folder in options.folders] or building.find(ROOT)
    if not found:
        raise ValueError(f"no assignments in {ROOT.resolve()}")
    return found


def _of_run(options: argparse.Namespace) -> judge.Assignment:
    run = options.out / "run.json"
    if not run.exists():
        raise ValueError(f"{options.out}: no run.json; expected the --out of `grade`")
    settings = json.loads(run.read_text(encoding="utf-8"))
    assignment = judge.load(options.assignment or ROOT / settings["assignment"])
    if assignment.digest != settings["digest"]:
        raise ValueError(f"{assignment.folder} has changed since {options.out} was graded; grade again")
    return assignment


def build(options: argparse.Namespace) -> None:
    for assignment in _assignments(options):
        for path in building.build(assignment, options.out, with_solutions=not options.students).values():
            print(path)


def check(options: argparse.Namespace) -> int:
    kind, said = sandbox.choose(options.sandbox)
    print(*said, sep="\n")
    wrong = 0
    for assignment in _assignments(options):
        with sandbox.Sandbox(kind, assignment.preload, [assignment.folder]) as box:
            found = checking.complaints(assignment, box)
        print(f"{assignment.name}: {'; '.join(found) or 'as it must be'}")
        wrong += len(found)
    return 1 if wrong else 0


def grade(options: argparse.Namespace) -> None:
    assignment = judge.load(options.assignment or ROOT / options.submissions.resolve().name)
    out = options.out or options.submissions.resolve().parent / f"grades-{assignment.name}"
    roster = options.roster.read_text(encoding="utf-8").split("\n") if options.roster else []
    results = classes.grade_class(
        options.submissions,
        assignment,
        out,
        options.jobs,
        options.sandbox,
        options.seed,
        [line.strip() for line in roster if line.strip()],
        options.dask,
    )
    print(f"{len(results)} submissions, sandbox {results[0]['sandbox']!r}, seed {results[0]['seed']}")
    for result in results:
        print(f"{result['score']:6g} of {result['max']:g}  {result['student']}  {'; '.join(result['notes'])[:100]}")
    print(f"Results are in {out}. Next: manual, feedback, export.")


def give_feedback(options: argparse.Namespace) -> None:
    assignment = _of_run(options)
    paths = feedback.write_pages(manual.complete_results(options.out, assignment), assignment, options.out)
    print(f"{len(paths)} pages in {options.out / 'feedback'}")


def export(options: argparse.Namespace) -> None:
    assignment = _of_run(options)
    results = manual.complete_results(options.out, assignment)
    if still_open := sum(result["open"] for result in results):
        print(f"{still_open} criteria of written answers are not marked yet and count as 0.")
    for path in exports.everything(results, assignment, options.out, options.canvas_gradebook)[:3]:
        print(path)
    print(options.out / "export" / "gradescope")


def by_hand(options: argparse.Namespace) -> None:
    assignment = _of_run(options)
    if options.read:
        print(f"{manual.read_table(options.out, assignment, options.read)} marks taken over")
    else:
        path = options.out / "manual.csv"
        print(f"{manual.write_table(options.out, assignment, path)} rows in {path}")


def validate(options: argparse.Namespace) -> int:
    said = validation.validate(options.notebook)
    for name, line in said:
        print(f"{name:5s} {line}" if name else line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
