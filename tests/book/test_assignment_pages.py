"""The built book offers each assignment's notebook for download, and shows no line of a solution anywhere."""

import json
from pathlib import Path

import nbformat
import pytest

import repository
from m2m.assignments import building

HTML = repository.ROOT / "_build" / "html"
ASSIGNMENTS = building.find(repository.ROOT / "assignments")


def texts(folder: Path) -> dict[str, str]:
    """Everything in the built book that people or search engines read."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".ipynb", ".md", ".txt") or path.name == "searchindex.js":
            found[str(path.relative_to(folder))] = path.read_text(encoding="utf-8", errors="replace")
    return found


@pytest.fixture(scope="module")
def book():
    return texts(HTML)


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda one: one.name)
def test_no_page_shows_a_solution(assignment, book):
    assert "searchindex.js" in book and f"_static/assignments/{assignment.name}.ipynb" in book, "run make book"
    assert {path: found for path, text in book.items() if (found := building.leaks(assignment, text))} == {}


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda one: one.name)
def test_a_page_with_a_solution_is_found(assignment, tmp_path):
    """The control: the instructor's notebook among the pages, and a line of it coloured as the book colours code."""
    nbformat.write(building.labelled(assignment), tmp_path / "oops.ipynb")
    line = building.secrets(assignment)[0]
    coloured = "".join(
        f'<span class="n">{piece}</span> ' for piece in line.replace("&", "&amp;").replace("<", "&lt;").split(" ")
    )
    (tmp_path / "page.html").write_text(f"<html><pre>{coloured}</pre></html>", encoding="utf-8")
    found = {path: building.leaks(assignment, text) for path, text in texts(tmp_path).items()}
    assert len(found["oops.ipynb"]) > 10 and found["page.html"] == [line]


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda one: one.name)
def test_the_download_is_the_students_notebook(assignment, book):
    stored = json.loads(book[f"_static/assignments/{assignment.name}.ipynb"])
    assert stored == json.loads(nbformat.writes(building.student(assignment)))
    assert f"_static/assignments/{assignment.name}.ipynb" in book["book/teaching.html"], "the teaching page links it"
