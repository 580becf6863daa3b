"""The charts of the report in a real browser: axes, filters, zoom, hover and links, by mouse and by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from chromium import Page
from regtorch.app.report.page import report
from report_runs import a_run

pytestmark = pytest.mark.slow

CHART = "document.querySelectorAll('.explore')[0]"
CURVES = "document.querySelectorAll('.explore')[1]"
POINTS = f"{CHART}.querySelectorAll('a.point')"
WORDS = f"{CHART}.querySelector('.words').textContent"
NOW = "document.activeElement.getAttribute('aria-label')"
TIP = "[...document.querySelectorAll('.tip')].filter(tip => !tip.hidden).map(tip => tip.textContent).join()"
STATUS = "document.querySelector('[role=status]').textContent"
VISIBLE = "[...document.querySelector('table.sortable').tBodies[0].rows].filter(row => !row.hidden).length"


def choose(page: Page, chart: str, label: str, option: str) -> None:
    found = page.value(f"""(() => {{
        const label = [...{chart}.querySelectorAll('label')].find(l => l.firstChild.textContent.trim() === '{label}');
        const box = label.querySelector('select');
        const option = [...box.options].find(o => o.textContent.startsWith('{option}'));
        box.value = option.value;
        box.dispatchEvent(new Event('change'));
        return option.textContent;
    }})()""")
    assert found.startswith(option)


def tick(page: Page, within: str, text: str) -> None:
    boxes = f"[...{within}.querySelectorAll('label')].find(l => l.textContent.trim() === '{text}').firstElementChild"
    page.value(f"{boxes}.click()")


def test_every_run_is_a_point_that_links_to_its_folder(page: Page):
    assert page.value(f"{POINTS}.length") == 12 + 4
    hrefs = page.value(f"[...{POINTS}].map(a => a.getAttribute('href'))")
    assert {"grid/16", "search/trials/0"} <= set(hrefs)
    without = "Without strength λ (reg.lam), their mean dotted: grid/4; grid/5."
    assert page.value(WORDS) == f"16 runs of 18 drawn.{without}"
    assert page.value(f"{CHART}.querySelectorAll('.dotted').length") == 1
    assert page.said == []


def test_axes_are_chosen_and_what_is_not_drawn_is_told(page: Page):
    choose(page, CHART, "Y", "test accuracy, last epoch")
    assert "test accuracy, last epoch: 0." in page.value(f"{POINTS}[0].getAttribute('aria-label')")
    choose(page, CHART, "X", "dropout rate (reg.rate)")
    assert page.value(WORDS).startswith("4 runs of 18 drawn.Without dropout rate (reg.rate), their mean dotted: grid/")
    choose(page, CHART, "X", "reg")
    assert "reg: l1" in page.value(f"{POINTS}[0].getAttribute('aria-label')")
    assert page.value("document.activeElement.closest('label').firstChild.textContent") == "X "
    assert page.said == []


def test_one_filter_is_for_charts_and_table(page: Page):
    rows, curves = page.value(VISIBLE), page.value(f"{CURVES}.querySelectorAll('a.curve').length")
    tick(page, "document.querySelector('.filters')", "l2")
    assert page.value(f"{POINTS}.length") < 16
    assert page.value(VISIBLE) < rows
    assert page.value(f"{CURVES}.querySelectorAll('a.curve').length") < curves
    assert page.value("document.querySelector('.filter summary').textContent").endswith(f"of {rows} shown")
    page.value("document.querySelector('.filter button').click()")
    assert page.value(VISIBLE) == rows


def test_arrow_keys_go_from_point_to_point(page: Page):
    page.value(f"{POINTS}[0].parentNode.querySelector('[tabindex=\"0\"]').focus()")
    page.press("Home")
    first = page.value(NOW)
    assert "strength λ (reg.lam)" in first
    assert page.value(TIP)
    page.press("ArrowRight")
    second = page.value(NOW)
    assert second != first
    page.press("ArrowLeft")
    assert page.value(NOW) == first
    assert page.value(f"{CHART}.querySelectorAll('a[tabindex=\"0\"]').length") == 1
    page.press("Escape")
    assert page.value(TIP) == ""


def test_zoom_by_keys_and_by_mouse(page: Page):
    count = page.value(f"{POINTS}.length")
    page.value(f"{POINTS}[0].focus()")
    focused = page.value(NOW)
    page.press("+", "+")
    page.press("+", "+")
    assert 1 <= page.value(f"{POINTS}.length") < count
    assert page.value(NOW) == focused
    assert "outside of what is zoomed" in page.value(WORDS)
    page.press("0", "0")
    assert page.value(f"{POINTS}.length") == count
    page.value(f"{CHART}.querySelector('svg.chart').scrollIntoView({{block: 'center'}})")
    rectangle = f"{CHART}.querySelector('svg.chart').getBoundingClientRect()"
    box = page.value(f"(b => [b.x, b.y, b.width, b.height])({rectangle})")
    page.drag((box[0] + box[2] * 0.45, box[1] + 20), (box[0] + box[2] * 0.9, box[1] + box[3] * 0.7))
    assert 1 <= page.value(f"{POINTS}.length") < count
    page.value(f"[...{CHART}.querySelectorAll('button')].find(b => b.textContent === 'Whole chart').click()")
    assert page.value(f"{POINTS}.length") == count


def test_curves_are_followed_hidden_and_shown_by_keyboard(page: Page):
    drawn = f"{CURVES}.querySelectorAll('a.curve').length"
    count = page.value(drawn)
    page.value(f"{CURVES}.querySelector('a[tabindex=\"0\"]').focus()")
    first = page.value(TIP)
    assert "epoch 1: val accuracy" in first
    page.press("ArrowRight")
    assert "epoch 2: val accuracy" in page.value(TIP)
    page.press("ArrowDown")
    assert page.value(TIP) != first
    page.press("h", "h")
    assert page.value(drawn) == count - 1
    assert "1 hidden singly" in page.value(f"{CURVES}.querySelector('.words').textContent")
    page.value(f"{CURVES}.querySelector('summary').click()")
    page.value("new Promise(done => setTimeout(done, 100))")
    page.value(f"[...{CURVES}.querySelectorAll('button')].find(b => b.textContent === 'Show all curves').click()")
    assert page.value(drawn) == count
    choose(page, CURVES, "Show", "train penalty")
    assert page.said == []


def test_a_curve_leads_to_its_setting_in_the_table(page: Page):
    page.value(f"{CURVES}.querySelector('a[tabindex=\"0\"]').focus()")
    page.press("Enter", "\r")
    page.value("new Promise(done => setTimeout(done, 100))")
    assert page.value("document.activeElement.closest('tr').id").endswith("-s0")
    assert page.value("document.activeElement.closest('details').open")
    assert page.value("document.activeElement.closest('tr').querySelector('.runs a').getAttribute('href')").startswith(
        "grid/"
    )


def test_columns_can_be_hidden(page: Page):
    cells = "[...document.querySelector('table.sortable').tHead.rows[0].cells]"
    heads = f"{cells}.filter(c => !c.hidden).map(c => c.textContent)"
    assert "gap" in page.value(heads)
    tick(page, "document.querySelector('.tools-of-table')", "gap")
    assert "gap" not in page.value(heads)


def test_a_thousand_settings_with_long_names_are_drawn_and_filtered(opened: Page, tmp_path: Path):
    for number in range(1000):
        lam = 10 ** (-6 + 6 * number / 999)
        a_run(tmp_path / str(number), f"+name={'x' * 200}{number}", f"reg.lam={lam!r}", lam=lam, epochs=30)
    path, _ = report(tmp_path)
    assert path.stat().st_size < 3e6
    opened.said.clear()
    opened.screen(390)
    opened.open(path.as_uri())
    assert opened.value(f"{POINTS}.length") == 1000
    assert opened.value(f"{CURVES}.querySelectorAll('a.curve').length") == 1000
    assert opened.value("document.documentElement.scrollWidth") == 390
    opened.value("""(box => { box.value = '499'; box.dispatchEvent(new Event('change')); })(
        document.querySelectorAll('.filters fieldset')[1].querySelectorAll('select')[1])""")
    assert opened.value(f"{POINTS}.length") == 500
    assert opened.said == []
