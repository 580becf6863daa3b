"""Where the three ways enter a training step."""

from __future__ import annotations

from concepts.sheet import LINES, box, drawing, words

__all__ = ["drawn"]

_STATIONS = ["forward", "loss", "backward", "unscale, clip", "optimizer.step()"]
_WIDTH, _GAP, _Y = 118, 18, 92
_LEFT = 10


def drawn() -> str:
    parts = [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker></defs>'
    ]
    for number, text in enumerate(_STATIONS):
        parts += [
            box(_x(number), _Y, _WIDTH, 38),
            words(_x(number) + _WIDTH / 2, _Y + 24, text, anchor="middle", size=12.5),
        ]
        if number:
            parts.append(_arrow(_x(number) - _GAP, _Y + 19, _x(number) - 2, _Y + 19, "currentColor"))
    parts += _way(_x(1) + _WIDTH / 2, "1", "loss + reg()", "in the graph", LINES[0])
    parts += _way(_x(3) - _GAP / 2, "2", "reg.add_grad_()", "closed form, before clipping", LINES[1])
    parts += _way(_x(4) + _WIDTH / 2, "3", "reg.attach(optimizer)", "closed form, after clipping", LINES[2])
    middle = _x(4) + _WIDTH / 2
    parts.append(_arrow(middle, _Y + 78, middle, _Y + 41, LINES[3]))
    parts.append(
        words(
            _x(4) + _WIDTH,
            _Y + 94,
            "constraint.attach(optimizer)",
            anchor="end",
            family="ui-monospace,monospace",
            colour=LINES[3],
        )
    )
    parts.append(
        words(_x(4) + _WIDTH, _Y + 110, "projects after the step", anchor="end", size=11, colour="var(--faint)")
    )
    parts.append(words(_LEFT, _Y + 94, "Use one of the three: the gradient is the same.", size=12))
    parts.append(
        words(_LEFT, _Y + 110, "What differs is what clipping and scaling see of it.", size=11, colour="var(--faint)")
    )
    return drawing(_x(4) + _WIDTH + 12, _Y + 122, parts)


def _x(number: int) -> float:
    return _LEFT + number * (_WIDTH + _GAP)


def _way(x: float, number: str, code: str, note: str, colour: str) -> list[str]:
    anchor, at = ("end", min(x + 75, _x(4) + _WIDTH)) if number == "3" else ("middle", x)
    return [
        words(at, 18, f"way {number}", weight="600", colour=colour, anchor=anchor),
        words(at, 36, code, family="ui-monospace,monospace", colour=colour, anchor=anchor),
        words(at, 52, note, size=11, colour="var(--faint)", anchor=anchor),
        _arrow(x, 59, x, _Y - 3 if number != "2" else _Y + 12, colour),
    ]


def _arrow(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    return f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{colour}" stroke-width="1.8" marker-end="url(#tip)"/>'
