"""Sphinx extension of the book: Plotly from the installed package, on the pages that draw with it."""

from __future__ import annotations

from pathlib import Path

import plotly
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


def copy_plotly(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        copy_asset(PLOTLY, Path(app.outdir) / "_static")


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", add_scripts)
    app.connect("html-page-context", remove_thebe, priority=900)
    app.connect("build-finished", copy_plotly)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
