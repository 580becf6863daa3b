"""The text of a receipt: which weights a rule acts on, and which not and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regtorch.select.language import Selection
from regtorch.select.weight import Weight

__all__ = ["receipt"]


def receipt(
    rule: str,
    selection: Selection,
    total: str,
    by_weight: Mapping[str, str],
    changes: Sequence[str] = (),
    by_unit: bool = False,
    counts: Mapping[str, int] | None = None,
) -> str:
    """A heading, a line for each chosen weight, what changed, and each weight left out with the reason.

    Args:
        rule: the rule's text.
        selection: what was chosen.
        total: what the heading says of all weights.
        by_weight: what a line says of one.
        changes: what changed since binding.
        by_unit: say where each weight's units lie.
        counts: of weights on a part of which the rule acts, how many parameters that part has.
    """
    chosen = selection.chosen
    counts = counts or {}
    parameters = sum(counts.get(w.name, w.shape.numel()) for w in chosen)
    head = f"{rule}: {len(chosen)} weight{'s' * (len(chosen) != 1)}, {parameters:,} parameters, {total}"
    lines = [(*_columns(w, counts.get(w.name)), by_weight.get(w.name, "") + f"  {w.layout}" * by_unit) for w in chosen]
    left_out = [(*_columns(w), reason) for w, reason in selection.left_out]
    widths = [max(len(line[i]) for line in [*lines, *left_out]) for i in range(3)]
    text = [head, *_table(lines, widths)]
    text += [f"  changed since binding: {change}" for change in changes]
    if selection.exempt:
        names = ", ".join(selection.exempt)
        text.append(
            f"  by its own no_weight_decay the net exempts {names}; to leave one out, add -name:{selection.exempt[0]}"
        )
    if selection.idle:
        idle = ", ".join(selection.idle)
        text.append(f"  matching no weight: {idle} (names are whole: name:head.* or name:head.weight)")
    if left_out:
        text += ["  left out:", *_table(left_out, widths)]
    return "\n".join(text)


def _columns(weight: Weight, count: int | None = None) -> tuple[str, str, str]:
    name = " = ".join(weight.names)
    of = "" if count is None else f"{count:,} of "
    return name, "×".join(map(str, weight.shape)) or "scalar", f"{of}{weight.shape.numel():,}"


def _table(lines: Sequence[tuple[str, str, str, str]], widths: Sequence[int]) -> list[str]:
    return [f"    {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in lines]
