"""What the Sphinx extension makes of pictures: their size in the page, alternative texts in words."""

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
