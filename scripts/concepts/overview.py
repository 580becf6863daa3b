"""What the library is: say a rule, see what it chose, train as before, ask why it hurts."""

from __future__ import annotations

import textwrap

import torch
from torch import nn

import regtorch as rt
from concepts.sheet import LINES, box, drawing, words

__all__ = ["drawn"]

_WIDTH, _GAP, _HEIGHT = 452, 18, 160
_MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"


def _heading(x: float, y: float, number: int, title: str) -> list[str]:
    """A disc in the card's colour, and words in the page's ink: some colours are too light for words."""
    disc = f'<circle cx="{x + 3:g}" cy="{y - 5:g}" r="6" fill="{LINES[number]}"/>'
    return [disc, words(x + 18, y, f"{number + 1}  {title}", size=15, weight="600")]


def drawn(columns: int = 2) -> str:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
    receipt = rt.L2(0.01).on(model).receipt().splitlines()
    inputs = torch.randn(10, 32, 20)
    batches = [(x, x[:, :3].argmax(1)) for x in inputs]
    strong = [rt.L1(0.05)]
    finding, *_ = rt.diagnose(model, nn.functional.cross_entropy, batches, torch.optim.Adam(model.parameters()), strong)
    said = [f"{finding.severity}: {finding.cause} at {finding.where}", *textwrap.wrap(finding.why, 58)]
    assert finding.remedy is not None
    cards = [
        (
            "Say the rule",
            ["reg = rt.L2(0.01).on(model)", "rt.MaxNorm(3.0).on(model).attach(optimizer)"],
            [
                "Penalties add to the loss, constraints move weights back.",
                'Any net, any layer: select="kernel -name:head.*|embedding"',
                "A strength means what the receipt says.",
            ],
        ),
        ("Read the receipt", ["print(reg.receipt())"], receipt),
        (
            "Train as before",
            ["reg.attach(optimizer)", "loss.backward(); optimizer.step()"],
            [
                "Exact gradients at every step, no matter who calls it:",
                "your loop, Lightning, accumulation, AMP, DDP, FSDP2.",
                "Exact zeros: attach(optimizer, proximal=True).",
            ],
        ),
        (
            "Ask why it hurts",
            ["rt.diagnose(model, loss_fn, batches, optimizer, [reg])"],
            [*said, f"change: {finding.remedy.rules[0]!r}"],
        ),
    ]
    parts = []
    for number, (title, code, lines) in enumerate(cards):
        x, y = (_WIDTH + _GAP) * (number % columns) + 6, (_HEIGHT + _GAP) * (number // columns) + 6
        parts += [box(x, y, _WIDTH, _HEIGHT), *_heading(x + 16, y + 27, number, title)]
        for row, line in enumerate(code):
            parts.append(words(x + 16, y + 50 + 17 * row, line, family=_MONO, size=12.5))
        below = y + 50 + 17 * len(code) + 6
        plain = number in (0, 2)
        for row, line in enumerate(lines):
            family = {} if plain else {"family": _MONO}
            parts.append(
                words(
                    x + 16,
                    below + (18 if plain else 14.5) * row,
                    line,
                    size=12.5 if plain else 11,
                    colour="currentColor",
                    **family,
                )
            )
    rows = len(cards) // columns
    return drawing(columns * (_WIDTH + _GAP) - _GAP + 12, rows * (_HEIGHT + _GAP) - _GAP + 12, parts)
