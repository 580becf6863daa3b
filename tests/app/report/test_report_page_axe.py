"""Axe finds nothing on the report's page, the waiting page and the doctor's, wide and narrow, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from axe import AXE, violations
from chromium import Page
from diagnoses import ADVISED, diagnosis, finding, proof, strength
from regtorch.app.doctor.diagnosis_page import write_page
from regtorch.app.pages.environment import render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.is_file(), reason="npm install --no-save axe-core puts it into node_modules"),
]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_report(page: Page, width: int, dark: bool):
    page.screen(width, dark=dark)
    page.value("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    page.value("new Promise(done => setTimeout(done, 300))")
    assert violations(page) == []
    page.value("document.querySelector('a.point').focus()")
    assert violations(page) == [], "with its values shown"


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The doctor's page about a setup with findings of all kinds, a proof, a withdrawn one and an advised strength."""
    found = diagnosis(
        [finding("collapse"), finding("imbalance", "warning", strength(1e-3)), finding("loss_at_chance", "info")],
        [proof("collapse", "proved", "reg.lam=0.003"), proof("imbalance", "refuted")],
        advised=ADVISED,
        weights=3,
    )
    assert found.findings
    assert found.withdrawn
    return write_page(tmp_path_factory.mktemp("checkup"), found).as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_doctor(opened: Page, examined: str, width: int, dark: bool):
    opened.screen(width, dark=dark)
    opened.open(examined)
    assert opened.value("document.querySelectorAll('.finding').length") > 3
    assert opened.value("document.documentElement.scrollWidth") <= width
    assert violations(opened) == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_of_a_sweep_that_has_not_begun(opened: Page, tmp_path: Path, dark: bool):
    path = tmp_path / "waiting.html"
    path.write_text(render("waiting", title="Runs in sweeps", live="0"), encoding="utf-8")
    opened.screen(390, dark=dark)
    opened.open(path.as_uri())
    assert violations(opened) == []
