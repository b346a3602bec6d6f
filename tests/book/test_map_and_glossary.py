"""The map of the first page holds every chapter in order, the glossary's links land where the term is introduced."""

import re
from pathlib import Path

import pytest

import book_map
import claims
import notebook_rules as rules
import repository

BOOK, HTML = repository.ROOT / "book", repository.ROOT / "_build" / "html" / "book"
TOC = [path.relative_to(BOOK).with_suffix("").as_posix() for path in claims.chapters()]
LINK = re.compile(r"\]\((\S+)\.ipynb#(\S+)\)")
BUILT = re.compile(r'<a class="reference internal" href="([^"#]+)#([^"]+)"')

# The map


def chapters(text: str) -> dict[str, list[str]]:
    return book_map.parse(re.search(r"```\{book-map\}\n(.*?)```", text, re.DOTALL)[1].splitlines())


def test_map_has_every_chapter_in_the_order_of_the_book():
    assert list(chapters((BOOK / "intro.md").read_text(encoding="utf-8"))) == TOC


def test_each_drawing_links_every_chapter():
    drawings = re.findall(r"<svg class=\"book-map.*?</svg>", (HTML / "intro.html").read_text(encoding="utf-8"), re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        links = re.findall(r'<a href="([^"]+)\.html" aria-label="[^"]+">', drawing)
        assert links == TOC
        assert all((HTML / f"{link}.html").is_file() for link in links)


def test_arrows_are_as_many_as_prerequisites():
    source = {"flows/a": [], "flows/b": ["flows/a"], "clouds/c": ["flows/a", "flows/b"]}
    titles = {name: f"Chapter {name[-1]}: with a long subtitle" for name in source}
    drawing = book_map.drawing(source, titles, lambda name: f"{name}.html", "wide", book_map.WIDE, 164, 52)
    assert drawing.count("marker-end") == 3 and "subtitle" not in drawing
    assert 'aria-label="Chapter c, builds on Chapter a and Chapter b"' in drawing


@pytest.mark.parametrize("lines", [["flows/a: flows/b", "flows/b:"], ["flows/a: flows/a"], ["flows/a: nothing/here"]])
def test_a_chapter_cannot_build_on_a_later_one(lines):
    with pytest.raises(ValueError, match="builds on"):
        book_map.parse(lines)


# The glossary


def entries(text: str) -> dict[str, str]:
    """Term -> its definition."""
    body = re.search(r"```\{glossary\}\n(.*?)```", text, re.DOTALL)[1]
    return {head: rest.replace("\n ", "") for head, rest in re.findall(r"^(\S.*)\n((?:  .*\n?)+)", body, re.MULTILINE)}


def stems(term: str) -> list[str]:
    """What to look for in the section: the first six letters of each word of the term, so that forms of it count."""
    return [word[:6].lower() for word in re.findall(r"[\w()-]{2,}", re.sub(r" \(of .*", "", term))]


def section(chapter: str, anchor: str) -> str:
    """The text of the section with this anchor, up to the next heading; empty if there is none."""
    text = "\n\n".join(rules.text_cells(rules.read(BOOK / f"{chapter}.ipynb")))
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]:
        if slug(part.splitlines()[0]) == anchor:
            return part
    return ""


def slug(heading: str) -> str:
    """The anchor that MyST gives a heading: its words, without formulas."""
    words = re.sub(r"\$[^$]*\$", "", heading).lstrip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def misses(definition: str, term: str) -> list[str]:
    """Links of an entry to a section that is not there, or in which the term does not occur."""
    found = LINK.findall(definition)
    wrong = [] if found else [f"{term}: no link to a chapter"]
    for chapter, anchor in found:
        if not (text := section(chapter, anchor).lower()):
            wrong.append(f"{term}: no section {chapter}#{anchor}")
        elif not any(stem in text for stem in stems(term)):
            wrong.append(f"{term}: not in the section {chapter}#{anchor}")
    return wrong


def stray(page: Path) -> list[str]:
    """Links of a built page that go to a place of another page which is not there."""
    links = BUILT.findall(page.read_text(encoding="utf-8"))
    there = {name: page.parent / name for name, _ in links}
    there = {name: path.read_text(encoding="utf-8") for name, path in there.items() if path.is_file()}
    ids = {name: set(re.findall(r'id="([^"]+)"', text)) for name, text in there.items()}
    return [f"{name}#{anchor}" for name, anchor in links if anchor not in ids.get(name, ())]


GLOSSARY = entries((BOOK / "glossary.md").read_text(encoding="utf-8"))


def test_glossary_is_sorted_and_reaches_every_part():
    order = [re.sub(r" \(.*\)|[^a-z0-9 ]", "", term.lower()) for term in GLOSSARY]
    assert order == sorted(order)
    reached = {chapter for definition in GLOSSARY.values() for chapter, _ in LINK.findall(definition)}
    assert {chapter.split("/")[0] for chapter in reached} == {path.parent.name for path in claims.chapters()}


@pytest.mark.parametrize("term", GLOSSARY)
def test_term_is_introduced_where_its_link_lands(term):
    assert misses(GLOSSARY[term], term) == []


@pytest.mark.parametrize("definition, complaint", {
    "A word.": "no link",
    "[two moons](flows/two_moons.ipynb#no-such-section)": "no section",
    "[two moons](flows/two_moons.ipynb#training)": "not in the section",
}.items())  # fmt: skip
def test_a_link_that_misses_is_found(definition, complaint):
    (found,) = misses(definition, "Sinkhorn's algorithm")
    assert complaint in found


@pytest.mark.parametrize("name", ["glossary", "where_next"])
def test_built_links_land(name):
    text = (BOOK / f"{name}.md").read_text(encoding="utf-8")
    page = HTML / f"{name}.html"
    assert stray(page) == []
    built = BUILT.findall(page.read_text(encoding="utf-8"))
    assert len(built) >= len(LINK.findall(text)), "a link of the text is none in the page"


def test_a_stray_link_is_found(tmp_path):
    (tmp_path / "there.html").write_text('<section id="here">', encoding="utf-8")
    link = '<a class="reference internal" href="{}">'
    text = "".join(map(link.format, ["there.html#here", "there.html#nowhere", "gone.html#here"]))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    assert stray(tmp_path / "page.html") == ["there.html#nowhere", "gone.html#here"]
