"""The search space: ranges and choices for keys of train.py's config."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from regtorch.app.ground.errors import RunError
from regtorch.app.record.axes import AXES, STRENGTHS
from regtorch.app.record.ranges import Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Choice", "distributions", "examples", "read_space"]

_KEYS = {name: AXES[name].key if name in AXES else f"reg.{name}" for name in ("lam", "select", "rate", "max_value")}
"""The keys of train.py by their keys in `search`; `search.also` may have any other."""

Choice = str | list[Any]
"""A range as text, or a list of choices."""

_INSIDE = 0.618
"""Where in a range an example lies; no whole number of a short one."""


def read_space(search: DictConfig) -> dict[str, Choice]:
    """The given ranges by key of train.py's config."""
    given = {key: (f"search.{name}", search[name]) for name, key in _KEYS.items()}
    if not isinstance(search.also, DictConfig | None):
        form = "{optimizer.lr: 'log:1e-4:1e-1'}"
        raise RunError(f"search.also: expected ranges by key such as {form}, received {search.also!r}")
    for key, value in (search.also or {}).items():
        if given.get(str(key), ("", None))[1] is not None:
            raise RunError(f"search.also.{key}: {given[str(key)][0]} gives its range already; omit one")
        given[str(key)] = (f"search.also.{key}", value)
    idle = [key for key in given if key == "out_dir" or key.startswith(("hydra.", "hydra/"))]
    if idle:
        raise RunError(f"search.also.{idle[0]}: it has no effect on training; omit it")
    space: dict[str, Choice] = {}
    for key, (name, value) in given.items():
        if value is not None:
            plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            _check_bounds(name, key, _distribution(name, plain))
            assert isinstance(plain, str | list)
            space[key] = plain
    if not space:
        raise RunError(
            "search: expected a range, received none; give search.lam=log:1e-6:1, search.rate=lin:0:0.8 or "
            "search.select=[...]"
        )
    return space


def distributions(space: Mapping[str, Choice]) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each key."""
    return {key: _distribution(key, value) for key, value in space.items()}


def _distribution(name: str, value: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(value, list):
        if len(value) < 2 or len({repr(choice) for choice in value}) < len(value):
            raise RunError(f"{name}: expected at least two different choices, received {value}")
        if not all(isinstance(choice, str | int | float | bool | None) for choice in value):
            raise RunError(f"{name}: expected text and numbers to choose from, received {value}")
        return CategoricalDistribution(value)
    found = _range(name, value)
    return FloatDistribution(found.first, found.last, log=found.log)


def _check_bounds(name: str, key: str, distribution: BaseDistribution) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    low, high = (0.0, STRENGTHS[key].most) if key in STRENGTHS else (-math.inf, math.inf)
    values: Iterable[Any] = ()
    if isinstance(distribution, FloatDistribution):
        values = (distribution.low, distribution.high)
    elif isinstance(distribution, CategoricalDistribution):
        values = (choice for choice in distribution.choices if isinstance(choice, int | float))
    for value in values:
        if not low <= value <= high:
            expected = "at least 0" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise RunError(f"{name}: expected numbers {expected}, received {value:g}")


def _range(name: str, value: Any) -> Range:
    expected = f"{name}: expected log:LOW:HIGH, lin:LOW:HIGH or a list of choices, received {value!r}"
    found = Range.read(value)
    if found is None or found.count is not None:
        raise RunError(expected)
    if not (found.finite and found.first < found.last):
        raise RunError(f"{expected}; LOW must be below HIGH, and both must be finite")
    if found.log and found.first <= 0:
        raise RunError(f"{expected}; a log range begins above 0 (a choice without penalty: reg=none)")
    return found


def check_effect(space: Mapping[str, Choice], trials: Sequence[tuple[DictConfig, Mapping[str, str]]]) -> None:
    """Refuse a range that no rule of the trials reads."""
    reg, constraint = (trials[0][1].get(group) for group in ("reg", "constraint"))
    if AXES["lam"].key in space and all(cfg.reg.penalty is None for cfg, _ in trials):
        raise RunError(f"search.lam: reg={reg} has no penalty; choose one, such as reg=l2, or give search.lam=null")
    if AXES["max_value"].key in space and all(
        "max_value" not in (cfg.constraint.projection or {}) for cfg, _ in trials
    ):
        raise RunError(f"search.max_value: constraint={constraint} has no bound; choose constraint=max_norm")


def check_monitor(monitor: str, cfg: DictConfig) -> None:
    """Refuse a metric that the trials do not have."""
    from regtorch.app.run.best_epoch import monitored

    if "num_classes" in cfg.data:  # a data module of one's own may have any task
        try:
            monitored(monitor, "r2" if cfg.data.num_classes is None else "accuracy")
        except RunError as error:
            raise RunError(f"search.{error}") from error
    if monitor.startswith("val/") and cfg.trainer.limit_val_batches == 0:
        raise RunError(
            f"search.monitor={monitor} needs validation, which trainer.limit_val_batches=0 disables; omit one"
        )


def examples(space: Mapping[str, Choice]) -> list[dict[str, Any]]:
    """Parameters of trials that cover every string of each list, one of its numbers, and two numbers of each range.

    An end of a range may be whole, for a key that takes whole numbers only; a number inside is not.
    """
    choices = {key: _samples(key, value) for key, value in space.items()}
    count = max(map(len, choices.values()))
    return [{key: values[n % len(values)] for key, values in choices.items()} for n in range(count)]


def _samples(key: str, value: Choice) -> list[Any]:
    if isinstance(value, str):
        found = _range(key, value)
        return [found.first, found.first + _INSIDE * (found.last - found.first)]
    words = [choice for choice in value if isinstance(choice, str)]
    return [*words, *[choice for choice in value if not isinstance(choice, str)][:1]]
