"""The map of the first page holds every chapter in order, the glossary's links land where the term is introduced."""

import re

import pytest

import book_map
import claims
import notebook_rules as rules
import repository

BOOK, HTML = repository.ROOT / "book", repository.ROOT / "_build" / "html" / "book"
TOC = re.findall(r"file: book/(\S+/\S+)", (repository.ROOT / "_toc.yml").read_text(encoding="utf-8"))
LINK = re.compile(r"\[[^\]]+\]\((\S+)\.ipynb#(\S+)\)")

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
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def misses(definition: str, term: str) -> list[str]:
    """Links of an entry that do not land, or land where the term does not occur."""
    found = LINK.findall(definition)
    wrong = [] if found else [f"{term}: no link to a chapter"]
    for chapter, anchor in found:
        page = HTML / f"{chapter}.html"
        if not page.is_file() or f'id="{anchor}"' not in page.read_text(encoding="utf-8"):
            wrong.append(f"{term}: no {chapter}#{anchor} in the built book")
        elif not any(stem in section(chapter, anchor).lower() for stem in stems(term)):
            wrong.append(f"{term}: not in the section {chapter}#{anchor}")
    return wrong


GLOSSARY = entries((BOOK / "glossary.md").read_text(encoding="utf-8"))


def test_glossary_is_sorted_and_reaches_every_part():
    order = [re.sub(r"[^a-z0-9 ]", "", term.lower()) for term in GLOSSARY]
    assert order == sorted(order)
    reached = {chapter for definition in GLOSSARY.values() for chapter, _ in LINK.findall(definition)}
    assert {chapter.split("/")[0] for chapter in reached} == {path.parent.name for path in claims.chapters()}


@pytest.mark.parametrize("term", GLOSSARY)
def test_term_is_introduced_where_its_link_lands(term):
    assert misses(GLOSSARY[term], term) == []


@pytest.mark.parametrize("definition, complaint", {
    "A word.": "no link",
    "[two moons](flows/two_moons.ipynb#no-such-section)": "in the built book",
    "[two moons](flows/no_such_page.ipynb#the-bridge)": "in the built book",
    "[two moons](flows/two_moons.ipynb#training)": "not in the section",
}.items())  # fmt: skip
def test_a_link_that_misses_is_found(definition, complaint):
    (found,) = misses(definition, "Sinkhorn's algorithm")
    assert complaint in found
