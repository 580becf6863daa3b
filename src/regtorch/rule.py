"""Base classes of all rules: frozen descriptions of a formula, its strengths and the weights it applies to."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import Field, dataclass, field, fields
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, dataclass_transform

import torch
from torch import Tensor

from regtorch.checks import nonnegative
from regtorch.notebook import Shown, code

DEFAULT_SELECT = "kernel"
Grain = Literal["element", "unit", "weight"]
_OF_BOUND = ("attach", "add_grad_", "by_weight", "receipt", "sparsity", "scale")
_STRENGTHS = ("lam", "l1", "l2")


def make_dataclass(cls: type) -> None:
    """Turn a class and its bases into dataclasses, except those with an `__init__`, which every dataclass has.

    Not in `__init_subclass__`, which runs before a `@dataclass` decorator. The library's own rules are made where they
    are listed, so that config parsers find their arguments.
    """
    for kind in reversed(cls.__mro__):
        if issubclass(kind, Formula) and "__init__" not in vars(kind):
            dataclass(frozen=True, repr=False, eq=False)(kind)


class _Signature:
    """Makes the dataclass before `inspect.signature` reads its `__init__`."""

    def __get__(self, rule: object, cls: type) -> None:
        make_dataclass(cls)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
@dataclass(frozen=True, repr=False, eq=False)
class Formula(Shown, ABC):
    """A formula with its strength.

    A subclass is a frozen dataclass, with or without the decorator, or defines its own `__init__`.
    """

    __signature__ = _Signature()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        make_dataclass(cls)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check the fields; a subclass calls `super().__post_init__()` first."""

    @property
    def name(self) -> str:
        """The class's name, for messages and tables."""
        return type(self).__name__

    def selecting(self, select: str) -> Self:
        """The same rule on other weights."""
        rule = copy(self)
        rule._set(select=select)
        return rule

    def __repr__(self) -> str:
        by_position = [f.name for f in fields(self) if f.repr and not f.kw_only]
        by_name = [f.name for f in fields(self) if f.repr and f.kw_only and _given(self, f) and f.name != "select"]
        own = [key for key in vars(self) if key not in {f.name for f in fields(self)} and not key.startswith("_")]
        shown = by_position + own + by_name + ["select"] * (getattr(self, "select", DEFAULT_SELECT) != DEFAULT_SELECT)
        return f"{self.name}({', '.join(f'{key}={_shown(getattr(self, key))}' for key in shown)})"

    def _repr_html_(self) -> str:
        return code(repr(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._identity() == other._identity()  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        return hash((type(self), *self._identity()))

    def _identity(self) -> tuple[object, ...]:
        """All attributes, for equality and hashing; tensors and unhashable values by identity."""
        return tuple((key, value if _hashable(value) else id(value)) for key, value in sorted(vars(self).items()))

    def _set(self, **values: object) -> None:
        """Set attributes of the frozen instance."""
        for key, value in values.items():
            object.__setattr__(self, key, value)


@dataclass(frozen=True, repr=False, eq=False)
class Rule(Formula):
    """A formula and the weights it applies to.

    Args:
        select: which weights of a module, in the language of `regtorch.select`.
    """

    select: str = field(default=DEFAULT_SELECT, kw_only=True)

    def _repr_html_(self) -> str:
        return f"{super()._repr_html_()} on {escape(self.select)}"

    @property
    def grain(self) -> Grain:
        """The smallest part of a weight that is treated by itself; no process reads more of a sharded weight."""
        return "weight"

    @property
    def by_norm(self) -> bool:
        """Whether its gradient, or its map, is each unit times a number that the unit's norm gives."""
        return False

    def of_part(self, part: Callable[[Tensor], Tensor]) -> Self:
        """The rule for a part of the weight.

        Args:
            part: from a tensor of the weight's shape, in the layout of `__call__`, to that part.
        """
        return self

    if not TYPE_CHECKING:  # type checkers would accept any attribute

        def __getattr__(self, name: str) -> Any:
            bound = "; bind it first, as in rule.on(model)" if name in _OF_BOUND else ""
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}{bound}")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.select, str):
            raise TypeError(
                f"{self.name}: select must be a string such as 'kernel -name:head.*', received {self.select!r}"
            )


class Strengths(Formula):
    """A formula multiplied by its fields `lam`, `l1` and `l2`, as far as it has them."""

    _of_class: ClassVar[tuple[str, ...]] = ()  # the strengths that are defaults or properties

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._of_class = tuple(key for key in _STRENGTHS if hasattr(cls, key))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(**{key: nonnegative(self.name, key, value) for key, value in self.strengths.items()})

    @property
    def strengths(self) -> dict[str, float]:
        """The factors of the formula by field name: `lam`, `l1`, `l2`."""
        own = vars(self)  # hasattr(self, key) would make a message for each that is not there
        return {key: getattr(self, key) for key in _STRENGTHS if key in own or key in self._of_class}

    @property
    def active(self) -> bool:
        """Whether any strength is above 0, or there are none; an inactive penalty is exactly a no-op."""
        strengths = self.strengths
        return not strengths or any(strengths.values())

    def scaled(self, factor: float) -> Self:
        """The same penalty times `factor`.

        Raises:
            TypeError: it has no strengths.
        """
        if not self.strengths:
            raise TypeError(f"{self.name} has no strength to scale; give it a field lam")
        scaled = copy(self)
        scaled._set(**{key: factor * value for key, value in self.strengths.items()})
        return scaled


def _given(rule: Formula, f: Field[Any]) -> bool:
    value = getattr(rule, f.name)
    return isinstance(value, Tensor) or value != f.default


def _shown(value: object) -> str:
    """A short repr: a tensor's shape, a mapping's size, a function's name."""
    if isinstance(value, Tensor):
        return f"<tensor of shape {tuple(value.shape)}>"
    if isinstance(value, Mapping):
        return f"<{len(value)} entries>"
    return getattr(value, "__name__", None) or repr(value)


def _hashable(value: object) -> bool:
    if isinstance(value, Tensor):
        return False
    try:
        hash(value)
    except TypeError:
        return False
    return True


def has_exact_repr(rule: Formula) -> bool:
    """Whether `rt.` and the rule's repr make the same rule: it is the library's, and holds plain values alone."""
    ours = type(rule).__module__.startswith("regtorch.")
    return ours and all(isinstance(value, int | float | str | tuple | None) for value in vars(rule).values())


def with_inner(rule: Any) -> Iterator[Any]:
    """A rule, and those that it wraps."""
    while rule is not None:
        yield rule
        rule = vars(rule).get("rule")


def is_ours(rule: Any) -> bool:
    """Whether its formula is the library's, which depends on the rule's fields alone; a user's may do anything."""
    return all(type(one).__module__.startswith("regtorch.") for one in with_inner(rule))


def check_real(owner: str, w: Tensor) -> None:
    """Raise a TypeError unless `w` is a real floating-point tensor."""
    if not isinstance(w, Tensor):
        raise TypeError(f"{owner}: w must be a tensor, received {type(w).__name__}")
    if not w.is_floating_point():
        raise TypeError(f"{owner}: w must hold real floating-point numbers, received {w.dtype}; convert it first")


def wide(w: Tensor) -> Tensor:
    """`w` in at least float32, the dtype of all sums (half precision overflows at 65,504)."""
    return w.to(torch.promote_types(w.dtype, torch.float32))
