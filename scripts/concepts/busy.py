"""What rules cost a training step on an idle machine, and beside a process that keeps a core busy, as measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from concepts.sheet import LINES, drawing, words

__all__ = ["drawn"]

_MEASURED = Path(__file__).resolve().parents[2] / "docs" / "bench-fuse.json"
_WAYS = ("attached", "rt.fuse")
_WIDTH, _ROW, _TOP, _LABEL, _PANEL = 660, 26, 58, 92, 268
_LOW, _HIGH = 0.9, 1.5  # of the axis; what lies beyond is written at its end


def drawn() -> str:
    found = json.loads(_MEASURED.read_text())["fuse"]
    parts = [
        words(
            _LABEL, 18, "A training step of the CNN (4.2 million weights, Adam) ÷ a plain one with fused Adam", size=13
        ),
    ]
    height = 0.0
    for column, way in enumerate(_WAYS):
        idle, busy = (_ratios(found, way, busy=busy) for busy in (False, True))
        left = _LABEL + column * (_PANEL + 20)
        bottom = _TOP + _ROW * len(idle)
        height = max(height, bottom)
        parts.append(words(left, 40, way, weight="bold"))
        for tick in (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5):
            x = _x(left, tick)
            dash = "" if tick == 1.0 else ' stroke-dasharray="2 4"'
            parts.append(f'<path d="M{x:g} {_TOP - 8}V{bottom}" stroke="var(--grid)"{dash}/>')
            parts.append(words(x, bottom + 16, f"{tick:g}", size=11, anchor="middle"))
        for row, name in enumerate(idle):
            y = _TOP + _ROW * (row + 0.5)
            if not column:
                parts.append(words(_LABEL - 10, y + 4, name, anchor="end"))
            ends = sorted((_x(left, idle[name]), _x(left, busy[name])))
            parts.append(f'<path d="M{ends[0]:g} {y:g}H{ends[1]:g}" stroke="var(--grid)" stroke-width="2"/>')
            x = _x(left, idle[name])
            parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{LINES[0]}"/>')
            x = _x(left, busy[name])
            parts.append(f'<rect x="{x - 4.5:g}" y="{y - 4.5:g}" width="9" height="9" fill="{LINES[1]}"/>')
            if max(idle[name], busy[name]) > _HIGH:
                text = f"{idle[name]:.2f}, {busy[name]:.2f}"
                parts.append(words(_x(left, _HIGH) - 12, y + 4, text, size=11, anchor="end"))
    y = height + 40
    parts += [
        f'<circle cx="{_LABEL + 6}" cy="{y - 4:g}" r="5" fill="{LINES[0]}"/>',
        words(_LABEL + 18, y, "idle machine"),
        f'<rect x="{_LABEL + 130}" y="{y - 9:g}" width="9" height="9" fill="{LINES[1]}"/>',
        words(_LABEL + 146, y, "one of two cores busy with another process"),
    ]
    return drawing(_WIDTH, y + 12, parts)


def _ratios(found: list[dict[str, Any]], way: str, *, busy: bool) -> dict[str, float]:
    kind = ("cnn", "Adam", way, busy)
    one = next(f for f in found if (f["net"], f["optimizer"], f["way"], f["busy"]) == kind)
    return {name: spread["median"] for name, spread in one["ratios"].items()}


def _x(left: float, ratio: float) -> float:
    return left + (min(max(ratio, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW) * (_PANEL - 10)
