"""What axe-core, the checker of accessibility, finds on a page. Its script comes with the package axe-playwright-python."""

from __future__ import annotations

import importlib.resources

from playwright.sync_api import Page

AXE = importlib.resources.files("axe_playwright_python") / "axe.min.js"
GRAVE = ("serious", "critical")
# First goes what is axe's work and nobody's gain: the insides of formulas and figures, thousands of elements that say nothing
# to a screen reader, and all but one piece of code of each colour. The page is of no more use afterwards.
STRIP = """() => {
  document.querySelectorAll('mjx-container, .plotly-figure > *').forEach(part => part.remove());
  const seen = new Set();
  for (const token of document.querySelectorAll('pre span'))
    if (seen.has(token.className)) token.remove(); else seen.add(token.className);
}"""
# Without preload: axe would ask for the theme's style sheets again, at addresses that it gets wrong.
RUN = """async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations.map(({id, impact, nodes}) =>
  ({id, impact, count: nodes.length, places: nodes.slice(0, 3).map(node => node.target.join(' '))}))"""


def findings(page: Page) -> list[dict]:
    """The rules of axe that the page breaks: id, impact, how often, and the first places."""
    page.evaluate(STRIP)
    page.evaluate(AXE.read_text(encoding="utf-8") + ";0")
    return page.evaluate(RUN)


def grave(found: list[dict]) -> list[str]:
    """The findings that keep somebody from reading or using the page."""
    return [
        f"axe: {one['id']} ({one['impact']}), {one['count']} times, at {', '.join(one['places'])}"
        for one in found
        if one["impact"] in GRAVE
    ]
