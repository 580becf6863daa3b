"""What a finding advises, as data: a program applies it its own way, and `python` says it as a line of code."""

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
_SETTINGS = {"weight decay": "weight_decay", "rate": "lr", "maximize": "maximize"}  # of an optimizer's groups


@dataclass(frozen=True)
class Remedy:
    """One change.

    Attributes:
        what: the setting to change.
        where: the weights or layers it belongs to; empty where there is only one such setting.
        value: what to set it to; None where the measurements give no number.
        rule: the penalty with the change made, of a "strength" or a "select".
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
        """This change, and those that belong to it."""
        return (self, *(self.also.parts() if self.also is not None else ()))

    def python(self) -> str:
        """The change as Python, a line for each part; empty where one line cannot make it.

        The names `model`, `optimizer`, `dataset`, `x` and `x_train` stand for what the user calls these.
        """
        return "\n".join(line for part in self.parts() if (line := part.line()))

    def line(self) -> str:
        """This part of the change alone."""
        layers = [f'model.get_submodule("{name}")' for name in self.where]
        if self.rule is not None:
            return f"rt.{self.rule!r}.on(model)"
        if self.what == "standardised inputs":
            return "x = (x - x_train.mean(0)) / x_train.std(0)"
        if self.what == "no batch norm":
            return "; ".join(f'model.set_submodule("{name}", torch.nn.Identity())' for name in self.where)
        if self.value is None:
            return ""
        if self.what in _SETTINGS:
            return f'for group in optimizer.param_groups: group["{_SETTINGS[self.what]}"] = {self.value!r}'
        if self.what == "dropout rate":
            return "; ".join(f"{layer}.p = {self.value!r}" for layer in layers)
        if self.what == "batch size":
            return f"loader = torch.utils.data.DataLoader(dataset, batch_size={self.value}, shuffle=True)"
        return ""
