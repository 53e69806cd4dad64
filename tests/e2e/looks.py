"""What is wrong with how a page looks and is used: widths, accessibility, the size of what is pressed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_playwright_python

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
GRAVE = ("serious", "critical")
# Rules that axe leaves out by itself: WCAG 2.2's size of targets is one of them.
OPTIONS = {"rules": {"target-size": {"enabled": True}}}
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  const bad = [];
  for (const one of document.querySelectorAll("body *")) {
    const box = one.getBoundingClientRect();
    if (box.width && box.right > width + 1 && getComputedStyle(one).position !== "absolute") {
      let inside = one.parentElement;
      while (inside && !["auto", "scroll", "hidden"].includes(getComputedStyle(inside).overflowX)) {
        inside = inside.parentElement;
      }
      if (!inside) bad.push(`${one.tagName.toLowerCase()}.${one.className} ends at ${Math.round(box.right)}`);
    }
  }
  const all = document.documentElement.scrollWidth;
  if (all > width) bad.push(`the page is ${all} wide`);
  return bad;
}"""


def grave_findings(page: Page) -> list[str]:
    """What axe-core calls serious or critical on the page, with the element and why."""
    page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", OPTIONS)
    return [
        f"{rule['id']}: {node['html'][:160]} ({node['failureSummary']})"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """What sticks out of the window at the right."""
    found: list[str] = page.evaluate(WIDER)
    return found
