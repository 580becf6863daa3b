"""Keras's learning rate schedules: functions of the number of steps made."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, cast

from regtorch.checks import flag, nonnegative, number, shown
from regtorch.keras.identifiers import identify

__all__ = ["decayed", "is_schedule", "learning_rate_schedule"]

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class _ByTime:
    """`initial · rate^p` or `initial / (1 + rate · p)`, p = step / decay_steps, rounded down if staircase."""

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def passed(self, step: int) -> float:
        p = step / self.decay_steps
        return math.floor(p) if self.staircase else p


class ExponentialDecay(_ByTime):
    """`initial · rate^p`."""

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** self.passed(step)


class InverseTimeDecay(_ByTime):
    """`initial / (1 + rate · p)`."""

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * self.passed(step))


@dataclass(frozen=True)
class PiecewiseConstantDecay:
    """`values[i]`, i the number of boundaries below the step."""

    boundaries: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.boundaries) != len(self.values) - 1 or sorted(self.boundaries) != list(self.boundaries):
            raise ValueError(
                f"PiecewiseConstantDecay: values must be one more than the ascending boundaries, received "
                f"{shown(self.boundaries)} and {shown(self.values)}"
            )

    def __call__(self, step: int) -> float:
        return self.values[bisect_left(self.boundaries, step)]


@dataclass(frozen=True)
class PolynomialDecay:
    """`(initial - end) · (1 - step / decay_steps)^power + end`; with cycle, decay_steps grows in whole multiples."""

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __call__(self, step: int) -> float:
        steps = self.decay_steps * (max(1, math.ceil(step / self.decay_steps)) if self.cycle else 1)
        left = 1 - min(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@dataclass(frozen=True)
class CosineDecay:
    """`top · ((1 - alpha) · (1 + cos(π p)) / 2 + alpha)`, p the share of decay_steps after a linear warmup to top."""

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: float = 0.0

    def __call__(self, step: int) -> float:
        start, top, warmup = self.initial_learning_rate, self.warmup_target, self.warmup_steps
        if top is None:
            top, warmup = start, 0.0
        elif step < warmup:
            return start + (top - start) * step / warmup
        p = min(step - warmup, self.decay_steps) / self.decay_steps
        return top * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * p)) + self.alpha)


@dataclass(frozen=True)
class CosineDecayRestarts:
    """A cosine that restarts after first_decay_steps, then t_mul times as many, each m_mul times as high."""

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __call__(self, step: int) -> float:
        p, t = step / self.first_decay_steps, self.t_mul
        if t == 1:
            restarts = math.floor(p)
            p -= restarts
        else:
            restarts = math.floor(math.log(1 - p * (1 - t)) / math.log(t))
            p = (p - (1 - t**restarts) / (1 - t)) / t**restarts
        cosine = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * p))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class LinearCosineDecay:
    """Keras 2's: `initial · ((alpha + 1 - p) · (1 + cos(2π · num_periods · p)) / 2 + beta)`, p the share passed."""

    initial_learning_rate: float
    decay_steps: float
    num_periods: float = 0.5
    alpha: float = 0.0
    beta: float = 0.001

    def __call__(self, step: int) -> float:
        p = min(step, self.decay_steps) / self.decay_steps
        cosine = 0.5 * (1 + math.cos(math.pi * 2 * self.num_periods * p))
        return self.initial_learning_rate * ((self.alpha + 1 - p) * cosine + self.beta)


_SCHEDULES: dict[str, Callable[..., Schedule]] = {
    kind.__name__: kind
    for kind in (
        *(ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay, CosineDecay),
        *(CosineDecayRestarts, LinearCosineDecay),
    )
}
_STEPS = ("decay_steps", "first_decay_steps")  # above 0
_FLAGS = ("staircase", "cycle")
_LISTS = ("boundaries", "values")


def learning_rate_schedule(identifier: Any) -> Schedule:
    """The function of a schedule's config, or of a Keras schedule.

    Raises:
        ValueError: the schedule or a setting is unknown, or a setting is missing or out of range.
    """
    name, config = identify("optimizer: learning_rate", identifier, _SCHEDULES)
    config.pop("name", None)
    config = {k: _checked(name, k, v) for k, v in config.items() if not (k == "warmup_target" and v is None)}
    settings: Any = fields(cast("Any", _SCHEDULES[name]))
    missing = [f.name for f in settings if f.default is MISSING and f.name not in config]
    unknown = config.keys() - {f.name for f in settings}
    if missing or unknown:
        what = f"needs {', '.join(missing)}" if missing else f"has no {', '.join(sorted(unknown))}"
        raise ValueError(f"optimizer: {name} {what}; received {shown(config)}")
    return _SCHEDULES[name](**config)


def _checked(owner: str, key: str, value: Any) -> Any:
    if key in _FLAGS:
        return flag(owner, key, value)
    if key in _LISTS:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"{owner}: {key} must be a list of numbers, received {shown(value)}")
        return tuple(number(owner, key, x) for x in value)
    if key == "t_mul":
        return number(owner, key, value, "shorter periods end at a step without a learning rate", low=1)
    if key in _STEPS:
        return number(owner, key, value, low=0, above=True)
    return number(owner, key, value) if key == "num_periods" else nonnegative(owner, key, value, "see Keras")


@dataclass(frozen=True)
class _Decayed:
    """The `decay=` of Keras's legacy optimizers: `lr / (1 + decay · step)`."""

    lr: float | Schedule
    decay: float

    def __call__(self, step: int) -> float:
        return (self.lr(step) if callable(self.lr) else self.lr) / (1 + self.decay * step)


def decayed(lr: float | Schedule, decay: Any) -> float | Schedule:
    """The learning rate with Keras's legacy `decay`."""
    return _Decayed(lr, checked) if (checked := nonnegative("optimizer", "decay", decay)) else lr


def is_schedule(value: Any) -> bool:
    """Whether a learning rate is a schedule's config, or a Keras schedule."""
    return isinstance(value, Mapping) or hasattr(value, "get_config")
