"""A report in a browser, which all tests of a process share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chromium import BROWSER, Page, browser
from regtorch.app.report.page import report
from report_runs import a_failed_run, a_grid, a_search


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page about a grid, a search and a failed run."""
    folder = tmp_path_factory.mktemp("runs")
    a_grid(folder / "grid", ["none", "l1", "l2"], [1e-4, 1e-3, 1e-1], [0, 1], extra="trainer.max_epochs=10")
    a_search(folder / "search", 5)
    a_failed_run(folder / "failed", "out of memory", f"name={'x' * 200}")
    written, _ = report(folder)
    return written.as_uri()


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser."""
    if BROWSER is None:
        pytest.skip("chromium is not installed")
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(opened: Page, address: str) -> Page:
    """The report, just opened."""
    opened.open("about:blank")  # the page before says no more
    opened.said.clear()
    opened.requests.clear()
    opened.screen(1280)
    opened.open(address)
    return opened
