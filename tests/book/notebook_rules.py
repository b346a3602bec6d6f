"""The rules that every chapter keeps. Each takes a notebook and returns its complaints, an empty list if there are none."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

import claims
import refresh
import repository

ROOT = repository.ROOT
LARGEST_NOTEBOOK, LARGEST_BOOK = 1_000_000, 12_000_000
SECTIONS = ("In production", "Exercises", "Summary", "Further reading")
DIRECTIVE = re.compile(r"^ *(?:```+|~~~+|:::+) *\{|\{[a-z]+(?::[a-z]+)?\}`|^\([\w-]+\)=$", re.MULTILINE)
SOLUTION = re.compile(r"<details>\s*<summary>Solution.*?</details>", re.DOTALL)
EXECUTED = re.compile(r"```python\n(# executed by the tests\n.*?)```", re.DOTALL)
EXERCISE = re.compile(r"^(?:#{3,4} |\*\*)?(?:Exercise )?(\d+)[.)]", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|tmp|root|home|opt|Users|usr|content)/\w+")
TIMESTAMP = re.compile(r"\b20\d\d-[01]\d-[0-3]\d[ T][0-2]\d:[0-5]\d")
PLOTLY = "application/vnd.plotly.v1+json"


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def text_cells(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def section(notebook: nbformat.NotebookNode, heading: str) -> str:
    """The Markdown from a second-level heading to the next one, empty if there is none."""
    parts = re.split(r"^## +", "\n\n".join(text_cells(notebook)), flags=re.MULTILINE)
    return next((part for part in parts[1:] if part.startswith(heading)), "")


def executed_solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """The code of the solutions that the tests run."""
    return EXECUTED.findall(section(notebook, "Exercises"))


# The rules

def too_large(path: Path) -> list[str]:
    size = path.stat().st_size
    return [f"{size / 1e6:.2f} MB, at most {LARGEST_NOTEBOOK / 1e6:.0f}"] if size > LARGEST_NOTEBOOK else []


def bad_head(notebook: nbformat.NotebookNode, path: str) -> list[str]:
    """First cell: title, the exact Colab link, objectives, time."""
    head, link = notebook.cells[0].source, repository.colab_link(*repository.identity(), path)
    objectives = re.search(r"\*\*After this chapter you can\*\*\n\n((?:- .+\n?(?:  .+\n?)*)+)", head)
    count = len(re.findall(r"^- ", objectives[1], re.MULTILINE)) if objectives else 0
    found = []
    if not head.startswith("# "):
        found.append("the first cell does not start with a title")
    if f"\n[Open this chapter in Colab]({link})\n" not in head:
        found.append(f"the first cell has not the link [Open this chapter in Colab]({link})")
    if not 3 <= count <= 5:
        found.append(f"{count} objectives under **After this chapter you can**, expected 3 to 5")
    if not re.search(r"^\*Time: about .+ on one CPU core\.\*$", head, re.MULTILINE):
        found.append("no line *Time: about ... on one CPU core.* in the first cell")
    return found


def bad_setup(notebook: nbformat.NotebookNode) -> list[str]:
    cell = notebook.cells[1]
    found = []
    if cell.cell_type != "code" or cell.source != repository.setup_cell(*repository.identity()):
        found.append("the second cell is not the setup cell of tools/repository.py")
    if "setup" not in cell.metadata.get("tags", []):
        found.append("the setup cell has not the tag setup")
    return found


def bad_outputs(notebook: nbformat.NotebookNode) -> list[str]:
    found = [f"error output: {output.ename}" for output in outputs(notebook) if output.output_type == "error"]
    if any(output.get("name") == "stderr" for output in outputs(notebook)):
        found.append("stderr in the outputs")
    if not outputs(notebook):
        found.append("no stored outputs")
    return found


def raw_directives(notebook: nbformat.NotebookNode) -> list[str]:
    hits = [DIRECTIVE.search(text) for text in text_cells(notebook)]
    return [f"a MyST directive, role or label, which Colab shows raw: {hit[0]!r}" for hit in hits if hit]


def missing_sections(notebook: nbformat.NotebookNode) -> list[str]:
    return [f"no section '## {name}'" for name in SECTIONS if not section(notebook, name)]


def bad_exercises(notebook: nbformat.NotebookNode) -> list[str]:
    """5 to 8 numbered exercises, a folded solution for each, two of them code that the tests run."""
    text = section(notebook, "Exercises")
    solutions, numbers = SOLUTION.findall(text), [int(n) for n in EXERCISE.findall(SOLUTION.sub("", text))]
    found = []
    if not 5 <= len(numbers) <= 8 or numbers != list(range(1, len(numbers) + 1)):
        found.append(f"exercises numbered {numbers}, expected 1 to 5 ... 8")
    if len(solutions) != len(numbers):
        found.append(f"{len(solutions)} solutions in <details> for {len(numbers)} exercises")
    if len(executed_solutions(notebook)) < 2:
        found.append(f"{len(executed_solutions(notebook))} solutions marked '# executed by the tests', expected 2 or more")
    return found


def bad_details(notebook: nbformat.NotebookNode) -> list[str]:
    """Markdown inside <details> is only read as Markdown between blank lines."""
    text = "\n\n".join(text_cells(notebook))
    opened = re.findall(r"</summary>(?!\n\n)", text) + re.findall(r"(?<!\n\n)</details>", text)
    return [f"{len(opened)} times no blank line inside <details>"] if opened else []


def bad_formulas(notebook: nbformat.NotebookNode) -> list[str]:
    """The page reads $$ ... $$ as a formula only between blank lines; Colab and Jupyter are less strict."""
    found = []
    for text in text_cells(notebook):
        lines = ["", *[re.sub(r"^[\s>]*", "", line).rstrip() for line in text.split("\n")], ""]
        marks = [i for i, line in enumerate(lines) for _ in range(line.count("$$"))]
        for first, last in zip(marks[::2], marks[1::2], strict=False):
            alone = lines[first].startswith("$$") and lines[last].endswith("$$")
            if not alone or lines[first - 1] or lines[last + 1]:
                found.append(f"no blank lines around a formula: {lines[first]}")
    return found


def too_few_figures(notebook: nbformat.NotebookNode) -> list[str]:
    count = sum(PLOTLY in output.get("data", {}) for output in outputs(notebook))
    return [f"{count} figures that the reader can manipulate, expected 3 or more"] if count < 3 else []


def undrawable_figures(notebook: nbformat.NotebookNode) -> list[str]:
    """A page draws a figure from its HTML, which must not carry Plotly itself (4.5 MB)."""
    figures = [output.data for output in outputs(notebook) if PLOTLY in output.get("data", {})]
    found = ["a Plotly figure without text/html" for figure in figures if "text/html" not in figure]
    if any(len(figure.get("text/html", "")) > 600_000 for figure in figures):
        found.append("a Plotly figure of more than 0.6 MB of HTML")
    return found


def bad_claims(notebook: nbformat.NotebookNode) -> list[str]:
    try:
        made = claims.claims(notebook)
    except ValueError as error:
        return [str(error)]
    found = [f"claim {claim.name}: {claim.verdict}" for claim in made if claim.verdict != "holds"]
    names = [claim.name for claim in made]
    found += [f"claim {name} is made twice" for name in sorted(set(names)) if names.count(name) > 1]
    return found if made else ["no claim"]


def nothing_compared(notebook: nbformat.NotebookNode) -> list[str]:
    marked = [cell for cell in code_cells(notebook) if "# NBVAL_CHECK_OUTPUT" in cell.source]
    return [] if marked else ["no cell is marked # NBVAL_CHECK_OUTPUT"]


def no_prediction(notebook: nbformat.NotebookNode) -> list[str]:
    return [] if "> **Predict" in "\n".join(text_cells(notebook)) else ["no box '> **Predict.**'"]


def not_normalised(notebook: nbformat.NotebookNode) -> list[str]:
    """What `make refresh` would have removed."""
    names = [cell.get("id", "") for cell in notebook.cells]
    found = []
    if len(set(names)) < len(names) or not all(refresh.IDENTIFIER.fullmatch(name) for name in names):
        found.append("cell ids that make refresh did not write")
    if any(cell.execution_count is not None for cell in code_cells(notebook)):
        found.append("execution counts")
    if any("execution" in cell.metadata for cell in notebook.cells):
        found.append("execution times in the metadata")
    if notebook.metadata.get("kernelspec") != refresh.KERNEL or notebook.metadata.get("language_info") != refresh.LANGUAGE:
        found.append("other kernelspec or language_info than make refresh writes")
    return [f"{what} (run make refresh)" for what in found]


def traces_of_a_machine(notebook: nbformat.NotebookNode) -> list[str]:
    """Paths and times of the machine that executed the notebook; pictures and figures' numbers are not searched."""
    texts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        texts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    hits = [pattern.search(text) for text in texts for pattern in (MACHINE_PATH, TIMESTAMP)]
    return [f"a path or time of a machine: {hit[0]!r}" for hit in hits if hit]


def bad_code_style(notebook: nbformat.NotebookNode) -> list[str]:
    """nbval does not honour a trailing semicolon: plots end with plt.show()."""
    ends = [cell.source.rstrip() for cell in code_cells(notebook)]
    return ["a cell ends with ';'"] if any(text.endswith(";") for text in ends) else []


RULES = [
    bad_setup, bad_outputs, raw_directives, missing_sections, bad_exercises, bad_details, bad_formulas, too_few_figures,
    undrawable_figures, bad_claims, nothing_compared, no_prediction, not_normalised, traces_of_a_machine, bad_code_style,
]


def complaints(path: Path) -> list[str]:
    """Every rule's complaints about one notebook of the book."""
    notebook = read(path)
    if len(notebook.cells) < 2:
        return ["fewer than two cells"]
    found = too_large(path) + bad_head(notebook, path.relative_to(ROOT).as_posix())
    return found + [complaint for rule in RULES for complaint in rule(notebook)]


def book_too_large(paths: list[Path]) -> list[str]:
    size = sum(path.stat().st_size for path in paths)
    return [f"all notebooks: {size / 1e6:.1f} MB, at most {LARGEST_BOOK / 1e6:.0f}"] if size > LARGEST_BOOK else []


def example(path: str = "book/flows/two_moons.ipynb") -> nbformat.NotebookNode:
    """A small notebook that keeps every rule, for the tests to break."""
    name, version = repository.identity()
    figure = nbformat.v4.new_output("display_data", data={PLOTLY: {"data": []}, "text/html": "<div></div>", "text/plain": "a figure"})
    claim = "claim two_moons.gap holds | gap below 0.1 | value 0.07 | live | literature: not stated\n"
    exercises = "\n\n".join(
        f"{n}. Why?\n\n<details><summary>Solution</summary>\n\n```python\n# executed by the tests\nassert {n} > 0\n```\n\n</details>"
        for n in range(1, 6)
    )
    head = (
        f"# Two moons\n\n[Open this chapter in Colab]({repository.colab_link(name, version, path)})\n\nA problem.\n\n"
        "**After this chapter you can**\n\n- one\n- two\n- three\n\n*Time: about 1 minute on one CPU core.*"
    )
    new = nbformat.v4
    notebook = new.new_notebook(cells=[
        new.new_markdown_cell(head),
        new.new_code_cell(repository.setup_cell(name, version), metadata={"tags": ["setup"]}),
        new.new_markdown_cell("The sum is\n\n$$1 + 1 = 2\\tag{1.1}$$\n\n> **Predict.** What comes out?"),
        new.new_code_cell("print(1)  # NBVAL_CHECK_OUTPUT", outputs=[figure, figure, figure, new.new_output("stream", text=claim)]),
        *[new.new_markdown_cell(f"## {name}\n\n{exercises if name == 'Exercises' else 'Text.'}") for name in SECTIONS],
    ])
    refresh.normalise(notebook)
    return notebook
