"""The cells of the table: every trainer in every mode, its largest difference, or why there is none."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from trainers.modes import MODES, Absent, Mode, of_precision, reference
from way_one import apart

__all__ = ["ROWS", "Row", "installed", "measured"]


class Row:
    """A trainer: its name, the package it needs, and where its training is, as `module:function`."""

    def __init__(self, package: str, where: str) -> None:
        self.package = package
        self.module, _, self.function = where.partition(":")

    def train(self, mode: Mode) -> nn.Module:
        """Train in this mode."""
        run: Callable[[Mode], nn.Module] = getattr(importlib.import_module(f"trainers.{self.module}"), self.function)
        return run(mode)


ROWS = {
    "plain loop": Row("torch", "loops:plain"),
    "Lightning": Row("lightning", "lightnings:trainer"),
    "Fabric": Row("lightning", "lightnings:fabric"),
    "Hugging Face": Row("transformers", "huggingfaces:trainer"),
    "Accelerate": Row("accelerate", "huggingfaces:accelerate"),
    "timm": Row("timm", "loops:timm"),
    "skorch": Row("skorch", "estimators:skorch"),
    "Ignite": Row("ignite", "loops:ignite"),
    "fastai": Row("fastai", "estimators:fastai"),
}


def installed(trainer: str) -> bool:
    """Whether the trainer's package can be imported."""
    return importlib.util.find_spec(ROWS[trainer].package) is not None


def whole(model: nn.Module) -> list[Tensor]:
    """The weights, gathered where they are sharded."""
    return [(p.full_tensor() if isinstance(p, DTensor) else p).detach() for p in model.parameters()]


def measured(trainer: str, mode: str) -> float | str:
    """The largest difference of final weights from way 1's in one process, relative; or a sentence."""
    how: Any = MODES[mode]
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), of_precision(how):
            warnings.simplefilter("ignore")
            trained = ROWS[trainer].train(how)
            assert how.sharded == any(isinstance(p, DTensor) for p in trained.parameters())
            return apart(whole(trained), whole(reference(how)))
    except Absent as reason:
        return f"none: {reason}"
    finally:
        logging.disable(before)
