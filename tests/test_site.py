"""The site: built without a warning, every public name in it, nothing in it needs a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from axe import AXE, violations
from chromium import BROWSER, browser
from pages import SITE
from places import ROOT
from test_public import PUBLIC, RULES

SPHINX = pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="the site needs the extra [docs]")


def documented() -> Iterator[object]:
    """Every object that a page of the API has a directive for."""
    for page in (SITE / "api").glob("*.md"):
        module = "regtorch"
        for kind, name in re.findall(r"^\.\. (\w+):: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            if kind == "currentmodule":
                module = name
            elif kind == "automodule":
                found = import_module(name)
                yield from (getattr(found, part) for part in found.__all__)
            else:
                home, _, last = (name if name.startswith("regtorch.") else f"{module}.{name}").rpartition(".")
                yield getattr(import_module(home), last)


def test_every_public_name_has_its_place():
    there = {id(thing) for thing in documented()}
    modules = {id(module) for module in sys.modules.values()}
    assert [name for name, thing in PUBLIC.items() if id(thing) not in there | modules] == []
    assert [rule for rule in RULES if id(rule) not in there] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(folder / "trees")]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, str(SITE), str(folder / "html")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@SPHINX
@pytest.mark.slow
@pytest.mark.script
def test_pages_need_no_network(site: Path):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:link|script|img|iframe|source)\b[^>]*>", text):
            assert not re.search(r'(?:src|href)="(?:https?:)?//', tag), f"{page.name}: {tag}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet.name


@SPHINX
@pytest.mark.slow
@pytest.mark.script
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_pages_fit_and_are_searched_from_the_disk(site: Path, tmp_path: Path):
    with browser(tmp_path) as page:
        for width, dark in ((1280, False), (768, True), (390, False)):
            page.screen(width, dark=dark)
            for name in ("index", "start", "tasks/not_learning", "concepts/strength", "api/penalties", "doctor"):
                page.open(f"{(site / name).as_uri()}.html")
                assert page.value("document.documentElement.scrollWidth") <= width, (name, width)
        page.open(f"{(site / 'search.html').as_uri()}?q=soft+thresholding")
        found = "new Promise(done => setTimeout(() => done(document.querySelectorAll('ul.search li').length), 3000))"
        assert page.value(found) > 0
        assert [address for address in page.requests if not address.startswith(("file:", "data:"))] == []
        assert page.said == []


@SPHINX
@pytest.mark.slow
@pytest.mark.script
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.skipif(not AXE.is_file(), reason="npm install --no-save axe-core puts it into node_modules")
def test_axe_finds_nothing(site: Path, tmp_path: Path):
    with browser(tmp_path) as page:
        for name in ("index", "start", "benchmarks", "rules", "notebooks/keras_port", "api/penalties"):
            page.open(f"{(site / name).as_uri()}.html")
            for width, dark in ((1280, False), (768, True), (390, False), (390, True)):
                page.screen(width, dark=dark)
                page.value("new Promise(done => setTimeout(done, 300))")
                assert violations(page) == [], (name, width, dark)
