"""The chapters keep the rules of notebook_rules; each rule rejects a notebook that breaks it."""

import os
import subprocess
import sys

import nbformat
import pytest

import claims
import notebook_rules as rules
import refresh
import repository

NOTEBOOKS = sorted(repository.ROOT.glob("book/*/*.ipynb"))
NAMES = [path.relative_to(repository.ROOT).as_posix() for path in NOTEBOOKS]
SOLUTIONS = [
    pytest.param(code, id=f"{path.stem}-{number}")
    for path in NOTEBOOKS
    for number, code in enumerate(rules.executed_solutions(rules.read(path)), 1)
]


@pytest.mark.parametrize("name", NAMES)
def test_chapter_keeps_every_rule(name):
    assert not rules.complaints(repository.ROOT / name)


def test_every_notebook_is_in_the_table_of_contents():
    assert [path.relative_to(repository.ROOT).as_posix() for path in sorted(claims.chapters())] == NAMES


def test_book_keeps_its_size():
    assert not rules.book_too_large(NOTEBOOKS)


@pytest.mark.parametrize("code", SOLUTIONS)
def test_solution_runs(code, tmp_path):
    """In an empty folder and a fresh interpreter: a reader who copies it has no more."""
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(repository.ROOT / "src" / "lib")}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]


def test_claims_page_is_what_the_notebooks_say():
    stored = (repository.ROOT / "book" / "claims.md").read_text(encoding="utf-8")
    assert stored == claims.page(), "run make refresh, or tools/claims.py"


# Controls: the example keeps every rule, and each way of breaking it is rejected by the rule it breaks.

def set_source(cell, old, new):
    def change(notebook):
        assert old in notebook.cells[cell].source
        notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)
    return change


def add_output(**fields):
    def change(notebook):
        notebook.cells[3].outputs.append(nbformat.v4.new_output(**fields))
    return change


def set_field(cell, field, value):
    def change(notebook):
        notebook.cells[cell][field] = value
    return change


def in_head(notebook):
    return rules.bad_head(notebook, "book/flows/two_moons.ipynb")


EXERCISES = 5  # the cell with the exercises
BROKEN = {
    "title": (in_head, set_source(0, "# Two", "Two")),
    "Colab link of another version": (in_head, set_source(0, "/blob/v", "/blob/v9.")),
    "Colab link of another chapter": (in_head, set_source(0, "two_moons.ipynb", "three_moons.ipynb")),
    "no objectives": (in_head, set_source(0, "**After this chapter you can**", "")),
    "objectives that are no list": (in_head, set_source(0, "- ", "")),
    "no time": (in_head, set_source(0, "*Time: about", "*Takes")),
    "setup cell": (rules.bad_setup, set_source(1, "--no-deps ", "")),
    "setup tag": (rules.bad_setup, set_field(1, "metadata", {})),
    "error": (rules.bad_outputs, add_output(output_type="error", ename="ValueError", evalue="", traceback=[])),
    "stderr": (rules.bad_outputs, add_output(output_type="stream", name="stderr", text="a warning")),
    "no outputs": (rules.bad_outputs, set_field(3, "outputs", [])),
    "directive": (rules.raw_directives, set_source(2, "> **Predict.**", "```{note}\nA note\n```")),
    "colon directive": (rules.raw_directives, set_source(2, "> **Predict.**", ":::{tip}\nA tip\n:::")),
    "role": (rules.raw_directives, set_source(2, "What", "{cite}`germain2015`")),
    "no summary": (rules.missing_sections, set_source(6, "## Summary", "## The end")),
    "no exercises": (rules.bad_exercises, set_source(EXERCISES, "## Exercises", "## Homework")),
    "four exercises": (rules.bad_exercises, set_source(EXERCISES, "5. Why?", "Why?")),
    "exercise without solution": (rules.bad_exercises, set_source(EXERCISES, "<details><summary>Solution</summary>\n\n```python\n# executed by the tests\nassert 5 > 0\n```\n\n</details>", "")),
    "solutions that nobody runs": (rules.bad_exercises, set_source(EXERCISES, "# executed by the tests\n", "")),
    "details without blank line": (rules.bad_details, set_source(EXERCISES, "</summary>\n\n", "</summary>\n")),
    "formula in a line of text": (rules.bad_formulas, set_source(2, "is\n\n$$", "is $$")),
    "formula without a blank line": (rules.bad_formulas, set_source(2, "is\n\n$$", "is\n$$")),
    "two figures": (rules.too_few_figures, lambda notebook: notebook.cells[3].outputs.pop(0)),
    "figure without HTML": (rules.undrawable_figures, lambda notebook: notebook.cells[3].outputs[0].data.pop("text/html")),
    "figure with Plotly inside": (rules.undrawable_figures, lambda notebook: notebook.cells[3].outputs[0].data.update({"text/html": "x" * 4_500_000})),
    "false claim": (rules.bad_claims, add_output(output_type="stream", text="claim a.b fails | s | value 1 | live\n")),
    "claim in another form": (rules.bad_claims, add_output(output_type="stream", text="claim a.b holds\n")),
    "claim made twice": (rules.bad_claims, add_output(output_type="stream", text="claim two_moons.gap holds | s | value 1 | live\n")),
    "no claim": (rules.bad_claims, set_field(3, "outputs", [])),
    "nothing compared": (rules.nothing_compared, set_source(3, "# NBVAL_CHECK_OUTPUT", "")),
    "nothing to predict": (rules.no_prediction, set_source(2, "Predict", "Note")),
    "random id": (rules.not_normalised, set_field(2, "id", "1a2b3c4d")),
    "id twice": (rules.not_normalised, lambda notebook: notebook.cells[2].update(id=notebook.cells[0].id)),
    "execution count": (rules.not_normalised, set_field(3, "execution_count", 4)),
    "execution time": (rules.not_normalised, set_field(3, "metadata", {"execution": {"iopub.status.busy": "2026"}})),
    "no language_info": (rules.not_normalised, lambda notebook: notebook.metadata.pop("language_info")),
    "machine path": (rules.traces_of_a_machine, add_output(output_type="stream", text="saved to /home/someone/model.pt")),
    "timestamp": (rules.traces_of_a_machine, add_output(output_type="stream", text="2026-01-02 03:04:05 done")),
    "semicolon": (rules.bad_code_style, set_source(3, "print(1)  # NBVAL_CHECK_OUTPUT", "plt.plot(x);")),
}


def test_example_keeps_every_rule():
    notebook = rules.example()
    assert not in_head(notebook) + [complaint for rule in rules.RULES for complaint in rule(notebook)]


@pytest.mark.parametrize("what", BROKEN)
def test_rule_rejects(what):
    rule, change = BROKEN[what]
    notebook = rules.example()
    change(notebook)
    assert rule(notebook)


def test_size_rules_reject(tmp_path):
    path = tmp_path / "large.ipynb"
    path.write_bytes(b" " * (rules.LARGEST_NOTEBOOK + 1))
    assert rules.too_large(path)
    assert rules.book_too_large([path] * 13)


def test_written_notebook_is_the_same_with_a_figure_on_one_line(tmp_path):
    figure = {"data": [{"x": [1, 2.5], "name": "two\nlines", "y": [None, 0]}], "layout": {}}
    cell = nbformat.v4.new_code_cell("show()")
    cell.outputs = [nbformat.v4.new_output("display_data", {refresh.PLOTLY: figure}) for _ in range(12)]
    notebook, path = nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb"
    refresh.write(notebook, path)
    assert nbformat.read(path, as_version=4) == notebook
    assert '"x":[1,2.5]' in path.read_text(encoding="utf-8")
