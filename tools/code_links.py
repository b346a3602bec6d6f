"""Sphinx extension: the library's names in a chapter's code lead to the reference, and the reference says who uses them.

A name is followed from the cell's import, `from m2m.flows import flow`, to where it is used, `flow.maf(...)`. Names that a
chapter assigns to are its own from then on, and are left alone. The code is read, not run: this costs milliseconds.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

LANGUAGES = ("ipython3", "python")
BLOCK = re.compile(r'<div class="highlight-(?:ipython3|python) notranslate">.*?</pre>', re.DOTALL)
CHAIN = re.compile(r'<span class="n">\w+</span>(?:<span class="o">\.</span><span class="n">\w+</span>)*(?!<span class="o">=)')
TAG = re.compile(r"<[^>]+>")


def trees(doctree: nodes.document) -> list[ast.Module]:
    """The page's code, cell by cell, without what is IPython's and without cells that are no Python."""
    found = []
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") in LANGUAGES:
            try:
                found.append(ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", block.astext(), flags=re.MULTILINE)))
            except SyntaxError:
                continue
    return found


def imports(code: list[ast.Module]) -> dict[str, str]:
    """What the names that come from the library stand for: {"flow": "m2m.flows.flow"}."""
    found, own = {}, set()
    for node in (node for tree in code for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "m2m":
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.asname: name.name for name in node.names if name.asname and name.name.startswith("m2m.")}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
    return {name: target for name, target in found.items() if name not in own}


def uses(code: list[ast.Module], imported: dict[str, str]) -> set[str]:
    """The dotted names of the library that the code mentions."""
    chains = (ast.unparse(node) for tree in code for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Name)))
    return {target for chain in chains if (target := _target(chain, imported))}


def _target(chain: str, imported: dict[str, str]) -> str | None:
    first, *rest = chain.split(".")
    return ".".join([imported[first], *rest]) if first in imported else None


def linked(body: str, imported: dict[str, str], address: dict[str, str]) -> str:
    """The page's HTML, with a link around each name in its code of which the reference has an address."""

    def link(chain: re.Match) -> str:
        parts = TAG.sub("", chain[0]).split(".")
        for end in range(len(parts), 0, -1):
            target = _target(".".join(parts[:end]), imported)
            if target in address:
                spans = chain[0].split('<span class="o">.</span>')
                inside, after = '<span class="o">.</span>'.join(spans[:end]), spans[end:]
                start = f'<a class="to-reference" href="{html.escape(address[target])}" title="{target}">{inside}</a>'
                return '<span class="o">.</span>'.join([start, *after])
        return chain[0]

    return BLOCK.sub(lambda block: CHAIN.sub(link, block[0]), body)


# --- In Sphinx ------------------------------------------------------------------------------------------------------------


def read(app: Sphinx, doctree: nodes.document) -> None:
    """Note what a chapter imports from the library and uses of it."""
    code = trees(doctree)
    if imported := imports(code):
        _noted(app.env)[app.env.docname] = imported, uses(code, imported)


def _noted(env: BuildEnvironment) -> dict[str, tuple[dict[str, str], set[str]]]:
    if not hasattr(env, "library_uses"):
        env.library_uses = {}
    return env.library_uses


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _noted(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    _noted(env).update(_noted(other))


def link_code(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Put the links into a chapter's page."""
    if pagename in _noted(app.env):
        objects = app.env.get_domain("py").objects
        address = {
            name: f"{app.builder.get_relative_uri(pagename, entry.docname)}#{entry.node_id}"
            for name, entry in objects.items()
        }
        context["body"] = linked(context["body"], _noted(app.env)[pagename][0], address)


def say_who_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Below a name of the reference, the chapters that use it."""
    order = list(app.env.collect_relations())  # that of the table of contents
    noted = sorted(_noted(app.env).items(), key=lambda item: order.index(item[0]))
    for entry in doctree.findall(addnodes.desc):
        names = next((signature["ids"] for signature in entry.findall(addnodes.desc_signature)), [])
        if chapters := [chapter for chapter, (_, used) in noted if used.intersection(names)]:
            content, links = entry[-1], list(_links(app, docname, chapters))
            members = content.first_child_matching_class((addnodes.index, addnodes.desc))
            place = len(content) if members is None else members
            content.insert(place, nodes.paragraph("", "Used in ", *links, classes=["used-in"]))


def _links(app: Sphinx, docname: str, chapters: list[str]) -> Iterator[nodes.Node]:
    for position, chapter in enumerate(chapters):
        if position:
            yield nodes.Text(", ")
        yield make_refnode(app.builder, docname, chapter, "", nodes.Text(app.env.titles[chapter].astext()))


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", read)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("doctree-resolved", say_who_uses)
    app.connect("html-page-context", link_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
