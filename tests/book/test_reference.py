"""Every public name of the library has a docstring and an entry in the reference; chapters lead to entries and back."""

import ast
import re
from pathlib import Path

import pytest
from docutils import nodes

import code_links
import reference_extension as reference
import repository

HTML = repository.ROOT / "_build" / "html"
TOC = (repository.ROOT / "_toc.yml").read_text(encoding="utf-8")


def public(module: str, package: Path = reference.PACKAGE) -> list[ast.FunctionDef | ast.ClassDef]:
    """The functions and classes that a module defines and shows, by `__all__` if it has one; read without importing it."""
    path = package.parent / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    lists = [node for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    shown = [ast.literal_eval(node.value) for node in lists]
    defined = [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")]
    return [node for node in defined if not shown or node.name in shown[0]]


def without_docstring(package: Path = reference.PACKAGE) -> list[str]:
    found = [(module, node) for room in reference.rooms(package) for module in reference.modules(room, package)
             for node in public(module, package)]  # fmt: skip
    return [f"{module}.{node.name}" for module, node in found if not (ast.get_docstring(node) or "").strip()]


def not_on_page(room: str, page: str, package: Path = reference.PACKAGE) -> list[str]:
    """Public names of a room that have no entry on its page."""
    names = [f"{module}.{node.name}" for module in reference.modules(room, package) for node in public(module, package)]
    return [name for name in names if f'id="{name}"' not in page]


def test_every_public_name_has_a_docstring():
    assert not without_docstring()


@pytest.mark.parametrize("room", reference.rooms())
def test_every_public_name_is_on_its_rooms_page(room):
    assert f"book/library/{room}\n" in TOC + "\n"
    page = (HTML / "book" / "library" / f"{room}.html").read_text(encoding="utf-8")
    assert not not_on_page(room, page)
    assert not re.findall(r'class="(?:problematic|system-message)"|PosixPath\(', page)  # bad markup, paths of a machine


def test_pages_hold_no_list_of_names():
    """What is on a page comes from the docstrings: the file is a title, and a few sentences at most."""
    for path in (repository.ROOT / "book" / "library").glob("*.md"):
        assert path.stem in reference.rooms(), f"{path.name} belongs to no room"
        assert len(path.read_text(encoding="utf-8").splitlines()) < 10


def test_links_of_a_chapter_lead_to_entries():
    """Of a chapter's built page, each link to the reference finds its entry; and the entry names the chapter."""
    chapter = HTML / "book" / "flows" / "change_of_variables.html"
    links = re.findall(r'class="to-reference" href="([^"#]+)#([^"]+)"', chapter.read_text(encoding="utf-8"))
    pages = {page: (chapter.parent / page).read_text(encoding="utf-8") for page, _ in links}
    assert {"m2m.flows.flow.maf", "m2m.checks.claim"} <= {name for _, name in links}
    assert not [name for page, name in links if f'id="{name}"' not in pages[page]]
    entry = pages["../library/flows.html"].split('id="m2m.flows.flow.maf"')[1].split("<dt")[0]
    assert '"../flows/change_of_variables.html"' in entry


# Docstrings are plain text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("max|a| of *all* x_ (N, 3)", r"max\|a\| of \*all\* x\_ (N, 3)"),
        ("as `a|b` is", r"as \ ``a|b``\  is"),
        ("the shift $\\mu_i$ of z", "the shift \\ :math:`\\mu_i`\\  of z"),
        ("Text.\n\n    y = 2 * x", "Text.\n\n::\n\n    y = 2 * x"),
        (">>> 2 * x_", ">>> 2 * x_"),
        ("$$ a_1 = |A|, $$", ".. math:: a_1 = |A|,"),
        ("Args:\n    x_: points |x|.\n        More *.", "Args:\n    x_: points \\|x\\|.\n        More \\*."),
        ("Args:\n    size: D.", "Args:\n    size: \\D."),
        ("Raises:\n    ValueError: |x| is 0.", "Raises:\n    ValueError: \\|x\\| is 0."),
    ],
)
def test_docstring_is_shown_as_it_is_meant(text, shown):
    lines = text.split("\n")
    reference.to_rst(None, "function", "f", None, None, lines)
    assert "\n".join(lines) == shown + "\n"


# Names in a chapter's code

CELLS = """\
from m2m.flows import bijectors, flow as flows
from m2m.flows.flow import maf
import m2m.data.moons as moons
%time
model = maf(2)
flows.realnvp(2, maf=3)
bijectors = 4
""".split("\n%time\n")


def parsed(*cells: str) -> list[ast.Module]:
    document = nodes.Element()
    document += [nodes.literal_block("", cell, language="ipython3") for cell in cells]
    return code_links.trees(document)


def test_names_are_followed_from_their_imports():
    imported = code_links.imports(parsed(*CELLS))
    assert imported == {"flows": "m2m.flows.flow", "maf": "m2m.flows.flow.maf", "moons": "m2m.data.moons"}
    assert code_links.uses(parsed(*CELLS), imported) == {"m2m.flows.flow", "m2m.flows.flow.maf", "m2m.flows.flow.realnvp"}


def test_cells_that_are_no_python_are_left_out():
    assert len(parsed("!pip install m2m\nx = 1", "this is no Python")) == 1


def test_only_known_names_are_linked():
    name, dot = '<span class="n">{}</span>'.format, '<span class="o">.</span>'
    used, other = dot.join(map(name, ("flows", "maf", "x"))), dot.join(map(name, ("flows", "f")))
    code = f'{used} {name("maf")}<span class="o">=</span> {other}'
    page = f'<p>{name("maf")}</p><div class="highlight-ipython3 notranslate"><pre>{code}</pre>'
    imported = {"flows": "m2m.flows.flow", "maf": "m2m.flows.flow.maf"}
    found = code_links.linked(page, imported, {"m2m.flows.flow.maf": "../library/flows.html#m2m.flows.flow.maf"})
    assert found.count("<a ") == 1
    assert f"{name('flows')}{dot}{name('maf')}</a>{dot}{name('x')}" in found


# Controls


def test_library_with_gaps_is_rejected(tmp_path):
    package = tmp_path / "m2m"
    (package / "room").mkdir(parents=True)
    (package / "room" / "__init__.py").write_text('"""A room."""\n')
    things = package / "room" / "things.py"
    things.write_text('def told():\n    """Says."""\n\ndef bare():\n    0\n\ndef _own():\n    0\n')
    assert reference.modules("room", package) == ["m2m.room", "m2m.room.things"]
    assert without_docstring(package) == ["m2m.room.things.bare"]
    assert not_on_page("room", '<dt id="m2m.room.things.bare">', package) == ["m2m.room.things.told"]
