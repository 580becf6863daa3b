"""Receipts: which weights a rule acts on, which it leaves out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.serialization import add_safe_globals

from regtorch.notebook import Shown
from regtorch.select.language import Selection
from regtorch.select.listing import columns, in_text

__all__ = ["UNKNOWN", "Receipt", "known", "receipt"]

UNKNOWN = "without values, on the meta device"


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
    lines = [(*columns(w, counts.get(w.name)), by_weight.get(w.name, "") + f"  {w.layout}" * by_unit) for w in chosen]
    left_out = [(*columns(w), reason) for w, reason in selection.left_out]
    remarks = [*(f"changed since binding: {change}" for change in changes), *selection.remarks]
    return Receipt("\n".join([head, *in_text(lines, remarks, left_out)]))
