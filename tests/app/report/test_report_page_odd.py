"""A report of files that hold what no script writes: it names them or shows the rest, and never breaks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regtorch.app.report.page import report
from report_runs import a_checkup, a_path, a_run, a_search

ODD = (10**30, None, [], {}, [1, [2]], {"a": {"b": 1}}, "", "$x$", "x" * 3000, float("nan"), -1, True, "\ud800", "<b>")


def places(tree: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """Where something lies in JSON."""
    if above:
        yield above
    below = tree.items() if isinstance(tree, dict) else enumerate(tree[:3]) if isinstance(tree, list) else ()
    for key, value in below:
        yield from places(value, *above, key)


def change(path: Path, place: tuple[Any, ...], value: Any) -> None:
    tree = node = json.loads(path.read_text())
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    path.write_text(json.dumps(tree))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    a_run(root / "one", "reg=l2")
    a_run(root / "two", "reg=l2", "seed=1", seed=1)
    a_path(root / "path", [1e-3, 1e-2], [0])
    a_search(root / "search", 3)
    a_checkup(root / "checkup")
    return root


@settings(max_examples=settings().max_examples // 6)  # some seconds each
@given(data=st.data())
def test_any_value_in_any_place(folder: Path, data: st.DataObject) -> None:
    files = sorted(folder.rglob("*.json"))
    path = data.draw(st.sampled_from(files))
    before = path.read_text()
    place = data.draw(st.sampled_from(list(places(json.loads(before)))))
    try:
        change(path, place, data.draw(st.sampled_from(ODD)))
        page, found = report(folder)
        assert len(found.entries) >= 2
        assert page.read_text(encoding="utf-8").endswith("</html>\n")
    finally:
        path.write_text(before)


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    a_run(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")), "reg=l2")
    page, found = report(tmp_path)
    assert len(found.entries) == 1
    assert page.read_text(encoding="utf-8").endswith("</html>\n")


def test_experiments_whose_names_are_longer_than_a_files(tmp_path: Path) -> None:
    for end in "ab":
        change(a_run(tmp_path / end, "reg=l2") / "summary.json", ("choices", "model"), "x" * 3000 + end)
    page, _ = report(tmp_path)
    links = re.findall(r'href="(report/[^"]+)"', page.read_text(encoding="utf-8"))
    assert len(set(links)) == 2 * 3
    assert all((tmp_path / link).exists() for link in links)


@pytest.mark.parametrize("name", ["page", "page.png", "folder.html", "taken.html"])
def test_a_page_that_would_be_none(tmp_path: Path, name: str) -> None:
    a_run(tmp_path / "run", "reg=l2")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "taken").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=f"--page: expected a file.*, received .*{name}"):
        report(tmp_path, tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_regions_of_several_nets_have_names_of_their_own(tmp_path: Path):
    """A region is named by its headings; the text that all sections share describes their tables."""
    for data in ("digits", "mnist"):
        choices = {"model": "mnist_mlp", "data": data, "reg": "l2", "constraint": "none", "optimizer": "adam"}
        a_run(tmp_path / data, choices=choices)
    written, _ = report(tmp_path)
    text = written.read_text(encoding="utf-8")
    names = re.findall(r'role="region"[^>]*aria-labelledby="([^"]+)"', text)
    assert len(names) == len({*names}) == 2
    assert all(f'id="{part}"' in text for name in names for part in name.split())
    assert all(name.endswith("-title") for name in names)
