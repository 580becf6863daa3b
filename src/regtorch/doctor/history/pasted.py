"""What is pasted from a terminal or a page: the dicts that Hugging Face prints, and tables that are drawn as text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from regtorch.doctor.history.names import meaning
from regtorch.doctor.history.rows import Row

__all__ = ["drawn_rows", "logged_rows"]

_LONGEST = 4000  # characters of a line
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf"
_ITEM = re.compile(rf"""['"]([\w/. -]{{1,80}})['"]\s*:\s*['"]?({_NUMBER})(?=['",}}\s])""", re.IGNORECASE)
_DICT = re.compile(r"\{[^{}\[\]]*\}")
_RULE = re.compile(r"[\s|:+=-]+")
_CELL = re.compile(rf"{_NUMBER}|[\d:.]+%?|-|None", re.IGNORECASE)


def logged_rows(text: str) -> list[Row]:
    """The dicts of a text, one a line, as Hugging Face prints them, that have a loss or an accuracy."""
    found: list[Row] = []
    for line in text.splitlines():
        match = _DICT.search(line) if "{" in line and len(line) <= _LONGEST else None
        row: dict[str, str] = dict(_ITEM.findall(match[0])) if match else {}
        if _is_header(list(row)):
            found.append(row)
    return found


def drawn_rows(text: str) -> list[Row]:
    """The rows of a table whose columns are drawn by bars or spaces, as in Markdown and as fastai and pandas print."""
    lines = [line for line in text.splitlines() if line.strip() and not _RULE.fullmatch(line)]
    if len(lines) < 2 or any(len(line) > _LONGEST for line in lines):
        return []
    bars = lines[0].count("|") > 1
    header, *rows = [_cells(line, bars=bars) for line in lines]
    if not _is_header(header) or any(sign in lines[0] for sign in ":=[{,;"):
        return []
    if rows and all(len(row) == len(header) + 1 for row in rows):  # pandas numbers its rows
        header = ["", *header]
    whole = all(len(row) == len(header) and all(not cell or _CELL.fullmatch(cell) for cell in row) for row in rows)
    if not whole:
        return []
    return [{n: c for n, c in zip(header, row, strict=True) if c not in ("-", "None")} for row in rows]


def _cells(line: str, *, bars: bool) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if bars else line.split()


def _is_header(names: Sequence[str]) -> bool:
    columns = [meaning(name) for name in names]
    return len(names) > 1 and any(c is not None and c.quantity in ("loss", "accuracy") for c in columns)
