"""Each assignment: the reference gets everything, the empty notebook nothing, wrong answers their scores."""

import json
import shutil

import nbformat
import pytest

from conftest import ROOT
from m2m.assignments import answers, building, checking, judge, sandbox
from m2m.assignments.judge import Question

FOLDERS = sorted(path.parent for path in (ROOT / "assignments").glob("*/judge.py"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def assignment(request):
    return judge.load(request.param)


def test_holds_together(namespace, assignment):
    with sandbox.Sandbox(namespace, assignment.preload, [assignment.folder]) as box:
        assert checking.complaints(assignment, box) == []


def test_is_an_assignment(assignment):
    kinds = [isinstance(question, Question) for question in assignment.questions]
    assert len(kinds) >= 10 and not all(kinds)
    assert checking.sections(assignment, ROOT / "book") == []
    assert all(question.read for question in assignment.questions)


def test_students_see_no_secret(assignment, tmp_path):
    paths = building.build(assignment, tmp_path)
    text = paths["student"].read_text(encoding="utf-8")
    assert not building.leaks(assignment, text)
    assert "SOLUTION" not in text and "HIDDEN" not in text
    # The control: the same search in what instructors get
    assert len(building.leaks(assignment, paths["instructor"].read_text(encoding="utf-8"))) > 10


def test_students_notebook_has_ids_lines_and_checks(assignment):
    notebook = building.student(assignment)
    nbformat.validate(notebook)
    ids = [question.id for question in assignment.questions]
    found = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert [cell.metadata["nbgrader"]["grade_id"] for cell in found] == ids
    assert all(answers.LABEL.match(cell.source)[3] == name for cell, name in zip(found, ids, strict=True))
    assert all(answers.STUB.split("\n")[0] in cell.source or answers.TEXT_STUB in cell.source for cell in found)
    checked = {cell.source.split("\n")[0] for cell in notebook.cells if cell.source.startswith("# check: ")}
    assert checked == {f"# check: {question.id}" for question in assignment.questions if isinstance(question, Question)}
    assert notebook.cells[1].source == nbformat.read(ROOT / "book/flows/two_moons.ipynb", 4).cells[1].source, (
        "the setup cell"
    )


# What the checks above find


@pytest.fixture
def broken(tmp_path):
    """A copy of the assignment on flows with one text replaced in one file."""

    def copy(file, old, new):
        folder = tmp_path / "flows"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / "assignments" / "flows", folder)
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        return folder

    return copy


def test_a_wrong_reference_is_found(box, broken):
    loaded = judge.load(broken("master.ipynb", "torch.log1p(x * x)", "torch.log1p(x + 9)"))
    found = checking.complaints(loaded, box, ("q1", "q2"))
    assert len(found) == 2 and found[0].startswith("q1: the reference gets 0.0 of 2")
    assert "visible check" in found[1] and "log_prob at 0, 1 and -3" in found[1]


def test_a_reference_that_fails_with_some_inputs_is_found(box, broken):
    """As a search for a minimum that ends elsewhere for some targets."""
    loaded = judge.load(broken("judge.py", "rng.uniform(0.1, 3, 5)", "(rng.uniform(0.1, 3, 5) * rng.choice([-1, 1]))"))
    assert not checking.losses(checking.only(loaded, "q7"), box, checking.SEED)  # the first draw does not show it
    found = checking.complaints(loaded, box, ("q7",))
    assert found and all(line.startswith("q7: the reference gets") for line in found), found


def test_a_score_that_is_not_the_stated_one_is_found(box, broken):
    found = checking.complaints(judge.load(broken("wrong/q2_one.py", "# score: 0", "# score: 1")), box, ("q2",))
    assert len(found) == 3 and found[0].startswith("wrong/q2_one.py gets 0.0 with seed 20250, stated 1.0")


def test_a_hidden_test_that_fails_is_found(box, broken):
    found = checking.complaints(judge.load(broken("master.ipynb", "- 1) < 1e-3", "- 2) < 1e-3")), box, ("q1",))
    assert len(found) == 1 and "AssertionError" in found[0]


def test_a_solution_outside_its_marks_is_found(broken, flows):
    folder = broken("master.ipynb", "    z = torch.asinh(x)\\n", "")
    notebook = nbformat.read(folder / "master.ipynb", as_version=4)
    place = next(cell for cell in notebook.cells if cell.source.startswith("# answer: q1"))
    place.source = place.source.replace("    ### BEGIN", "    z = torch.asinh(x)\n    ### BEGIN")
    nbformat.write(notebook, folder / "master.ipynb")
    assert building.leaks(flows, json.dumps(building.student(judge.load(folder)))) == ["z = torch.asinh(x)"]


def test_the_build_stops_at_a_secret(flows, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "student", building.labelled)  # as if nothing had been cut out
    with pytest.raises(ValueError, match="would show"):
        building.build(flows, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("judge.py", 'Question("q2"', 'Question("q1"', "each once"),
        ("master.ipynb", "# answer: q2", "# answer: q22", "each once"),
    ],
)
def test_master_and_judge_must_agree(broken, file, old, new, message):
    with pytest.raises(ValueError, match=message):
        judge.load(broken(file, old, new))


def test_a_folder_without_a_judge(tmp_path):
    with pytest.raises(ValueError, match="no master.ipynb"):
        judge.load(tmp_path)


def test_too_few_wrong_answers(broken):
    folder = broken("wrong/q2_one.py", "# answer: q2", "# answer: q3")
    assert checking.few_wrong_answers(judge.load(folder)) == ["q2: 1 wrong answers, expected at least 2"]


def test_a_wrong_answer_without_its_score(broken):
    with pytest.raises(ValueError, match="# score"):
        checking.wrong_answers(judge.load(broken("wrong/q2_one.py", "# score: 0", "# points: 0")))


def test_an_unknown_section(broken):
    folder = broken("judge.py", "What no flow can do", "What no flow will do")
    assert checking.sections(judge.load(folder), ROOT / "book") == [
        "q6: no section 'What no flow will do' in 'change_of_variables'"
    ]
