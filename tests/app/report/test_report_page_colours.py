"""The page's colours can be told from what is behind them."""

from __future__ import annotations

import re

from regtorch.app.pages.environment import environment
from regtorch.plot.panel import SEQUENCE

SHOWN = (*(f"--line{n}" for n in range(7)), *(f"--seq{n}" for n in range(9)), "--faint")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_can_be_told_from_what_is_behind_them():
    style = str(environment().globals["style"])
    blocks = [dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)", style)]
    light, dark, _ = blocks
    assert [look.colour for look in SEQUENCE] == [light[f"--seq{n}"] for n in range(9)]
    for colours in (light, dark):
        steps = [luminance(colours[f"--seq{n}"]) for n in range(9)]
        assert steps == sorted(steps), "also without colours, a sequence is seen"
    for colours in (light, dark):
        for behind in ("--page", "--soft"):
            for name in ("--text", "--muted", "--link", *SHOWN):
                light_one, dark_one = sorted((luminance(colours[name]), luminance(colours[behind])), reverse=True)
                least = 3.0 if name in SHOWN else 4.5
                assert (light_one + 0.05) / (dark_one + 0.05) >= least, (name, behind, colours[name])
