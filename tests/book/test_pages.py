"""Every built page in a real browser; and pages broken on purpose, which the same checks reject."""

import re
import time
from contextlib import contextmanager

import pytest

import claims
import page_checks as checks
import repository

HTML = repository.ROOT / "_build" / "html"
# index.html only sends the reader on to the first page; it has a test of its own
PAGES = sorted({str(path.relative_to(HTML)) for path in HTML.rglob("*.html") if "_static" not in path.parts} - {"index.html"})
# The library's source files have pages that are all alike; the largest stands for them
SOURCES = [page for page in PAGES if page.startswith("_modules/m2m/")]
PAGES = sorted({*PAGES} - {*SOURCES} | {*sorted(SOURCES, key=lambda page: (HTML / page).stat().st_size)[-1:]})
TOC = re.findall(r"(?:root|file): (\S+)", (repository.ROOT / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [path.relative_to(repository.ROOT).as_posix() for path in claims.chapters()]
NO_BROWSER = "no Chromium or Chrome on the path, so the pages were not looked at (on Debian: apt-get install chromium)"

pytestmark = pytest.mark.skipif(checks.browser_path() is None, reason=NO_BROWSER)


@pytest.fixture(scope="session")
def browser():
    with checks.browser() as running:
        yield running


@pytest.fixture(scope="session")
def book():
    with checks.served(HTML) as address:
        yield address


def test_book_is_built():
    assert set(PAGES) >= {f"{name}.html" for name in TOC} | {"search.html"}, "run make book"


def test_index_leads_to_the_first_page(browser, book):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{book}/index.html")
    page.wait_for_url(f"{book}/{TOC[0]}.html")
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_page(browser, book, page):
    assert not checks.complaints(checks.visit(browser, f"{book}/{page}"))


@pytest.mark.parametrize("page", PAGES)
def test_page_on_a_phone_in_the_dark(browser, book, page):
    assert not checks.complaints(checks.visit(browser, f"{book}/{page}", checks.PHONE, dark=True))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_colab_links(browser, book, chapter):
    """The link in the text and the launch button, and no other, lead to this chapter at this version."""
    wanted = repository.colab_link(*repository.identity(), chapter)
    with checks.opened(browser, f"{book}/{chapter.replace('.ipynb', '.html')}", patience=0, scripts=False) as (page, _):
        addresses = page.eval_on_selector_all("a[href*='colab.research']", "links => links.map(link => link.href)")
        in_text = page.eval_on_selector_all("article a[href*='colab.research']", "links => links.map(link => link.href)")
    assert in_text == [wanted]
    assert addresses == [wanted, wanted]


@pytest.mark.parametrize("name", TOC)
def test_search_finds_the_page(browser, book, name):
    """By its own title; with scripts this takes a while, so the result is waited for."""
    title = (HTML / f"{name}.html").read_text(encoding="utf-8").split("<title>")[1].split("—")[0].strip()
    with checks.opened(browser, f"{book}/search.html?q={title.replace(' ', '+')}", patience=0) as (page, _):
        page.wait_for_selector("#search-results li a", timeout=10_000)
        found = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href.split(/[?#]/)[0])")
    assert f"{book}/{name}.html" in found


@pytest.mark.parametrize("position", range(len(TOC)))
def test_the_way_on_and_back_and_past_the_menus(browser, book, position):
    """Previous and next; and the first tab leads to the text."""
    with checks.opened(browser, f"{book}/{TOC[position]}.html", patience=0, scripts=False) as (page, _):
        for selector, there in (("a.left-prev", position - 1), ("a.right-next", position + 1)):
            links = page.eval_on_selector_all(selector, "links => links.map(link => link.href.split('#')[0])")
            assert links == ([f"{book}/{TOC[there]}.html"] if 0 <= there < len(TOC) else [])
        page.keyboard.press("Tab")
        text, target = page.evaluate("[document.activeElement.textContent.trim(), document.activeElement.hash]")
        assert text == "Skip to main content"
        assert page.query_selector(target), "the link leads nowhere"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_solutions_open_and_code_is_copied_with_the_keyboard(browser, book, chapter):
    with checks.opened(browser, f"{book}/{chapter.replace('.ipynb', '.html')}", patience=0) as (page, _):
        summary = page.locator("article details summary", has_text="Solution").first
        summary.focus()
        page.keyboard.press("Enter")
        assert summary.evaluate("summary => summary.parentElement.open")
        button = page.locator(".cell_input button.copybtn").first
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".cell_input button.copybtn.success")


# One chapter of each part: what fingers and keys do to a figure is the same script in all.

SAMPLE = ["flows/change_of_variables", "messages/egnn", "tensors/spherical_tensors", "clouds/cloud_distances"]
CAMERA = "figure => { const {eye} = figure._fullLayout.scene._scene.getCamera(); return [eye.x, eye.y, eye.z]; }"


def scene(page):
    return page.locator(".plotly-figure:has(.gl-container canvas)").first


def flat(page):
    return page.locator(".plotly-figure:not(:has(.gl-container canvas))").first


def drag(page, figure, by):
    """One finger on the middle of the figure, moved by so many pixels."""
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    send = lambda kind, *points: touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})
    send("touchStart", {"x": x, "y": y})
    for step in range(1, 9):
        send("touchMove", {"x": x + by[0] * step / 8, "y": y + by[1] * step / 8})
    send("touchEnd")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("name", SAMPLE)
def test_figures_answer_to_fingers(browser, book, name):
    """A scene turns under a finger; over a flat figure a finger scrolls the page."""
    with checks.opened(browser, f"{book}/book/{name}.html", checks.PHONE) as (page, _):
        before = scene(page).evaluate(CAMERA)
        drag(page, scene(page), (80, 0))
        assert scene(page).evaluate(CAMERA) != before
        flat(page).scroll_into_view_if_needed()
        top = page.evaluate("scrollY")
        drag(page, flat(page), (0, -150))
        assert page.evaluate("scrollY") > top + 50


@pytest.mark.parametrize("name", SAMPLE)
def test_figures_answer_to_keys(browser, book, name):
    """The arrows move a slider, which says its value, and turn a scene (with Shift where there is a slider too)."""
    with checks.opened(browser, f"{book}/book/{name}.html") as (page, _):
        slider = page.locator(".plotly-figure[role=slider]").first
        start = int(slider.get_attribute("aria-valuenow"))
        step = "ArrowRight" if start == 0 else "ArrowLeft"
        slider.press(step)
        there = start + (1 if start == 0 else -1)
        page.wait_for_function("([f, n]) => f.getAttribute('aria-valuenow') == n", arg=[slider.element_handle(), str(there)])
        assert slider.evaluate("f => f._fullLayout.sliders[0].active") == there
        assert slider.get_attribute("aria-valuetext") == slider.evaluate(f"f => f.layout.sliders[0].steps[{there}].label")
        before = scene(page).evaluate(CAMERA)
        scene(page).press("Shift+ArrowLeft" if scene(page).get_attribute("role") == "slider" else "ArrowLeft")
        page.wait_for_timeout(300)
        assert scene(page).evaluate(CAMERA) != before


MOST_SCENES = "clouds/vae_variants"  # 16, as many WebGL contexts as a browser gives to a page; a phone gives 8
LOST = r"""figure => Object.keys(figure._fullLayout).filter(name => /^scene\d*$/.test(name))
  .some(name => figure._fullLayout[name]._scene.glplot?.gl.isContextLost() ?? true)"""


@contextmanager
def on_a_phone(browser, book, script=""):
    """The figures with scenes in a browser that keeps as few contexts as one on a phone."""
    flags = [*checks.FLAGS, "--max-active-webgl-contexts=8"]
    phone = browser.browser_type.launch(executable_path=checks.browser_path(), args=flags)
    page = phone.new_page(viewport=dict(zip(("width", "height"), checks.PHONE)))
    page.add_init_script(script)
    page.goto(f"{book}/book/{MOST_SCENES}.html", wait_until="load", timeout=120_000)
    page.evaluate(checks.SETTLE, 15_000)
    yield page.locator(".plotly-figure:has(.gl-container canvas)").all()
    phone.close()


def comes_back(figure):
    figure.scroll_into_view_if_needed()
    end = time.monotonic() + 5
    while figure.evaluate(LOST) and time.monotonic() < end:
        time.sleep(0.1)
    return not figure.evaluate(LOST)


def test_figures_come_back_on_a_phone(browser, book):
    with on_a_phone(browser, book) as figures:
        assert any(figure.evaluate(LOST) for figure in figures)
        assert all(map(comes_back, figures)) and comes_back(figures[0])


def test_a_figure_that_does_not_come_back_is_found(browser, book):
    with on_a_phone(browser, book, "IntersectionObserver.prototype.observe = () => {}") as figures:
        assert not comes_back(figures[0])


@pytest.mark.parametrize("name", SAMPLE)
def test_on_paper(browser, book, name):
    """Printed from a dark screen: dark text, no menus, nothing beyond the edge of the sheet."""
    with checks.opened(browser, f"{book}/book/{name}.html", (700, 1000), dark=True) as (page, _):
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert checks.contrast(page.evaluate("getComputedStyle(document.querySelector('article')).color"), "rgb(255, 255, 255)") > 7
        assert not page.locator(".bd-sidebar-primary, .bd-header-article, .prev-next-footer").filter(visible=True).count()
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        cut = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.slice(0, 60))"
        assert page.eval_on_selector_all("article pre", cut) == []


# Controls

GOOD = """<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">
<title>t</title><link rel="icon" href="data:,"></head>
<body style="background: rgb(255, 255, 255)"><article style="color: rgb(0, 0, 0)">Text. {}</article></body></html>"""
JUMP = "document.body.style.paddingTop = '500px'"
BROKEN = {
    "picture from elsewhere": ('<img src="https://example.org/badge.svg" alt="">', "asks for https://example.org/badge.svg"),
    "script from elsewhere": ('<script src="https://cdn.example.org/x.js"></script>', "asks for https://cdn"),
    "console error": ("<script>console.error('a mistake')</script>", "console: a mistake"),
    "exception": ("<script>undefined_function()</script>", "console: undefined_function"),
    "missing file": ('<script src="missing.js"></script>', "does not get 404"),
    "missing picture": ('<img src="missing.png" alt="">', "no picture at"),
    "figure not drawn": ('<div class="plotly-figure" id="empty"></div>', "figure empty is not drawn"),
    "picture without words": ('<div class="cell_output"><img src="data:," alt="_images/1.png"></div>', "picture data:, says nothing"),
    "picture with a formula": (r'<div class="cell_output"><img src="data:," alt="as $h^2$ says"></div>', "picture data:, says nothing"),
    "figure without a name": ('<div class="plotly-figure" id="nameless"></div>', "figure nameless says nothing"),
    "button without a name": ("<button></button>", "axe: button-name (critical)"),
    "pale text": ('<p style="color: #bbb">hardly there</p>', "axe: color-contrast (serious)"),
    "jump": (f"{'<p>moves</p>' * 20}<script>addEventListener('load', () => setTimeout(() => {JUMP}, 50))</script>", "jumps by 0."),
    "figure without words": ('<div class="plotly-figure" id="mute" aria-label=" "></div>', "figure mute says nothing"),
    "formula not typeset": (r'<span class="math">x</span>', "0 of 1 formulas typeset"),
    "raw formula": (r"an integral \(\int p\) and $$x$$", "raw formula"),
    "formula with an error": ('<span class="math"><mjx-container><mjx-merror>?</mjx-merror></mjx-container></span>', "formula with an error"),
    "too wide": ('<div style="width: 2000px">wide</div>', "scrolls sideways"),
    "illegible": ("<style>article { color: rgb(200, 200, 200) !important }</style>", "text rgb(200, 200, 200)"),
    "too heavy": (f"<p hidden>{'x' * checks.LARGEST_FIRST_VIEW}</p>", "first view of 1.50 MB"),
}


def looked_at(browser, folder, body, **options):
    (folder / "page.html").write_text(GOOD.replace("{}", body), encoding="utf-8")
    with checks.served(folder) as address:
        return checks.complaints(checks.visit(browser, f"{address}/page.html", patience=300, **options))


def test_good_page_passes(browser, tmp_path):
    assert not looked_at(browser, tmp_path, "")


@pytest.mark.parametrize("what", BROKEN)
def test_broken_page_is_rejected(browser, tmp_path, what):
    body, complaint = BROKEN[what]
    assert any(text.startswith(complaint) for text in looked_at(browser, tmp_path, body))


def test_light_ground_in_dark_mode_is_rejected(browser, tmp_path):
    assert any("dark mode" in text for text in looked_at(browser, tmp_path, "", dark=True))
