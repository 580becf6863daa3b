"""What a penalty and a constraint share: a frozen description of a formula and of the weights it is meant for."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass, field, fields
from numbers import Real

import torch
from torch import Tensor

DEFAULT_SELECT = "kernel"


@dataclass(frozen=True, repr=False)
class Rule(ABC):
    """A formula with its strength, and where it applies.

    Args:
        select: which weights of a module, in the language of `regtorch.select`.
    """

    select: str = field(default=DEFAULT_SELECT, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.select, str):
            raise TypeError(
                f"{self.name}: select must be a string such as 'kernel -name:head.*', received {self.select!r}"
            )

    @property
    def name(self) -> str:
        """The class's name, for messages and tables."""
        return type(self).__name__

    def __repr__(self) -> str:
        shown = sorted(fields(self), key=lambda f: (f.kw_only, f.name == "select"))
        given = [f for f in shown if not f.kw_only or getattr(self, f.name) != f.default]
        return f"{self.name}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in given)})"

    def _set(self, **values: object) -> None:
        """Write checked values back while the dataclass is being made."""
        for key, value in values.items():
            object.__setattr__(self, key, value)


def nonnegative(owner: str, argument: str, value: object, hint: str = "0 switches it off") -> float:
    """Check a strength, a bound or a rate: a finite number of at least 0; `hint` says what to give instead.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: it is negative, infinite or not a number.
    """
    expected = f"{owner}: {argument} must be a finite number of at least 0, received {value!r}"
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{expected} of type {type(value).__name__}; give a plain number")
    try:
        number = float(value)
    except OverflowError:  # an int beyond every float
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{expected}; {hint}")
    return number


def check_real(owner: str, w: Tensor) -> None:
    """Refuse what no rule is defined for.

    Raises:
        TypeError: `w` is no tensor of real floating-point numbers.
    """
    if not isinstance(w, Tensor):
        raise TypeError(f"{owner}: w must be a tensor, received {type(w).__name__}")
    if not w.is_floating_point():
        raise TypeError(f"{owner}: w must hold real floating-point numbers, received {w.dtype}; convert it first")


def wide(w: Tensor) -> Tensor:
    """`w` in at least float32, in which every sum accumulates (half precision overflows at 65,504)."""
    return w.to(torch.promote_types(w.dtype, torch.float32))
