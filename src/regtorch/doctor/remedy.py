"""The advice of a finding as data: a program applies it in its own way; `python` turns it into code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from regtorch.notebook import Shown
from regtorch.rule import Rule, has_exact_repr

__all__ = ["Kind", "NoNumber", "Remedy"]

Kind = Literal[
    "strength",
    "select",
    "bound",
    "no constraint",
    "mean loss",
    "weight decay",
    "rate",
    "maximize",
    "momentum",
    "dropout rate",
    "batch size",
    "standardised inputs",
    "no batch norm",
    "no last activation",
    "split",
    "epochs",
]
_OF_GROUPS: Mapping[str, str] = {
    "rate": "lr",
    "weight decay": "weight_decay",
    "maximize": "maximize",
    "momentum": "momentum",
}
_OF_RULES = ("strength", "select", "bound")
_VALUED = (*_OF_RULES, *_OF_GROUPS, "dropout rate", "batch size", "epochs")
_LINES: Mapping[str, str] = {
    "standardised inputs": "x = (x - x_train.mean(0)) / x_train.std(0).where(x_train.std(0) > 0, 1.0)",
    "no constraint": "handle.remove()",
    "mean loss": 'loss_fn.reduction = "mean"',
}


@dataclass(frozen=True)
class NoNumber:
    """In place of a value that the measurements do not give."""

    why: str


@dataclass(frozen=True)
class Remedy(Shown):
    """One change.

    Attributes:
        what: the setting to change.
        where: its weights or layers; empty if there is only one such setting.
        value: the new value, or why there is none; None if the change has no value, or for a `factor`.
        factor: multiplies several values that differ.
        rules: for a "strength", a "select" or a "bound", the changed rules, which together replace the present ones.
        groups: the optimizer's parameter groups, by index; empty for all. Decay is changed only where there is any.
        also: a second change that belongs to the advice.

    Raises:
        ValueError: a change of a value without one, or another change with one.

    Example:
        >>> Remedy("dropout rate", ("2",), 0.2).python()
        'model.get_submodule("2").p = 0.2'
    """

    what: Kind
    where: Sequence[str] = ()
    value: float | str | NoNumber | None = None
    factor: float | None = field(default=None, kw_only=True)
    rules: Sequence[Rule] = field(default=(), kw_only=True)
    groups: Sequence[int] = field(default=(), kw_only=True)
    also: Remedy | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        given = (self.value is not None) + (self.factor is not None)
        if given != (self.what in _VALUED):
            expected = "a value, a factor or a NoNumber" if self.what in _VALUED else "no value"
            raise ValueError(
                f"Remedy: {self.what!r} takes {expected}, received value={self.value!r}, factor={self.factor!r}"
            )

    def __str__(self) -> str:
        return self.python() or repr(self)

    def parts(self) -> tuple[Remedy, ...]:
        """This change and those that belong to it."""
        return (self, *(self.also.parts() if self.also is not None else ()))

    def python(self) -> str:
        """The change as Python, one line for each part; empty if a line cannot express it.

        Placeholders for the user's own names: `model`, `optimizer`, `loss_fn`, `dataset`, `x`, `x_train`, and `handle`,
        which a constraint's `attach` returned.
        """
        return "\n".join(line for part in self.parts() if (line := part.line()))

    def line(self) -> str:
        """The Python line of this part alone."""
        if self.what in _LINES:
            return _LINES[self.what]
        if self.what == "no batch norm":
            return "; ".join(f'model.set_submodule("{name}", torch.nn.Identity())' for name in self.where)
        if isinstance(self.value, NoNumber):
            return ""
        if self.what in _OF_RULES:
            written = all(map(has_exact_repr, self.rules))
            return " + ".join(f"rt.{rule!r}.on(model)" for rule in self.rules) if written else ""
        if self.what in _OF_GROUPS:
            return self._line_of_groups(_OF_GROUPS[self.what])
        if self.what == "dropout rate":
            return "; ".join(f'model.get_submodule("{name}").p = {self.value!r}' for name in self.where)
        if self.what == "epochs":
            return f"epochs = {self.value}"
        if self.what == "batch size":
            return f"loader = torch.utils.data.DataLoader(dataset, batch_size={self.value}, shuffle=True)"
        return ""

    def _line_of_groups(self, key: str) -> str:
        change = f"= {self.value!r}" if self.factor is None else f"*= {self.factor!r}"
        if self.groups:
            return "; ".join(f'optimizer.param_groups[{index}]["{key}"] {change}' for index in self.groups)
        decaying = '(g for g in optimizer.param_groups if g["weight_decay"])'  # the others stay without
        groups = decaying if self.what == "weight decay" else "optimizer.param_groups"
        return f'for group in {groups}: group["{key}"] {change}'
