"""The map of the book: a figure whose nodes are links, drawn at build time from the lines of a `book-map` directive.

Each line is a chapter and, after a colon, what it builds on. Titles come from the chapters, columns from their folders.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROMAN = {"flows": "I", "messages": "II", "tensors": "III", "clouds": "IV"}
WIDE, NARROW = [("flows",), ("clouds",), ("messages",), ("tensors",)], [tuple(ROMAN)]  # columns, each of one or more parts
LINE, GAP, HEADING = 15, 16, 34  # heights of a line of text, between boxes, of a part's heading: pixels at full width


@dataclass
class Box:
    """A chapter's place in the figure."""

    name: str
    title: str
    needs: list[str]
    column: int = 0
    left: float = 0
    top: float = 0
    width: float = 0
    height: float = 0
    lines: list[str] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


def parse(lines: list[str]) -> dict[str, list[str]]:
    """Chapter -> the chapters that it builds on.

    Raises:
        ValueError: a chapter builds on one that does not stand above it.
    """
    chapters: dict[str, list[str]] = {}
    for line in filter(str.strip, lines):
        name, _, needs = line.partition(":")
        wanted = [need.strip() for need in needs.split(",") if need.strip()]
        if missing := [need for need in wanted if need not in chapters]:
            raise ValueError(f"book-map: {name.strip()} builds on {missing}, expected chapters of the lines above it")
        chapters[name.strip()] = wanted
    return chapters


def place(chapters: dict, titles: dict, columns: list, width: float, height: float) -> tuple[list[Box], list]:
    """Boxes from top to bottom in columns, and the headings of the parts: (text, left, baseline)."""
    boxes, headings = [], []
    for column, parts in enumerate(columns):
        left, top = column * (width + 34) + 2, 0.0
        for part in parts:
            headings.append((f"Part {ROMAN[part]}. {part.capitalize()}", left, top + 20))
            top += HEADING
            for name in (name for name in chapters if name.startswith(part)):
                short = titles[name].split(":")[0]
                lines = textwrap.wrap(short, int(width / 7.2))
                boxes.append(Box(name, short, chapters[name], column, left, top, width, height, lines))
                top += height + GAP
    return boxes, headings


def edge(source: Box, target: Box) -> str:
    """The path of an arrow: down to the next box, around the right of boxes between, or across to another column."""
    if source.column != target.column:
        x, y, to_x, to_y = source.left + source.width, source.middle, target.left - 5, target.middle
        bend = (to_x - x) / 2
        return f"M{x:g},{y:g} C{x + bend:g},{y:g} {to_x - bend:g},{to_y:g} {to_x:g},{to_y:g}"
    rows = (target.top - source.top) / (source.height + GAP)
    if rows < 1.2:
        x = source.left + 24
        return f"M{x:g},{source.top + source.height:g} V{target.top - 5:g}"
    x, y, to_y, reach = source.left + source.width, source.middle + 10, target.middle - 10, 14 + 5 * rows
    return f"M{x:g},{y:g} C{x + reach:g},{y + 14:g} {x + reach:g},{to_y - 14:g} {x + 5:g},{to_y:g}"


def node(box: Box, boxes: dict[str, Box], address: str, arrow: str) -> str:
    """A chapter with the arrows that end in it: pointing at it, or reaching it by keyboard, lights them up."""
    needs = [boxes[name] for name in box.needs]
    label = box.title + (f", builds on {' and '.join(need.title for need in needs)}" if needs else "")
    first = box.middle - (len(box.lines) - 1) * LINE / 2 + 4.5
    text = "".join(
        f'<tspan x="{box.left + 11:g}" y="{first + i * LINE:g}">{escape(line)}</tspan>' for i, line in enumerate(box.lines)
    )
    paths = "".join(f'<path d="{edge(need, box)}" marker-end="url(#{arrow})"/>' for need in needs)
    rectangle = f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
    return f'<g>{paths}<a href="{escape(address)}" aria-label="{escape(label)}">{rectangle}<text>{text}</text></a></g>'


def drawing(chapters: dict, titles: dict, address, name: str, columns: list, width: float, height: float) -> str:
    """One SVG of the map, as wide as its columns."""
    boxes, headings = place(chapters, titles, columns, width, height)
    right = max(box.left + box.width for box in boxes) + (78 if len(columns) == 1 else 30)
    bottom = max(box.top for box in boxes) + height + 4
    arrow, known, order = f"arrow-{name}", {box.name: box for box in boxes}, list(chapters)
    head = f'class="book-map {name}" viewBox="0 0 {right:g} {bottom:g}" style="max-width:{right:g}px" role="group"'
    tip = 'viewBox="0 0 8 8" refX="3" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"'
    parts = [f'<svg {head} aria-label="Chapters and what they build on">']
    parts += [f'<defs><marker id="{arrow}" {tip}><path d="M0,0 L8,4 L0,8 z"/></marker></defs>']
    parts += [f'<text class="part" x="{x:g}" y="{y:g}">{escape(text)}</text>' for text, x, y in headings]
    for box in sorted(boxes, key=lambda box: order.index(box.name)):
        parts.append(node(box, known, address(box.name), arrow))
    return "\n".join([*parts, "</svg>"])


class Map(nodes.General, nodes.Element):
    """Where the map stands in a page."""


class MapDirective(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        return [Map(chapters=parse(list(self.content)))]


def visit(writer, element: Map) -> None:
    environment, here = writer.builder.env, writer.builder.current_docname
    folder = here.rpartition("/")[0]
    if missing := [name for name in element["chapters"] if f"{folder}/{name}" not in environment.titles]:
        raise ExtensionError(f"book-map: no page for {missing}")
    titles = {name: environment.titles[f"{folder}/{name}"].astext() for name in element["chapters"]}
    address = lambda name: writer.builder.get_relative_uri(here, f"{folder}/{name}")
    draw = lambda *settings: drawing(element["chapters"], titles, address, *settings)
    drawings = f'{draw("wide", WIDE, 148, 52)}\n{draw("narrow", NARROW, 258, 40)}'
    writer.body.append(f'<nav aria-label="Map of the book">\n{drawings}\n</nav>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_directive("book-map", MapDirective)
    app.add_node(Map, html=(visit, None))
