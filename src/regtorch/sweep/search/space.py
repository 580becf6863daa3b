"""What a search may choose: ranges and choices, each for a key of train.py's config."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from regtorch.training.errors import RunError
from regtorch.training.quoting import quoted

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["KEYS", "Range", "distributions", "examples", "overrides_of", "read_space"]

KEYS = {"lam": "reg.lam", "select": "reg.select", "rate": "reg.rate", "max_value": "constraint.max_value"}
"""The keys of `search` that name a range, and what they choose; `search.also` has any others."""

_BOUNDS = {"reg.lam": (0.0, math.inf), "reg.rate": (0.0, 1.0), "constraint.max_value": (0.0, math.inf)}

Range = str | list[Any]


def read_space(search: DictConfig) -> dict[str, Range]:
    """The ranges that are given, by key of train.py's config.

    Raises:
        RunError: one is no range, or none is given.
    """
    given = {key: (f"search.{name}", search[name]) for name, key in KEYS.items()}
    if not isinstance(search.also, DictConfig | None):
        form = "{optimizer.lr: 'log:1e-4:1e-1'}"
        raise RunError(f"search.also: expected ranges by key such as {form}, received {search.also!r}")
    given |= {str(key): (f"search.also.{key}", value) for key, value in (search.also or {}).items()}
    idle = [key for key in given if key == "out_dir" or key.startswith(("hydra.", "hydra/"))]
    if idle:
        raise RunError(f"search.also.{idle[0]}: it changes nothing that is trained; leave it out")
    space: dict[str, Range] = {}
    for key, (name, value) in given.items():
        if value is not None:
            plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            _check_bounds(name, key, _distribution(name, plain))
            assert isinstance(plain, str | list)
            space[key] = plain
    if not space:
        raise RunError("nothing is searched; give search.lam=log:1e-6:1, search.rate=lin:0:0.8 or search.select=[...]")
    return space


def distributions(space: Mapping[str, Range]) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each key."""
    return {key: _distribution(key, value) for key, value in space.items()}


def _distribution(name: str, value: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(value, list):
        if len(value) < 2 or len({repr(choice) for choice in value}) < len(value):
            raise RunError(f"{name}: expected a list of at least two different choices, received {value}")
        if not all(isinstance(choice, str | int | float | bool | None) for choice in value):
            raise RunError(f"{name}: expected words and numbers to choose from, received {value}")
        return CategoricalDistribution(value)
    low, high, log = _range(name, value)
    return FloatDistribution(low, high, log=log)


def _check_bounds(name: str, key: str, distribution: BaseDistribution) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    low, high = _BOUNDS.get(key, (-math.inf, math.inf))
    values: Iterable[Any] = ()
    if isinstance(distribution, FloatDistribution):
        values = (distribution.low, distribution.high)
    elif isinstance(distribution, CategoricalDistribution):
        values = (choice for choice in distribution.choices if isinstance(choice, int | float))
    for value in values:
        if not low <= value <= high:
            expected = "at least 0" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise RunError(f"{name}: expected numbers {expected}, received {value:g}")


def _range(name: str, value: Any) -> tuple[float, float, bool]:
    expected = f"{name}: expected log:LOW:HIGH, lin:LOW:HIGH or a list of choices, received {value!r}"
    parts = value.split(":") if isinstance(value, str) else []
    if len(parts) != 3 or parts[0] not in ("log", "lin"):
        raise RunError(expected)
    try:
        low, high = float(parts[1]), float(parts[2])
    except ValueError:
        raise RunError(expected) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise RunError(f"{expected}; LOW must be below HIGH, and both be finite")
    if parts[0] == "log" and low <= 0:
        raise RunError(f"{expected}; a log range begins above 0 (a choice without penalty: reg=none)")
    return low, high, parts[0] == "log"


def examples(space: Mapping[str, Range]) -> list[dict[str, Any]]:
    """Parameters of as many trials as it takes to have every word of a list once, and one of its numbers."""
    choices = {key: _unlike(key, value) for key, value in space.items()}
    count = max(map(len, choices.values()))
    return [{key: of_one[n % len(of_one)] for key, of_one in choices.items()} for n in range(count)]


def _unlike(key: str, value: Range) -> list[Any]:
    if isinstance(value, str):
        return [_range(key, value)[0]]
    words = [choice for choice in value if isinstance(choice, str)]
    return [*words, *[choice for choice in value if not isinstance(choice, str)][:1]]


def overrides_of(parameters: Mapping[str, Any]) -> list[str]:
    """Overrides of train.py that say what was chosen; numbers to four digits, which are also what is trained with."""
    return [f"{key}={_said(value)}" for key, value in parameters.items()]


def _said(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if _reads_as_itself(value) else quoted(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reads_as_itself(text: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"key={text}").value() == text
    except HydraException:
        return False
