"""The table of causes in docs/doctor.md, made from the doctor's own: `python tests/causes_page.py` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from regtorch.doctor.causes import CAUSES

PAGE = Path(__file__).parents[1] / "docs" / "doctor.md"
_TABLE = re.compile(r"(?<=<!-- causes -->\n).*(?=\n<!-- end -->)", re.DOTALL)


def rows() -> list[str]:
    """A row for every cause, what is wrong first before what follows from it."""
    found = [
        f'| <a id="{cause.name}"></a>`{cause.name}` | {cause.title} | {", ".join(cause.severities)} | '
        f"{cause.measurement or 'the steps'} | {'yes' * cause.prevents_steps} |"
        for cause in CAUSES.values()
    ]
    return ["| cause | | severity | found by | prevents training |", "|---|---|---|---|:-:|", *found]


def written(text: str) -> str:
    """The page with its table as it is to be."""
    table = "\n".join(rows())
    return _TABLE.sub(lambda _: table, text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
