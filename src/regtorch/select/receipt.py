"""Receipts: which weights a rule acts on, which it leaves out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from torch import Tensor
from torch.serialization import add_safe_globals

from regtorch.counted import counted
from regtorch.notebook import Shown, folded, table
from regtorch.select.language import Selection
from regtorch.select.weight import Weight

__all__ = ["UNKNOWN", "Receipt", "known", "receipt", "weights_in_html"]

UNKNOWN = "without values, on the meta device"
_OPEN = 24  # weights, above which a list of them is folded


class Receipt(Shown, str):
    """The text of a receipt: a string that a notebook and a prompt show as it is printed.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.L2(0.5).on(torch.nn.Linear(3, 2)).receipt().splitlines()[1].split()[:2]
        ['weight', '2×3']
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


add_safe_globals([Receipt])  # torch.load reads checkpoints with receipts as it reads those with other strings


def known(values: Mapping[str, Tensor]) -> dict[str, float]:
    """The numbers, without those of weights on the meta device."""
    return {name: value.item() for name, value in values.items() if not value.is_meta}


def receipt(
    rule: str,
    selection: Selection,
    total: str,
    by_weight: Mapping[str, str],
    changes: Sequence[str] = (),
    by_unit: bool = False,
    counts: Mapping[str, int] | None = None,
) -> Receipt:
    """The text of a receipt: a heading, the chosen weights, changes since binding, and the weights left out.

    Args:
        rule: the repr of the rule.
        selection: the selection.
        total: the summary over all weights, for the heading.
        by_weight: the note on each weight's line.
        changes: changes since binding.
        by_unit: show the unit dims of each weight.
        counts: for masked weights, the number of parameters under the mask.
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
        names, first = ", ".join(selection.exempt), selection.exempt[0]
        text.append(f"  exempted by the network's no_weight_decay: {names}; to leave one out, add -name:{first}")
    if selection.idle:
        idle = ", ".join(selection.idle)
        text.append(f"  matching no weight: {idle} (give full names: name:head.* or name:head.weight)")
    if left_out:
        text += ["  left out:", *_table(left_out, widths)]
    return Receipt("\n".join(text))


def weights_in_html(selection: Selection) -> str:
    """The chosen weights and those left out, as tables that can be folded."""
    chosen = [[*map(escape, _columns(weight))] for weight in selection.chosen]
    count = sum(weight.shape.numel() for weight in selection.chosen)
    title = f"{counted(len(chosen), 'weight')}, {count:,} parameters"
    html = folded(title, table(("weight", "shape", "parameters"), chosen), opened=len(chosen) <= _OPEN)
    left_out = [[*map(escape, (*_columns(weight), reason))] for weight, reason in selection.left_out]
    if left_out:
        html += folded(f"{len(left_out)} left out", table(("weight", "shape", "parameters", "why"), left_out))
    return html


def _columns(weight: Weight, count: int | None = None) -> tuple[str, str, str]:
    name = " = ".join(weight.names)
    masked = "" if count is None else f"{count:,} of "
    return name, "×".join(map(str, weight.shape)) or "scalar", f"{masked}{weight.shape.numel():,}"


def _table(lines: Sequence[tuple[str, str, str, str]], widths: Sequence[int]) -> list[str]:
    return [f"    {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in lines]
