"""What the Sphinx extension makes of pictures, their size in the page and alternative texts in words, and of lists."""

from types import SimpleNamespace

import PIL.Image
import pytest

import book_extension


@pytest.mark.parametrize("written, said", {
    r"On $\mathbb{R}$ one branch": "On R one branch",
    r"the error falls as $h^2$": "the error falls as h squared",
    r"$x_1$ first, $\lambda$ = 1": "x 1 first, lambda = 1",
    r"falls as $N^{-2/D}$": "falls as N to the power -2/D",
    "It costs $5": "It costs $5",
}.items())  # fmt: skip
def test_formulas_become_words(written, said):
    assert book_extension.spoken(written) == said


def test_pictures_get_their_size_and_words(tmp_path):
    PIL.Image.new("RGB", (30, 20)).save(tmp_path / "plot.png")
    app = SimpleNamespace(srcdir=tmp_path, builder=SimpleNamespace(images={"plot.png": "abc.png"}))
    context = {"body": r'<img alt="as $h^2$" src="../_images/abc.png" /><img alt="$h^2$" src="other.png" />'}
    book_extension.finish_pictures(app, "page", "page.html", context, None)
    assert context["body"] == (
        '<img width="30" height="20" alt="as h squared" src="../_images/abc.png" /><img alt="$h^2$" src="other.png" />'
    )


@pytest.mark.parametrize("name, written, mended", [
    ("library/core", "<dl>\n<dd><em>a</em>,</dd>\n<dd>b,</dd>\n</dl>", '<div class="sig-lines">\n<div><em>a</em>,</div>\n<div>b,</div>\n</div>'),
    ("library/core", "<dl>\n<dt>a</dt>\n<dd>b</dd>\n</dl>", "<dl>\n<dt>a</dt>\n<dd>b</dd>\n</dl>"),  # a list with a term is one
    ("references", '<div role="list" class="citation-list"><p role="doc-biblioentry">', '<div role="list" class="citation-list"><p role="listitem">'),
    ("_modules/index", "<h1>t</h1><ul><li>a</li>\n<ul><li>a.b</li>\n</ul></ul>", "<h1>t</h1><ul><li>a</li>\n<li>a.b</li>\n</ul>"),
    ("elsewhere", "<ul><li>a<ul><li>b</li></ul></li></ul>", "<ul><li>a<ul><li>b</li></ul></li></ul>"),
])  # fmt: skip
def test_lists_are_lists(name, written, mended):
    context = {"body": written}
    book_extension.mend_lists(None, name, "page.html", context, None)
    assert context["body"] == mended


def test_a_page_without_text_gets_none():
    book_extension.mend_lists(None, "search", "search.html", context := {}, None)
    assert context == {}
