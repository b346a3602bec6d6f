"""What is measured until a first figure: which cells, how long they took, in which kernel; and what the page says of it."""

import json
import sys
from pathlib import Path

import nbformat
import pytest

import first_figure

PNG = nbformat.v4.new_output("display_data", data={"image/png": ""})
PLOTLY = nbformat.v4.new_output("display_data", data={"application/vnd.plotly.v1+json": {}, "text/html": ""})
TABLE = nbformat.v4.new_output("display_data", data={"text/html": "<table>"})
PRINTED = nbformat.v4.new_output("stream", text="image/png")


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), *cells])


def code(source="", *outputs):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs))


@pytest.mark.parametrize("figure", [PNG, PLOTLY])
def test_cells_up_to_the_first_figure(figure):
    whole = notebook(code("1"), code("2", PRINTED, TABLE), code("3", PRINTED, figure), code("4", PNG))
    part = first_figure.up_to_figure(whole)
    assert [cell.source for cell in part.cells] == ["# A", "1", "2", "3"] and len(whole.cells) == 5
    assert part.metadata == whole.metadata


def test_a_notebook_without_a_figure_is_refused():
    with pytest.raises(ValueError, match="got no figure in 2 cells"):
        first_figure.up_to_figure(notebook(code("1", PRINTED, TABLE)))


def test_seconds_of_a_cell():
    cell = code()
    times = {"busy": "2026-01-02T03:04:59.5Z", "idle": "2026-01-02T03:05:01.750000Z"}
    cell.metadata["execution"] = {f"iopub.status.{state}": time for state, time in times.items()}
    assert first_figure.seconds(cell) == 2.25
    assert first_figure.seconds(nbformat.v4.new_markdown_cell("text")) == 0
    with pytest.raises(KeyError):
        first_figure.seconds(code())  # not executed


def test_what_is_kept_of_a_chapter():
    kept = first_figure.row("book/a/b.ipynb", 4, (2.0, 1.5), (10.004, 9.0))
    assert kept == {
        "notebook": "book/a/b.ipynb",
        "cell": 4,
        "install": 2.0,
        "cells": 10.0,
        "seconds": 12.0,
        "processor": 10.5,
    }


def test_cells_run_in_a_kernel_of_that_library(tmp_path):
    (tmp_path / "library" / "m2m").mkdir(parents=True)
    (tmp_path / "library" / "m2m" / "__init__.py").write_text("WHERE = 'the new folder'")
    first_figure.make_kernel(Path(sys.executable), tmp_path)
    show = "from IPython.display import publish_display_data\npublish_display_data({'image/png': 'iVBORw0KGgo='})"
    ran = notebook(code("import time, m2m\nprint(m2m.WHERE)\ntime.sleep(0.5)"), code(show))
    seconds, processor = first_figure.execute(ran, tmp_path)
    assert ran.cells[1].outputs[0].text == "the new folder\n"
    assert seconds >= 0.5 and processor > 0
    with pytest.raises(ValueError, match="cell 1: got no figure"):
        first_figure.execute(notebook(code("1", PNG)), tmp_path)  # a stored figure that the cell no longer shows


def test_the_table(tmp_path):
    assert first_figure.table(tmp_path) == ""
    rows = [
        first_figure.row(f"book/a/{name}.ipynb", 4, (2.0, 1.5), (cells, 9.0))
        for name, cells in (("slow", 28.1), ("quick", 28.0))
    ]
    record = {"command": "c", "commit": "d", "machine": "m", "versions": {"python": "3"}, "rows": rows}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "first_figure.json").write_text(json.dumps(record))
    page = first_figure.table(tmp_path)
    assert "Over it: book/a/slow.ipynb.\n" in page and "\n| a/quick | 2.0 | 28.0 | 30.0 | 10.5 |\n" in page
    record["rows"] = rows[1:]
    (tmp_path / "results" / "first_figure.json").write_text(json.dumps(record))
    assert "Over it: none.\n" in first_figure.table(tmp_path)
