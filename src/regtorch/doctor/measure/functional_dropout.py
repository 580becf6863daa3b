"""Dropout that a net calls as a function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.shift import MILD
from regtorch.doctor.observe.calls import DROPOUTS
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import forward_only, seed

__all__ = ["functional_dropout"]

_NAMES = ("input", "p", "training")


class _Rates(TorchFunctionMode):
    """Records the rates of F.dropout in training."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (F.dropout, torch.dropout):
            given = dict(zip(_NAMES, args, strict=False)) | (kwargs or {})
            if given.get("training", True):
                self.found.append(float(given.get("p", 0.5)))
        return func(*args, **(kwargs or {}))


def functional_dropout(obs: Observed, strong: float) -> Iterator[Finding]:
    """`dropout_too_strong` of functions; layers are looked at one by one."""
    layers = {module.p for module in obs.subject.model.modules() if isinstance(module, DROPOUTS)}
    with forward_only(obs.subject.model), _Rates() as rates:
        seed(0)
        obs.subject.model.train()
        obs.subject.output(0)
    rate = max((p for p in rates.found if p not in layers), default=0.0)
    if rate >= strong:
        yield Finding(
            "dropout_too_strong",
            "F.dropout",
            "severe" if rate == 1 else "warning",
            {"rate": rate, "kept": 1 - rate},
            why=f"F.dropout at {rate:g} passes {1 - rate:.0%} of the activations, so the next layer sees mostly noise: "
            "p is the share that is dropped, not that which is kept.",
            change=f"Lower p to {MILD:g}.",
            blame=rate,
        )
