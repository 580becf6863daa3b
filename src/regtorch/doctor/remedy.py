"""The advice of a finding as data: a program applies it in its own way; `python` turns it into code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regtorch.penalties import Penalty

__all__ = ["Kind", "Remedy"]

Kind = Literal[
    "strength",
    "select",
    "weight decay",
    "rate",
    "maximize",
    "dropout rate",
    "batch size",
    "standardised inputs",
    "no batch norm",
    "no last activation",
    "split",
]
_SETTINGS = {"rate": "lr", "maximize": "maximize"}  # keys of param_groups


@dataclass(frozen=True)
class Remedy:
    """One change.

    Attributes:
        what: the setting to change.
        where: its weights or layers; empty if there is only one such setting.
        value: the new value; None if the measurements give no number.
        rule: the changed penalty, for a "strength" or a "select".
        also: a second change that belongs to the advice.

    Example:
        >>> Remedy("dropout rate", ("2",), 0.2).python()
        'model.get_submodule("2").p = 0.2'
    """

    what: Kind
    where: Sequence[str] = ()
    value: float | str | None = None
    rule: Penalty | None = None
    also: Remedy | None = None

    def parts(self) -> tuple[Remedy, ...]:
        """This change and those that belong to it."""
        return (self, *(self.also.parts() if self.also is not None else ()))

    def python(self) -> str:
        """The change as Python, one line for each part; empty if a line cannot express it.

        `model`, `optimizer`, `dataset`, `x` and `x_train` are placeholders for the user's own names.
        """
        return "\n".join(line for part in self.parts() if (line := part.line()))

    def line(self) -> str:
        """The Python line of this part alone."""
        layers = [f'model.get_submodule("{name}")' for name in self.where]
        if self.rule is not None:
            return f"rt.{self.rule!r}.on(model)" if _can_be_written(self.rule) else ""
        if self.what == "standardised inputs":
            return "x = (x - x_train.mean(0)) / x_train.std(0)"
        if self.what == "no batch norm":
            return "; ".join(f'model.set_submodule("{name}", torch.nn.Identity())' for name in self.where)
        if self.value is None:
            return ""
        if self.what == "weight decay":  # groups without decay stay without
            decaying = '(g for g in optimizer.param_groups if g["weight_decay"])'
            return f'for group in {decaying}: group["weight_decay"] = {self.value!r}'
        if self.what in _SETTINGS:
            return f'for group in optimizer.param_groups: group["{_SETTINGS[self.what]}"] = {self.value!r}'
        if self.what == "dropout rate":
            return "; ".join(f"{layer}.p = {self.value!r}" for layer in layers)
        if self.what == "batch size":
            return f"loader = torch.utils.data.DataLoader(dataset, batch_size={self.value}, shuffle=True)"
        return ""


def _can_be_written(rule: Penalty) -> bool:
    """Whether `rt.` and the rule's text make the same rule: it is the library's, and holds plain values alone."""
    ours = type(rule).__module__.startswith("regtorch.")
    return ours and all(isinstance(value, int | float | str | tuple | None) for value in vars(rule).values())
