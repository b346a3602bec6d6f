"""Sphinx extension: the pages book/library/*.md, one a room of the library, written from the docstrings of m2m.

A page is named after its room and holds nothing but a title and a sentence. Its modules and their public names are found
in src/lib/m2m at build time, so that a new function is on a page as soon as it is written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

FOLDER = "book/library/"
PACKAGE = Path(__file__).resolve().parent.parent / "src" / "lib" / "m2m"
OPTIONS = "   :members:\n   :undoc-members:\n   :member-order: bysource\n"
CORE = "core"  # the page of the modules that lie in no room
SPAN = re.compile(r"``.+?``|`[^`]+`|\$[^$]+\$", re.DOTALL)
SECTION = re.compile(r"(?:Args|Attributes|Raises|Returns|Yields):$")
NAMED = re.compile(r"( +[\w*]+(?: \([^)]*\))?:)(.*)", re.DOTALL)


def modules(room: str, package: Path = PACKAGE) -> list[str]:
    """The public modules on the page of a room, its own first; on the page `core` those that lie in no room."""
    folder = package if room == CORE else package / room
    files = folder.glob("*.py") if room == CORE else folder.rglob("*.py")
    names = (path.relative_to(package.parent).with_suffix("").parts for path in files)
    public = (parts for parts in names if not any(part.startswith("_") and part != "__init__" for part in parts))
    return sorted(".".join(part for part in parts if part != "__init__") for parts in public)


def rooms(package: Path = PACKAGE) -> list[str]:
    """The rooms of the library: its folders, and the page of the modules that lie in none."""
    return [CORE] + sorted(path.parent.name for path in package.glob("*/__init__.py"))


def add_modules(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write the modules of its room onto a page of the reference; the room's own docstring stands below the title."""
    if docname.startswith(FOLDER):
        first, *others = modules(docname.removeprefix(FOLDER))
        source[0] += _content(first) + "".join(f"\n## `{module}`\n{_content(module)}" for module in others)


def _content(module: str) -> str:
    return f"\n```{{eval-rst}}\n.. automodule:: {module}\n{OPTIONS}```\n"


# --- Docstrings are plain text with `code` and $formulas$; autodoc reads reStructuredText ---------------------------------


def to_rst(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Change the lines of a docstring so that reStructuredText shows them as they are meant."""
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines).strip("\n"))
    lines[:] = "\n\n".join(map(_paragraph, paragraphs)).split("\n") + [""]


def _paragraph(text: str) -> str:
    """An indented paragraph is a formula or code and is shown as it is, like an example; others are text or sections."""
    if text.startswith(">>>"):
        return text
    if text.startswith("    "):
        return "::\n\n" + text
    if text.startswith("$$") and text.endswith("$$"):
        return ".. math:: " + text.strip("$").strip().replace("\n", "\n   ")
    first, *rest = text.split("\n")
    if SECTION.match(first):
        return "\n".join([first, *map(_entry, rest)])
    return _escaped(text)


def _entry(line: str) -> str:
    """A line below Args, Returns or Raises: the name before the colon is napoleon's to read."""
    if line.startswith("     ") or not (match := NAMED.fullmatch(line)):
        return _escaped(line)
    return match[1] + re.sub(r"^( *)(?=\w+\.(?: |$))", r"\1\\", _escaped(match[2]))  # "D." is no item of a list


def _escaped(text: str) -> str:
    parts, end = [], 0
    for span in SPAN.finditer(text):
        parts += [_plain(text[end : span.start()]), _marked(span[0])]
        end = span.end()
    return "".join(parts) + _plain(text[end:])


def _plain(text: str) -> str:
    return re.sub(r"([\\*|]|_(?!\w))", r"\\\1", text)


def _marked(span: str) -> str:
    r"""`code` as a literal, $formula$ as a formula; the escaped blanks let them stand inside a word."""
    return rf"\ :math:`{span[1:-1]}`\ " if span[0] == "$" else rf"\ ``{span.strip('`')}``\ "


def setup(app: Sphinx) -> dict:
    sys.path.insert(0, str(PACKAGE.parent))  # the library beside these pages, whatever else is installed
    app.connect("source-read", add_modules)
    app.connect("autodoc-process-docstring", to_rst, priority=400)  # before napoleon, which makes fields of the sections
    return {"parallel_read_safe": True, "parallel_write_safe": True}
