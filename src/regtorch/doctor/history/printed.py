"""What Keras prints while it trains, in every version's form, and loops that print `name: value`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regtorch.doctor.history.names import meaning
from regtorch.doctor.history.rows import Row

__all__ = ["printed_rows", "printed_samples"]

_LINES = re.compile(r"[\r\n]|\x08+")  # a bar is drawn over by a carriage return or by backspaces
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_EPOCH = re.compile(r"^\W*epoch\W{0,3}(\d{1,9})\b", re.IGNORECASE)
_PAIR = re.compile(
    r"(?<![\w/.])([A-Za-z][\w/.]{0,80}(?: (?:loss|acc|accuracy|penalty|rate)\b)?)\s*[:=]\s*"
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf)(?![\w.])(\s?%)?",
    re.IGNORECASE,
)
_PROGRESS = re.compile(r"^\W*(\d+)/(\d+)\b")
_SAMPLES = re.compile(r"train on \d+ samples, validate on (\d+) samples", re.IGNORECASE)
_LONGEST = 4000  # characters of a line


def printed_samples(text: str) -> int | None:
    """The number of validation samples that Keras 1 and 2 print before they train."""
    found = _SAMPLES.search(text)
    return int(found[1]) if found else None


def printed_rows(text: str) -> Iterator[Row]:
    """A row for each epoch that a text prints; its last line counts, and other text is passed over."""
    number: int | None = None  # of the header above
    row: dict[str, float | int] = {}
    unnumbered: list[dict[str, float | int]] = []  # before the first header

    for line in _LINES.split(_COLOURS.sub("", text)):
        if len(line) > _LONGEST:
            continue
        header = _EPOCH.match(line)
        if header:
            new = int(header[1])
            if new != number:
                if unnumbered:
                    yield from _numbered(unnumbered, new)
                    unnumbered = []
                if row:
                    yield row
                number, row = new, {}
        found = _pairs(line[header.end() :] if header else line)
        if not found:
            continue
        if number is None:
            unnumbered.append(found)
        elif row and _ends(row) and not header and not _PROGRESS.match(line):
            yield row  # a loop that prints no headers after the first
            number += 1
            row = {"epoch": number, **found}
        else:
            row = {**row, "epoch": number, **found}
    if row:
        yield row
    yield from _numbered(unnumbered, len(unnumbered) + 1)


def _numbered(rows: list[dict[str, float | int]], following: int) -> Iterator[Row]:
    """The rows before a header, whose number follows theirs."""
    first = max(1, following - len(rows))
    for number, row in enumerate(rows, first):
        yield {"epoch": number, **row}


def _ends(row: Row) -> bool:
    return any(name.lower().startswith("val") for name in row)


def _pairs(line: str) -> dict[str, float | int]:
    """The values of a line that has a loss or an accuracy."""
    found: dict[str, float | int] = {}
    if ":" not in line and "=" not in line:
        return found
    for name, value, percent in _PAIR.findall(line):
        found[name] = float(value) / (100 if percent else 1)
    columns = [meaning(name) for name in found]
    known = any(c is not None and c.quantity in ("loss", "accuracy") for c in columns)
    kept = {n: v for (n, v), c in zip(found.items(), columns, strict=True) if c is not None and c.stage != "place"}
    return kept if known else {}
