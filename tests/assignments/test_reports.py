"""Written answers out and back, pages for students, and the forms that learning platforms read."""

import base64
import csv
import json
import re

import pytest

from m2m.assignments import building, checking, classes, exports, feedback, grading, manual, sandbox, validation
from m2m.assignments.judge import Question, Written

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
FORMULA = '=HYPERLINK("https://example.org")'


class NoSandbox:
    """Answers every question with nothing: for tests of what is made of results."""

    kind = "none"

    def run(self, questions):
        return {
            one["id"]: {
                "id": one["id"],
                "status": "answered",
                "answer": '{"error": "NameError: x"}',
                "output": "the probe's text",
                "seconds": 0.1,
            }
            for one in questions
        }


@pytest.fixture(scope="module")
def assignment(flows):
    return checking.only(flows, "q1", "q2", "q13", "q14")


@pytest.fixture
def graded(assignment, tmp_path):
    """Two students: one answered, with a picture and hostile text, one did not."""
    answers = {
        "q1": "# answer: q1\nx = '<script>alert(1)</script>'",
        "q13": f"**answer: q13**\n\n{FORMULA}",
        "q14": "**answer: q14**\n\nMAF",
    }
    content = checking.notebook(answers, ("q13", "q14"))
    content["cells"][0]["outputs"] = [{"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}]
    for student, text in (("=ada", json.dumps(content)), ("bob@example.org", "")):
        path = tmp_path / "submission.ipynb"
        path.write_text(text)
        classes.write_json(
            classes.result_path(tmp_path, student), grading.grade(path, assignment, 1, NoSandbox(), student)
        )
    return tmp_path


def fill(path, marks):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, points in zip(rows, marks, strict=False):
        row["points"], row["comment"] = points, "well put"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, manual.COLUMNS)
        writer.writeheader(), writer.writerows(rows)
    return rows


def test_written_answers_out_and_back(graded, assignment):
    table = graded / "manual.csv"
    assert manual.write_table(graded, assignment, table) == 7
    rows = fill(table, ["1.5", "0,5", "1"])
    assert rows[0]["student"] == "'=ada", "a spreadsheet must not calculate a name"
    assert manual.read_table(graded, assignment, table) == 3
    ada, bob = manual.complete_results(graded, assignment)
    assert (ada["student"], ada["score"], ada["open"]) == ("=ada", 3.0, 4)
    assert (bob["score"], bob["open"]) == (0, 0), "an empty answer waits for nobody"
    assert manual.write_table(graded, assignment, table) == 7
    assert "well put" in table.read_text(), "marks given so far are kept"


@pytest.mark.parametrize(
    ("points", "message"), [("2", "from 0 to 1.5"), ("-1", "from 0"), ("good", "from 0"), ("nan", "from 0")]
)
def test_wrong_points_are_refused(graded, assignment, points, message):
    manual.write_table(graded, assignment, graded / "manual.csv")
    fill(graded / "manual.csv", [points])
    with pytest.raises(ValueError, match=message):
        manual.read_table(graded, assignment, graded / "manual.csv")
    assert not manual.stored(graded)


def test_unknown_rows_and_columns_are_refused(graded, assignment):
    table = graded / "manual.csv"
    manual.write_table(graded, assignment, table)
    text = table.read_text()
    table.write_text(text.replace("'=ada,q13", "'=eve,q13").replace(",1.5,,", ",1.5,1,"))
    with pytest.raises(ValueError, match="not known"):
        manual.read_table(graded, assignment, table)
    table.write_text(text.replace("criterion", "what", 1))
    with pytest.raises(ValueError, match="no column criterion"):
        manual.read_table(graded, assignment, table)


# Pages


def test_pages_are_self_contained_and_escaped(graded, assignment):
    paths = feedback.write_pages(manual.complete_results(graded, assignment), assignment, graded)
    assert len(paths) == 2
    page = paths[0].read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page and "<script" not in page
    assert f"data:image/png;base64,{PNG}" in page
    assert not re.search(r"(?:src|href)\s*=\s*['\"]?https?:", page)
    assert "the probe&#x27;s text" not in page and "the probe's text" not in page, (
        "what the program printed stays with the instructor"
    )
    assert "section &#x27;The bridge&#x27;" in page and "7 marks for written answers are still to come" in page
    assert re.search(r"- of \d", page), "not marked yet is not 0"
    assert not re.search(r"- of \d", paths[1].read_text(encoding="utf-8")), "an empty answer has 0"


def test_a_page_with_a_secret_is_not_written(graded, assignment):
    results = manual.complete_results(graded, assignment)
    secret = building.secrets(assignment)[0]
    assert feedback.shows(results[0], assignment) == []
    results[0]["questions"]["q1"]["message"] = f"almost: {secret}"
    assert feedback.shows(results[0], assignment) == [secret]
    with pytest.raises(ValueError, match="would show"):
        feedback.write_pages(results, assignment, graded)
    results[0]["questions"]["q1"]["answer"] = secret  # her own line is no secret to her
    assert feedback.shows(results[0], assignment) == []


def test_no_page_of_any_wrong_answer_shows_a_secret(flows, box):
    """The messages of checks and errors, with real values."""
    own = checking.reference(flows)
    for question in flows.questions:
        if isinstance(question, Question) and question.id not in ("q8", "q12"):
            part = checking.only(flows, question.id)
            for name, (target, _, source) in checking.wrong_answers(flows).items():
                if target == question.id:
                    result = checking.grade_answers(part, own | {target: source}, box)
                    assert feedback.shows(result, part) == [], name


# Platforms


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture
def exported(graded, assignment):
    manual.write_table(graded, assignment, graded / "manual.csv")
    fill(graded / "manual.csv", ["1.5"])
    manual.read_table(graded, assignment, graded / "manual.csv")
    results = manual.complete_results(graded, assignment)
    exports.everything(results, assignment, graded)
    return graded / "export"


def test_plain_table(exported):
    head, ada, bob = table(exported / "scores.csv")
    assert head == ["student", "q1", "q2", "q13", "q14", "total", "max", "open", "sandbox", "notes"]
    assert ada[:6] == ["'=ada", "0.0", "0.0", "1.5", "0.0", "1.5"] and bob[5] == "0.0"


def test_canvas(exported):
    head, possible, ada, _ = table(exported / "canvas.csv")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Flows"]
    assert possible == ["    Points Possible", "", "", "", "", "10.0"]
    assert ada == ["'=ada", "", "", "'=ada", "", "1.5"]


def test_canvas_with_the_gradebook_of_the_course(graded, assignment):
    exported = graded / "gradebook.csv"
    exported.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Flows (4711),Final Score\n    Points Possible,,,,,10,(read only)\n"
        '"Example, Bob",12,s2,Bob@example.org,A,,50\n"Student, Test",99,,x,A,,0\n'
    )
    results = manual.complete_results(graded, assignment)
    head, possible, *rows = table(exports.canvas(results, assignment, graded / "canvas.csv", exported))
    assert head[-1] == "Flows (4711)" and possible[-1] == "10.0"
    assert rows == [["Example, Bob", "12", "s2", "Bob@example.org", "A", "0.0"]], (
        "only who handed in, and no computed columns"
    )


def test_moodle(exported):
    head, ada, bob = table(exported / "moodle.csv")
    assert head == ["ID number", "Email address", "Flows", "Feedback: Flows"]
    assert ada[:3] == ["'=ada", "", "1.5"] and bob[:2] == ["", "bob@example.org"]
    assert "1.5 of 10 points" in ada[3]


def test_gradescope(exported):
    found = json.loads((exported / "gradescope" / "=ada" / "results.json").read_text())
    assert found["score"] == 1.5 and found["stdout_visibility"] == "hidden"
    assert set(found) == {
        "score",
        "execution_time",
        "output",
        "output_format",
        "visibility",
        "stdout_visibility",
        "tests",
        "extra_data",
    }
    for test in found["tests"]:
        assert set(test) == {"name", "number", "score", "max_score", "status", "output", "output_format", "visibility"}
        assert test["status"] in ("passed", "failed") and 0 <= test["score"] <= test["max_score"]
    assert sum(test["score"] for test in found["tests"]) == found["score"]
    assert "the probe" not in json.dumps(found)


# For students


def test_validate(flows, own, tmp_path):
    notebook = building.student(flows)
    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in notebook.cells}
    cells["q1"].source = own["q1"]
    cells["q2"].source = "# answer: q2\nmass = 0.5"
    cells["q13"].source = "**answer: q13**\n\nNo, she is not."
    for name in ("q5-check", "q8-check", "q12-check"):
        notebook.cells.remove(cells[name])
    path = tmp_path / "flows.ipynb"
    path.write_text(json.dumps(notebook))
    said = dict(validation.validate(path))
    assert said["q1"] == "passes its visible check"
    assert "Not yet" in said["q2"] and "Hint" in said["q2"]
    assert said["q3"] == "not answered, or not all of it" and said["q13"] == "6 words"


def test_validate_finds_what_is_missing(tmp_path):
    (tmp_path / "a.ipynb").write_text('{"cells": []}')
    assert "no answer cells" in validation.validate(tmp_path / "a.ipynb")[0][1]
    with pytest.raises(ValueError, match="expected a file"):
        validation.validate(tmp_path / "b.ipynb")


def test_results_of_another_kind_are_zero(assignment, tmp_path):
    class Silent(NoSandbox):
        def run(self, questions):
            raise sandbox.SandboxError("broken")

    path = tmp_path / "a.ipynb"
    path.write_text(
        json.dumps(checking.notebook({"q1": "# answer: q1\nx = 1", "q13": "**answer: q13**\n\nyes"}, ("q13",)))
    )
    row = grading.grade(path, assignment, 1, Silent(), "ada")
    assert row["failed"] == "broken" and row["questions"]["q1"]["status"] == "not graded"
    assert [isinstance(q, Written) for q in assignment.questions] == [False, False, True, True]
