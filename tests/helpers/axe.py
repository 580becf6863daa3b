"""Axe, which finds what keeps people from reading a page, where `npm install --no-save axe-core` has put it."""

from __future__ import annotations

from chromium import Page
from places import ROOT

__all__ = ["AXE", "violations"]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """What axe finds on the page that is open."""
    page.value(f"{AXE.read_text(encoding='utf-8')};0")
    told = "found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 200)).join(' ')}`)"
    return page.value(f"axe.run(document, {{runOnly: {_RULES}}}).then(found => {told})")
