"""Runs that links lead to are found, each once."""

from __future__ import annotations

import os
from pathlib import Path

from regtorch.app.record.walk import walk
from regtorch.app.report.collect import collect
from report_runs import a_run


def walked(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path, _, _ in walk(root))


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path):
    a_run(tmp_path / "disk" / "0", "reg=l2")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "disk")
    assert [entry.name for entry in collect(tmp_path / "runs").entries] == ["linked/0"]


def test_a_link_to_what_is_walked_anyway_is_not(tmp_path: Path):
    a_run(tmp_path / "grid" / "3", "reg=l2")
    (tmp_path / "best").symlink_to(tmp_path / "grid" / "3")
    assert [entry.name for entry in collect(tmp_path).entries] == ["grid/3"]


def test_links_in_a_circle_end(tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    root.mkdir()
    for place, target in (
        (root / "itself", root),
        (root / "above", tmp_path),
        (root / "away", outside),
        (root / "twice", outside / "deep"),
        (outside / "deep" / "back", outside),
        (outside / "deep" / "home", root),
        (root / "nowhere", tmp_path / "none"),
        (root / "loop", root / "loop"),
    ):
        os.symlink(target, place)
    assert walked(root) == [".", "away", "away/deep"]
