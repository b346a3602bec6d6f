"""Sphinx extension of the book: Plotly from the installed package, no live cells from a CDN, numbered formulas, its map,
pictures that take their place before they are loaded and say what they show in words, and lists that are lists to a voice."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import book_map
import plotly
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SIGNATURE_LINES = re.compile(r"<dl>\n((?:<dd>(?:(?!</?d[lt]).)*?</dd>\n)+)</dl>", re.DOTALL)  # a definition list without a term


def add_scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Load Plotly where the page has a figure of m2m.plotting: it is 4.5 MB, and reference pages have none.

    Deferred scripts run before DOMContentLoaded, which the figures wait for.
    """
    if "plotly-figure" in context.get("body", ""):
        app.add_js_file("plotly.min.js", defer="defer")
    app.add_js_file(None, body='document.documentElement.classList.add("typesetting")')  # before anything is drawn; book.js ends it
    app.add_js_file("book.js", defer="defer")  # after Plotly, which it extends


def finish_pictures(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Width and height, so that nothing moves when a picture arrives, and formulas in alternative texts as words."""
    sources = {name: Path(app.srcdir, path) for path, name in getattr(app.builder, "images", {}).items()}

    def finished(tag: re.Match) -> str:
        source = sources.get(tag["name"])
        size = 'width="{}" height="{}" '.format(*png_size(source)) if source and source.suffix == ".png" else ""
        return size.join(("<img ", re.sub(r'alt="([^"]*)"', lambda alt: f'alt="{spoken(alt[1])}"', tag[0][5:])))

    if "body" in context:
        context["body"] = re.sub(r'<img [^>]*src="[^"]*_images/(?P<name>[^"]+)"[^>]*>', finished, context["body"])


def png_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        return struct.unpack(">II", file.read(24)[16:])


def spoken(text: str) -> str:
    """The text with its formulas as a voice can read them: x_1 as x 1, h^2 as h squared, Greek letters by name."""

    def words(formula: re.Match) -> str:
        said = re.sub(r"\\mathbb\{(\w)\}", r"\1", formula[1])
        said = re.sub(r"\^\{?2\}?(?!\w)", " squared", said)
        said = re.sub(r"\^\{?([^{}\s]+)\}?", r" to the power \1", said)
        return re.sub(r"_\{?(\w+)\}?", r" \1", said).replace("\\", "")

    return re.sub(r"\$([^$]+)\$", words, text)


def mend_lists(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Sphinx writes three kinds of lists that are none to a screen reader."""
    if "body" not in context:
        return
    divided = lambda lines: f'<div class="sig-lines">\n{lines[1].replace("dd>", "div>")}</div>'
    body = SIGNATURE_LINES.sub(divided, context["body"])
    if 'class="citation-list"' in body:
        body = body.replace('role="doc-biblioentry"', 'role="listitem"')  # the items that a list must have
    if pagename == "_modules/index":  # a list within a list, not within its item; the names are whole, so one list will do
        body = body.replace("<ul>", "").replace("</ul>", "").replace("<li>", "<ul><li>", 1) + "</ul>"
    context["body"] = body


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
    app.connect("html-page-context", finish_pictures)
    app.connect("html-page-context", mend_lists)
    app.connect("html-page-context", remove_thebe, priority=900)
    app.connect("doctree-resolved", keep_tags)
    app.connect("build-finished", copy_plotly)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
