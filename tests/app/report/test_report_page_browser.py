"""The report in a real browser: it loads by itself, sorts and copies by keyboard, and fits a phone and paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from chromium import Page

FIRST = "document.querySelector('table.sortable tbody').rows[0].cells[0].textContent"
FOCUSED = "document.activeElement.textContent"


def test_it_loads_by_itself_and_without_a_word(page: Page, address: str):
    assert page.value("document.readyState") == "complete"
    assert page.said == []
    assert page.requests == [address]


def test_no_other_script_runs(page: Page):
    page.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.value("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    assert page.value("window.ran") is None


def tab_to(page: Page, text: str) -> None:
    for _ in range(80):
        page.press("Tab")
        if page.value(FOCUSED) == text:
            return
    raise AssertionError(f"no Tab leads to {text}")


def test_the_table_sorts_by_keyboard_and_says_so(page: Page):
    assert page.value(FIRST).startswith("reg=l1 reg.lam=0.001")
    tab_to(page, "norm")
    page.press("Enter", "\r")
    assert page.value(FIRST).startswith(("reg=l1 reg.lam=0.0001", "reg=l2 reg.lam=0.0001", "reg=l2 reg.lam=1.0"))
    head = (
        "[...document.querySelectorAll('thead th')].filter(th => th.ariaSort).map(th => [th.textContent, th.ariaSort])"
    )
    assert page.value(head) == [["norm", "descending"]]
    assert page.value("document.querySelector('[role=status]').textContent") == "Sorted by norm, largest first"
    page.press(" ", " ")
    assert page.value(head) == [["norm", "ascending"]]
    assert page.value(FOCUSED) == "norm", "the focus stays where it was"


def test_tab_goes_through_the_page_and_out_of_it(page: Page):
    page.press("Tab")
    assert page.value(FOCUSED) == "Skip to the results"
    stops = page.value("document.querySelectorAll('a, button, summary, [tabindex]').length")
    seen = 1
    while page.value("document.activeElement !== document.body") and seen <= stops + 1:
        page.press("Tab")
        seen += 1
    assert seen <= stops + 1
    assert not page.value("document.querySelector('[tabindex]:not([tabindex=\"0\"])')")


def test_a_command_is_copied_by_keyboard(page: Page):
    tab_to(page, "Copy")
    page.press("Enter", "\r")
    page.value("new Promise(done => setTimeout(done, 100))")
    assert page.value("document.querySelector('[role=status]').textContent").startswith(("Copied", "Selected"))
    assert page.value(FOCUSED) in ("Copied", "Selected")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, width: int, dark: bool):
    page.screen(width, dark=dark)
    assert page.value("document.documentElement.scrollWidth") <= width
    widths = "[...document.querySelectorAll('svg:not(.key)')].map(s => s.getBoundingClientRect().width)"
    assert min(page.value(widths)) > 250
    colours = page.value("['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])")
    assert colours == (["rgb(233, 233, 238)", "rgb(21, 21, 26)"] if dark else ["rgb(28, 28, 34)", "rgb(255, 255, 255)"])


def test_plots_take_the_page_s_colours(page: Page):
    stroke = "getComputedStyle(document.querySelector('svg[role=img] path[style*=\"--line0\"]')).stroke"
    light = page.value(stroke)
    page.screen(1280, dark=True)
    assert light == "rgb(0, 114, 178)"
    assert page.value(stroke) == "rgb(90, 174, 234)"


def test_it_can_be_printed(page: Page, tmp_path: Path):
    page.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.call("Emulation.setEmulatedMedia", media="")


def test_without_scripts_it_says_what_is_missing_and_shows_the_rest(page: Page, address: str):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(address)
        page.call("Emulation.setScriptExecutionDisabled", value=False)
        assert "need JavaScript" in page.value("document.querySelector('.of-script').innerText")
        assert page.value("document.querySelectorAll('svg[role=img]').length") > 5
        assert page.value("document.querySelectorAll('table tbody tr').length") > 5
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_table_that_goes_on_says_so_and_nothing_else_is_cut(page: Page):
    said = "getComputedStyle(document.querySelector('.if-narrow')).display !== 'none'"
    right = "[...document.querySelectorAll('main p')].every(p => p.getBoundingClientRect().right <= innerWidth)"
    for width, narrow in ((390, True), (1280, False)):
        page.screen(width)
        assert page.value("(s => s.scrollWidth > s.clientWidth)(document.querySelector('.scroll'))")
        assert page.value(said) is narrow
        assert page.value(right)
        assert "gradient" in page.value("getComputedStyle(document.querySelector('.scroll')).backgroundImage")
