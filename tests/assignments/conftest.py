"""A class of synthetic submissions: honest ones, and every way we know to break or cheat a grader."""

import dataclasses
import json
from pathlib import Path

import nbformat
import pytest

import faults
from m2m.assignments import checking, judge, sandbox

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 2.0
IMPORTS = "import math\nimport numpy\nimport torch\nfrom m2m.flows import flow"


@pytest.fixture(scope="session")
def flows():
    return judge.load(ROOT / "assignments" / "flows")


@pytest.fixture(scope="session")
def warm_up(flows):
    """The first four questions, with a time limit that a test can wait for."""
    part = checking.only(flows, "q1", "q2", "q3", "q4")
    questions = tuple(dataclasses.replace(question, seconds=SECONDS) for question in part.questions)
    return dataclasses.replace(part, questions=questions, given=(IMPORTS,), preload=IMPORTS)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """An assignment of the first two questions in a folder of its own, which starts quickly."""
    folder = tmp_path_factory.mktemp("assignments") / "tiny"
    folder.mkdir()
    text = (ROOT / "assignments" / "flows" / "judge.py").read_text(encoding="utf-8")
    (folder / "judge.py").write_text(text + "\nQUESTIONS = QUESTIONS[:2]\n", encoding="utf-8")
    notebook = nbformat.read(ROOT / "assignments" / "flows" / "master.ipynb", as_version=4)
    notebook.cells = [
        cell for cell in notebook.cells if cell.source.startswith(("# answer: q1\n", "# answer: q2\n", "# given"))
    ]
    notebook.cells[0].source = "# given\nimport math\nimport torch"
    nbformat.write(notebook, folder / "master.ipynb")
    return dataclasses.replace(judge.load(folder), preload="import math\nimport torch")


@pytest.fixture(scope="session")
def namespace():
    if reason := sandbox.works("namespace"):
        pytest.skip(f"no namespaces here: {reason}")
    return "namespace"


@pytest.fixture(scope="session")
def box(namespace, flows):
    """One started sandbox for all tests of a worker."""
    with sandbox.Sandbox(namespace, flows.preload, [flows.folder]) as started:
        yield started


@pytest.fixture(scope="session")
def own(warm_up):
    """The right answers of the first four questions."""
    answers = checking.reference(warm_up)
    return {name: answers[name] for name in ("q1", "q2", "q3", "q4")}


@pytest.fixture
def hand_in(tmp_path, own):
    """Write a submission `<student>.ipynb` with some answers changed, and return its path."""

    def write(student="ada", **changed):
        path = tmp_path / f"{student}.ipynb"
        path.write_text(json.dumps(faults.notebook(own | changed)), encoding="utf-8")
        return path

    return write
