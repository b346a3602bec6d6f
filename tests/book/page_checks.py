"""What a built page must be in a real browser. `visit` opens it and looks; `complaints` says what is wrong with what it saw."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

import access_checks

LARGEST_FIRST_VIEW = 1_500_000  # bytes, besides scripts and fonts, which all pages share
LARGEST_SHIFT = 0.1  # of the first view while it loads: share of the window that moves, times how far (Chrome's layout-shift)
DRAWN = re.compile(r"/_static/.*(plotly|mathjax)", re.IGNORECASE)  # the scripts of figures and formulas
PHONE, DESKTOP = (375, 812), (1280, 900)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader",  # WebGL without a graphics card
]

# Looks at the page once its formulas and figures had their time.
LOOK = """() => {
  const visible = element => element.getClientRects().length > 0;
  const all = selector => [...document.querySelectorAll(selector)];
  const figures = all('.plotly-figure, .plotly-graph-div').map(figure => ({
    id: figure.id,
    drawn: figure.querySelector('.main-svg') !== null,
    spatial: Object.keys(figure._fullLayout || {}).some(key => /^scene/.test(key)),
    canvas: [...figure.querySelectorAll('canvas')].some(canvas => canvas.width > 0),
    opaque: figure._fullLayout ? !/^rgba\\(.*, *0\\)$|transparent/.test(figure._fullLayout.paper_bgcolor) : false,
    named: (figure.getAttribute('aria-label') || '').trim() !== '',
  }));
  const words = image => image.alt.trim().split(/\\s+/).length;
  const article = document.querySelector('article') || document.body;
  const copy = article.cloneNode(true);
  copy.querySelectorAll('pre, code, script, style, mjx-container').forEach(element => element.remove());
  const background = getComputedStyle(document.body).backgroundColor;
  const scrolls = element => element && (getComputedStyle(element).overflowX !== 'visible' || scrolls(element.parentElement));
  const too_wide = all('article *').filter(visible).filter(element => !scrolls(element.parentElement.closest('article *')))
    .filter(element => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .slice(0, 3).map(element => element.tagName + '.' + element.className);
  return {
    figures,
    mute_images: all('.cell_output img').filter(image => words(image) < 2 || /[$\\\\]|_images/.test(image.alt)).map(image => image.src),
    broken_images: all('img').filter(image => image.complete && image.naturalWidth === 0).map(image => image.src),
    formulas: all('.math').length,
    typeset: all('.math mjx-container').length,
    formula_errors: all('mjx-merror, [data-mjx-error]').map(element => element.textContent),
    raw_formulas: copy.textContent.match(/\\$\\$|\\\\\\(|\\\\\\[|\\\\(?:frac|mathbb|begin)\\b/g) || [],
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    too_wide,
    theme: document.documentElement.dataset.theme,
    background,
    colour: getComputedStyle(article).color,
  };
}"""
SETTLE = """async patience => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  const figures = [...document.querySelectorAll('.plotly-figure, .plotly-graph-div')];
  const end = Date.now() + patience;
  while (figures.some(figure => !figure.querySelector('.main-svg')) && Date.now() < end)
    await new Promise(done => setTimeout(done, 50));
  await new Promise(done => setTimeout(done, 100));
}"""

# How far the page moved: summed up from the start, and read once what has been changed is drawn.
WATCH = """layoutShift = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => { layoutShift += entry.value }))
  .observe({type: 'layout-shift', buffered: true})"""
SHIFT = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(layoutShift)))))"""


@dataclass
class Visit:
    """What one visit of a page saw."""

    address: str
    dark: bool
    external: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    first_view: int = 0
    seen: dict = field(default_factory=dict)
    shift: float = 0.0
    axe: list[dict] = field(default_factory=list)


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        yield running
        running.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a local server that shows the folder."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@contextmanager
def opened(
    browser: Browser, address: str, size: tuple[int, int] = DESKTOP, dark: bool = False, patience: int = 15_000,
    scripts: bool = True,
) -> Iterator[tuple[Page, Visit]]:
    """The page in a window of its own, and a record that grows with what it requests and says.

    Args:
        patience: milliseconds that figures may take; 0 where the test needs neither figures nor formulas, which then do not come.
        scripts: False for a page as it is written, which is there in a fraction of the time.
    """
    window = {"viewport": {"width": size[0], "height": size[1]}, "has_touch": size == PHONE, "java_script_enabled": scripts}
    context = browser.new_context(color_scheme="dark" if dark else "light", **window)
    page, record = context.new_page(), Visit(address, dark)
    page.add_init_script(WATCH)
    _record(page, record)
    if not patience:
        page.route(DRAWN, lambda route: route.abort())
    page.goto(address, wait_until="load", timeout=120_000)
    if patience:
        page.evaluate(SETTLE, patience)
    yield page, record
    context.close()


def _record(page: Page, record: Visit) -> None:
    """Let the browser talk to the local server only, and note what it wanted and what it complained about."""

    def gate(route):
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            record.external.append(route.request.url)
            route.abort()

    def weigh(response):
        if response.status >= 400:
            record.failed.append(f"{response.status} {response.url}")
        elif response.status == 200 and response.request.resource_type not in ("script", "font"):
            record.first_view += int(response.headers.get("content-length", 0))

    page.route("**/*", gate)
    page.on("response", weigh)
    page.on("console", lambda message: record.console.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: record.console.append(str(error)))


def visit(browser: Browser, address: str, *settings: object, **named: object) -> Visit:
    """Open a page, with the settings of `opened`, and look at it."""
    with opened(browser, address, *settings, **named) as (page, record):
        record.shift = page.evaluate(SHIFT)
        record.seen = page.evaluate(LOOK)
        record.axe = access_checks.findings(page)
    return record


def complaints(record: Visit) -> list[str]:
    """What is wrong with a page, an empty list if nothing is."""
    return requests(record) + figures(record) + formulas(record) + layout(record) + access_checks.grave(record.axe)


def requests(record: Visit) -> list[str]:
    found = [f"asks for {address}" for address in record.external]
    found += [f"does not get {what}" for what in record.failed]
    found += [f"console: {text}" for text in record.console]
    if record.first_view > LARGEST_FIRST_VIEW:
        found.append(f"first view of {record.first_view / 1e6:.2f} MB, at most {LARGEST_FIRST_VIEW / 1e6}")
    return found


def figures(record: Visit) -> list[str]:
    found = [f"no picture at {source}" for source in record.seen["broken_images"]]
    found += [f"picture {source} says nothing to a screen reader" for source in record.seen["mute_images"]]
    for figure in record.seen["figures"]:
        if not figure["drawn"] or (figure["spatial"] and not figure["canvas"]):
            found.append(f"figure {figure['id']} is not drawn")
        elif not figure["opaque"]:
            found.append(f"figure {figure['id']} has a transparent ground")
        if not figure["named"]:
            found.append(f"figure {figure['id']} says nothing to a screen reader")
    return found


def formulas(record: Visit) -> list[str]:
    seen = record.seen
    found = [f"formula with an error: {text}" for text in seen["formula_errors"]]
    found += [f"raw formula: {text}" for text in seen["raw_formulas"]]
    if seen["typeset"] < seen["formulas"]:
        found.append(f"{seen['typeset']} of {seen['formulas']} formulas typeset")
    return found


def layout(record: Visit) -> list[str]:
    seen, found = record.seen, []
    if seen["overflow"] > 0:
        found.append(f"scrolls sideways by {seen['overflow']} px: {', '.join(seen['too_wide'])}")
    if record.shift > LARGEST_SHIFT:
        found.append(f"jumps by {record.shift:.2f} while it loads, at most {LARGEST_SHIFT}")
    if contrast(seen["colour"], seen["background"]) < 4.5:
        found.append(f"text {seen['colour']} on {seen['background']}")
    if record.dark and luminance(seen["background"]) > 0.1:
        found.append(f"light ground {seen['background']} in dark mode")
    return found


def luminance(colour: str) -> float:
    """Relative luminance of a CSS colour rgb(r, g, b), by WCAG 2."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours, 1 to 21, by WCAG 2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
