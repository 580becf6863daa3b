"""Charts under what no run should hold, and under keys that are held down; nothing hangs or leaves the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_report_page_hostile import with_scores

from chromium import Page
from regtorch.app.report.page import report
from report_runs import a_failed_run, a_run

pytestmark = pytest.mark.slow

CHART = "document.querySelector('.explore')"
TICKS = f"[...{CHART}.querySelectorAll('.axes text')].slice(0, -2).map(text => text.textContent)"
BROKEN = "/NaN|undefined|Infinity/.test([...document.querySelectorAll('.explore svg')].map(s => s.outerHTML).join())"
FOCUS = f"{CHART}.querySelector('a.point').focus()"


def shown(page: Page, folder: Path, width: int = 1280) -> None:
    path, _ = report(folder)
    page.open("about:blank")
    page.said.clear()
    page.screen(width)
    page.open(path.as_uri())
    assert page.said == []
    assert not page.value(BROKEN)
    assert page.value("document.documentElement.scrollWidth") <= width


def ticks(page: Page) -> tuple[list[str], list[str]]:
    """The labels along X and along Y."""
    labels = page.value(TICKS)
    marks = page.value(f"[...{CHART}.querySelectorAll('.axes text')].map(t => t.getAttribute('text-anchor'))")
    return [t for t, m in zip(labels, marks, strict=False) if m == "middle"], [
        t for t, m in zip(labels, marks, strict=False) if m == "end"
    ]


@pytest.mark.parametrize("key", ["+", "-"])
def test_a_key_that_is_held_down_zooms_to_an_end(opened: Page, tmp_path: Path, key: str):
    for number, lam in enumerate([0.0, 1e-3, 1e-2, 1e-1]):
        a_run(tmp_path / str(number), "reg=l2", f"reg.lam={lam!r}", lam=lam)
    shown(opened, tmp_path)
    opened.value(FOCUS)
    for _ in range(70):
        opened.press(key, key)
    assert opened.said == []
    assert not opened.value(BROKEN)
    for labels in ticks(opened):
        assert 2 <= len(labels) == len(set(labels)) < 20
    opened.press("0", "0")
    assert opened.value(f"{CHART}.querySelectorAll('a.point').length") == 4


def test_values_that_lie_close_together_have_labels_of_their_own(opened: Page, tmp_path: Path):
    for number in range(5):
        with_scores(tmp_path / str(number), 1e-3 + number / 100, 0.999990 + number * 1e-6)
    shown(opened, tmp_path)
    _, labels = ticks(opened)
    assert 2 <= len(labels) == len(set(labels))


def test_texts_of_one_number_have_a_colour(opened: Page, tmp_path: Path):
    for number, text in enumerate(["1", "1.0", "01"]):
        a_run(tmp_path / str(number), "reg=l2", f"+of='{text}'")
    shown(opened, tmp_path)


def test_names_that_differ_at_their_ends_are_told_apart(opened: Page, tmp_path: Path):
    for end in "abc":
        a_run(tmp_path / end, "reg=l2", f"+name={'x' * 200}{end}")
    shown(opened, tmp_path)
    labels, _ = ticks(opened)
    assert len(set(labels)) == 3


def test_numbers_and_reasons_without_a_blank_fit_a_phone(opened: Page, tmp_path: Path):
    with_scores(tmp_path / "0", 0.1, -3.4e38, 3.4e38)
    with_scores(tmp_path / "1", 0.2, 1.7e308, 3.4e38)
    a_failed_run(tmp_path / "2", "x" * 300, "reg=l2")
    shown(opened, tmp_path, 390)
