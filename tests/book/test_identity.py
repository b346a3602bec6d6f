"""Repository and version are the same in every place, and one command changes them all."""

import shutil
import sys
import types

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils import io

import notebook_rules
import repository

ROOT = repository.ROOT


@pytest.fixture
def copy(tmp_path):
    """A copy of every file that names the repository, with one chapter at least."""
    for pattern, _, _ in repository.PLACES:
        for path in repository.files(ROOT, pattern):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    chapter = tmp_path / "book" / "flows" / "two_moons.ipynb"
    chapter.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook_rules.example(), chapter)
    return tmp_path


def values(root):
    return {kind: {value for _, k, value in repository.found(root) if k == kind} for kind in ("name", "version")}


def test_all_places_agree():
    places = list(repository.found())
    assert not [place for place in places if place[2] is None]
    assert values(ROOT) == {"name": {repository.identity()[0]}, "version": {repository.identity()[1]}}
    assert {path for path, _, _ in places} >= {"pyproject.toml", "_config.yml", "README.md", "CITATION.cff", "src/lib/m2m/__init__.py"}


def test_placeholder_cannot_be_registered():
    assert not repository.REGISTRABLE.fullmatch(repository.PLACEHOLDER)
    assert repository.REGISTRABLE.fullmatch("some-one/moons-to-molecules")
    assert "." in repository.PLACEHOLDER.split("/")[0], "the setup cell recognises it by the dot"


def test_command_rewrites_every_place(copy):
    old = repository.identity(copy)
    assert repository.rewrite("some-one/a-fork", "1.2.3", copy)
    assert values(copy) == {"name": {"some-one/a-fork"}, "version": {"1.2.3"}}
    left = [path for path in copy.rglob("*") if path.is_file() and old[0] in path.read_text(encoding="utf-8")]
    assert not left
    chapter = nbformat.read(copy / "book" / "flows" / "two_moons.ipynb", as_version=4)
    assert chapter.cells[1].source == repository.setup_cell("some-one/a-fork", "1.2.3")
    assert repository.colab_link("some-one/a-fork", "1.2.3", "book/flows/two_moons.ipynb") in chapter.cells[0].source
    assert not repository.rewrite("some-one/a-fork", "1.2.3", copy), "a second time there is nothing to change"


def test_disagreement_is_seen(copy):
    config = copy / "_config.yml"
    config.write_text(config.read_text().replace("your.account/", "another/").replace(repository.identity()[0], "another/x"))
    citation = copy / "CITATION.cff"
    citation.write_text(citation.read_text().replace("version:", "edition:"))
    assert len(values(copy)["name"]) == 2
    assert [path for path, _, value in repository.found(copy) if value is None] == ["CITATION.cff"]


@pytest.mark.parametrize("name", ["", "no-slash", "-dash/x", "a b/c", "your.account/x", "a/b/c", "x" * 40 + "/y"])
def test_impossible_name_is_refused(copy, name):
    with pytest.raises(ValueError, match="owner/name"):
        repository.rewrite(name, "1.0.0", copy)


@pytest.mark.parametrize("version", ["", "v1.0.0", "1.0", "latest"])
def test_impossible_version_is_refused(copy, version):
    with pytest.raises(ValueError, match="version"):
        repository.rewrite("some-one/a-fork", version, copy)


def run_setup_cell(name: str, monkeypatch, *, colab: bool) -> tuple[list[str], object]:
    """What the setup cell asks pip for, and the error it stops with, if any."""
    lines: list[str] = []
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    else:
        monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    shell = InteractiveShell()
    shell.register_magic_function(lines.append, magic_name="pip")
    with io.capture_output():
        result = shell.run_cell(repository.setup_cell(name, "0.1.0"))
    return lines, result.error_in_exec


def test_setup_cell_installs_the_books_version_in_colab(monkeypatch):
    lines, error = run_setup_cell("someone/book", monkeypatch, colab=True)
    assert lines == ["install --quiet --no-deps https://github.com/someone/book/archive/v0.1.0.zip"] and error is None


def test_setup_cell_does_nothing_elsewhere(monkeypatch):
    assert run_setup_cell("someone/book", monkeypatch, colab=False) == ([], None)


def test_setup_cell_of_a_copy_without_repository_says_what_to_do(monkeypatch):
    lines, error = run_setup_cell(repository.PLACEHOLDER, monkeypatch, colab=True)
    assert lines == [] and isinstance(error, SystemExit) and "make repository NAME=owner/name" in str(error)
