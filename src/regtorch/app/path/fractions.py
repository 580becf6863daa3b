"""`path.lams=frac:1e-3:1:20`: strengths as fractions of the smallest one that empties the selected weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from regtorch.app.data import ArraysDataModule
from regtorch.app.data.batches import Batches
from regtorch.app.ground.errors import RunError
from regtorch.app.record.ranges import FRACTION, numbers
from regtorch.app.run.rules import rules_of
from regtorch.app.run.setup import SetUp
from regtorch.estimates import lam_max
from regtorch.penalties import L1L2, Penalty

__all__ = ["has_fractions", "largest", "resolved"]

_KEY = "path.lams"


def has_fractions(given: Any) -> bool:
    """Whether some strengths are fractions."""
    return any(isinstance(item, str) and item.startswith(FRACTION) for item in _items(given))


def resolved(given: Any, most: float) -> list[float]:
    """The strengths, with fractions multiplied by `most`."""
    values: list[float] = []
    for item in _items(given):
        of_item = numbers(_KEY, item, fractions=True)
        values += [value * most for value in of_item] if has_fractions(item) else of_item
    return numbers(_KEY, values)


def largest(cfg: DictConfig, setup: SetUp, choices: Mapping[str, str]) -> float:
    """The smallest `reg.lam` that empties each selected weight of the untrained net, over all training data."""
    unit = _penalty(cfg, setup, choices, 1.0)
    if not isinstance(setup.data, ArraysDataModule):
        raise RunError(f"{_KEY}: fractions need data in memory; give strengths, such as log:1e-6:1:32")
    batches = Batches(setup.data.splits.train, setup.data.batch_size)
    try:
        found = lam_max(setup.net, setup.checked.task.loss, _Cast(batches, setup), unit)
    except TypeError as error:
        raise RunError(f"{_KEY}: {error}; give strengths, such as log:1e-6:1:32") from None
    if not 0 < found < torch.inf:
        raise RunError(
            f"{_KEY}: no strength empties the weights that {unit!r} selects, as the untrained net's gradient at "
            f"0 is {found:g}; give strengths, such as log:1e-6:1:32"
        )
    scaled = _penalty(cfg, setup, choices, found).strengths
    if any(abs(scaled[key] - found * value) > 1e-9 * found for key, value in _emptying(unit).items()):
        raise RunError(f"{_KEY}: fractions need strengths that depend on reg.lam alone; omit reg.l1 and reg.convention")
    return found


def _penalty(cfg: DictConfig, setup: SetUp, choices: Mapping[str, str], lam: float) -> Penalty:
    cfg = cfg.copy()
    OmegaConf.update(cfg, "reg.lam", lam)
    penalty: Any = rules_of(cfg, setup.net, choices).penalties[0]
    if not isinstance(penalty, Penalty):
        raise RunError(f"{_KEY}: {penalty!r} has no strength known to empty a weight; give strengths")
    return penalty


def _emptying(penalty: Penalty) -> dict[str, float]:
    """The strengths that decide whether a weight is 0."""
    return {key: value for key, value in penalty.strengths.items() if not (isinstance(penalty, L1L2) and key == "l2")}


def _items(given: Any) -> list[Any]:
    return list(given) if OmegaConf.is_list(given) or isinstance(given, list | tuple) else [given]


class _Cast:
    """Batches in the net's dtype, which can be iterated repeatedly."""

    def __init__(self, batches: Batches, setup: SetUp) -> None:
        self._batches = batches
        self._dtype = next(setup.net.parameters()).dtype

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Any:
        return ((self._as(x), self._as(y)) for x, y in self._batches)

    def _as(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor
