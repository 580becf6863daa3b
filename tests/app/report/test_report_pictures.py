"""The pictures beside a report: of a paper's width, with text that stays text, and the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regtorch.app.figures.drawing import write_pictures
from regtorch.plot.panel import LOOKS, Axis, Panel, Series

COLUMN = 3.45 * 72  # points


@pytest.mark.parametrize(("panels", "width"), [(1, COLUMN), (3, 2 * COLUMN)])
def test_pictures_for_a_paper(tmp_path: Path, panels: int, width: float):
    drawn = [
        Panel(f"Panel {number}", "", Axis("strength λ"), Axis("accuracy"), [Series([1, 2], [3, 4], "a line", LOOKS[0])])
        for number in range(panels)
    ]
    for name in ("one", "two"):
        write_pictures(drawn, "Both $ of them", tmp_path / name)
    for ending in ("png", "svg", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    svg = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert float(re.findall(r'<svg [^>]*width="([\d.]+)pt"', svg)[0]) == pytest.approx(width)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"Panel 0", "strength λ", "a line", "Both $ of them"} <= set(texts)
    pdf = (tmp_path / "one.pdf").read_bytes()
    assert b"/Type3" not in pdf, "letters are letters, not drawings"
    assert b"/Type0" in pdf or b"/TrueType" in pdf
