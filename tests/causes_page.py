"""The page of the doctor's causes, docs/causes.md: `python tests/causes_page.py` writes it from the table of causes.

Its examples and pictures are those of `python tests/causes_pictures.py`, which trains nets and takes minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from regtorch.doctor.causes import CAUSES, SUBJECTS, Cause

PAGE = Path(__file__).parents[1] / "docs" / "causes.md"
EXAMPLES = Path(__file__).parent / "doctor" / "causes.json"
NOTES = ("measurement_failed", "outputs_together", "optimizer_not_watched", "history_incomplete")
"""What is said of the diagnosis itself, and has no picture."""
_HEAD = """# Causes

<!-- Written by `python tests/causes_page.py`, its examples and pictures by `python tests/causes_pictures.py`. -->

All {count} causes that the doctor knows, each with an example: what it says of that, and what the fault does to
a training. In most pictures a small net on real data is trained for 300 steps: *without the fault*, *as it is*, and,
where the advice is a setting, *with the advice*, taken as the finding's `remedy` has it; scores are of held-out
samples. Lines that end together say that the fault did no harm in this net. A *note* names what is worth knowing.

In the table causes stand in the order in which findings of equal severity are listed: cause before consequence.
*Found by* is a file in `regtorch/doctor/measure/`; `along` are looks along a training, `history` are curves.

| cause | | severity | found by | prevents training |
|---|---|---|---|:-:|
"""
_OTHERS = {"": "What stops a training", "along": "Along a training", "history": "Curves"}


def page() -> str:
    """The page as it is to be."""
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    groups: dict[str, list[Cause]] = {}
    for cause in CAUSES.values():
        groups.setdefault(cause.measurement, []).append(cause)
    parts = [_HEAD.format(count=len(CAUSES)) + "\n".join(map(_row, CAUSES.values()))]
    for measurement, causes in groups.items():
        title = SUBJECTS.get(measurement) or _OTHERS[measurement]
        parts.append(f"## {title[0].upper()}{title[1:]}")
        parts += ["\n\n".join(_entry(cause, examples)) for cause in causes]
        parts.append("*Drawn by `python tests/causes_pictures.py`.*")
    return "\n\n".join(parts) + "\n"


def _row(cause: Cause) -> str:
    severities = ", ".join(cause.severities).replace("info", "note")
    found_by = cause.measurement or "the steps"
    prevents = "yes" * cause.prevents_steps
    return f"| [`{cause.name}`](#{cause.name}) | {cause.title} | {severities} | {found_by} | {prevents} |"


def _entry(cause: Cause, examples: dict[str, dict[str, str]]) -> Iterator[str]:
    yield f'<a id="{cause.name}"></a>'
    yield f"**{cause.title}** · `{cause.name}`"
    if cause.name in NOTES:
        yield "A note on the diagnosis itself."
        return
    told = examples[cause.name]
    severity = "note" if told["severity"] == "info" else told["severity"]
    where = f", in `{told['where']}`" if told["where"] else ""
    yield f"*Example: {told['example']}.* The doctor says ({severity}{where}): {_plain(told['why'])}"
    yield f"*Change:* {_plain(told['change'])}"
    yield f"![{cause.title}: {told['example']}](pictures/causes/{cause.name}.svg)"


def _plain(text: str) -> str:
    """Words as they are, not as Markdown."""
    for sign in "\\*_<|[":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
