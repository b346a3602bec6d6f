"""Sphinx extension of the book: Plotly from the installed package, no live cells from a CDN, numbered formulas."""

from __future__ import annotations

from pathlib import Path

import book_map
import plotly
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def add_scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Load Plotly where the page has a figure of m2m.plotting: it is 4.5 MB, and reference pages have none.

    Deferred scripts run before DOMContentLoaded, which the figures wait for.
    """
    if "plotly-figure" in context.get("body", ""):
        app.add_js_file("plotly.min.js", defer="defer")


def remove_thebe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Jupyter Book prepares every page for live cells from a CDN; this book's live cells are in Colab."""
    context["script_files"] = [script for script in context["script_files"] if "thebe" not in _content(script)]


def _content(script: object) -> str:
    return f"{script.filename} {script.attributes.get('body', '')}"


def keep_tags(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    r"""Sphinx puts a formula with a line break into a split environment, in which MathJax allows no \tag.

    Formulas with a tag (a matrix in a numbered equation, say) are handed to MathJax as they are written.
    """
    for block in doctree.findall(nodes.math_block):
        if r"\tag" in (text := block.astext()):
            block["nowrap"] = True
            block.children = [nodes.Text(rf"\[{text}\]")]


def copy_plotly(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        copy_asset(PLOTLY, Path(app.outdir) / "_static")


def setup(app: Sphinx) -> dict:
    book_map.setup(app)
    app.connect("html-page-context", add_scripts)
    app.connect("html-page-context", remove_thebe, priority=900)
    app.connect("doctree-resolved", keep_tags)
    app.connect("build-finished", copy_plotly)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
