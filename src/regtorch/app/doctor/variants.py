"""The variants to train to prove a cause: without the suspected cause, and with the advised change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from regtorch.app.data import ArraysDataModule
from regtorch.app.doctor.short_run import Prepare
from regtorch.app.ground.errors import RunError
from regtorch.app.run.remedies import overrides_of
from regtorch.app.run.setup import SetUp
from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.normalization import is_narrow
from regtorch.doctor.observe.last_activation import leave_last_activation_out
from regtorch.doctor.remedy import Kind

__all__ = ["Change", "Proposal", "proposal"]

_SAMPLES, _BATCHES = 2000, 64  # used to estimate mean and deviation


@dataclass(frozen=True)
class Change:
    """A change of a setup."""

    label: str  # in words, or the overrides
    overrides: tuple[str, ...] = ()
    prepares: tuple[Prepare, ...] = ()  # changes that no override can make

    def prepare(self, setup: SetUp) -> None:
        for change in self.prepares:
            change(setup)

    def touches(self, other: Change) -> bool:
        """Whether both change the same setting."""
        keys, other_keys = ({text.partition("=")[0] for text in change.overrides} for change in (self, other))
        return bool(keys & other_keys or {*self.prepares} & {*other.prepares})


@dataclass(frozen=True)
class Proposal:
    """The changes to try for a cause."""

    cause: str
    without: Change | None  # removes the suspected cause; None if impossible, or equal to `cured`
    cured: Change | None  # the advised change; None if it cannot be tried
    horizon: float = 0.0  # steps after which the effect shows

    def changes(self) -> Sequence[Change]:
        return list(dict.fromkeys(change for change in (self.without, self.cured) if change is not None))


def proposal(finding: Finding, cfg: DictConfig) -> Proposal:
    """The changes to try for a finding; none if a short training cannot decide."""
    remedy = finding.remedy
    parts = () if remedy is None else remedy.parts()
    overrides = overrides_of(remedy, cfg)
    prepared = [_PREPARED[part.what] for part in parts if part.what in _PREPARED]
    label = ", ".join([*([" ".join(overrides)] if overrides else []), *(words for words, _ in prepared)])
    cured = Change(label, overrides, tuple(prepare for _, prepare in prepared)) if label else None
    removed = next((_WITHOUT[part.what] for part in parts if part.what in _WITHOUT), None)
    without = None if removed is None else Change(removed, (removed,))
    half_life = finding.numbers.get("half_life_in_steps", 0.0)
    return Proposal(finding.cause, without, cured, horizon=1.5 * half_life if math.isfinite(half_life) else 0.0)


def _standardise(setup: SetUp) -> None:
    """Standardise each feature, or each channel of images, in front of the net."""
    x = _training_inputs(setup)
    spread, mean = torch.std_mean(x.double(), [0, *range(2, x.ndim)], keepdim=True)
    spread = torch.where(spread > 0, spread, 1.0).float()[0]
    mean = mean.float()[0]

    def standardised(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        x = arguments[0]
        return (x - mean.to(x.device)) / spread.to(x.device), *arguments[1:]

    setup.net.register_forward_pre_hook(standardised)


def _training_inputs(setup: SetUp) -> Tensor:
    if isinstance(setup.data, ArraysDataModule):  # iterating over its loader would count as an epoch
        part = setup.data.splits.train
        return part.batch(torch.arange(min(len(part), _SAMPLES)))[0]
    return torch.cat([x for x, _ in islice(setup.data.train_dataloader(), _BATCHES)])


def _remove_narrow_norms(setup: SetUp) -> None:
    for name, module in list(setup.net.named_modules()):
        if is_narrow(module):
            setup.net.set_submodule(name, nn.Identity())


def _remove_last_activation(setup: SetUp) -> None:
    leave_last_activation_out(setup.net)
    x, _ = next(iter(setup.data.val_dataloader()))
    setup.net.eval()
    with torch.no_grad():
        found = not torch.equal(setup.net(x[:2]), setup.net.forward(x[:2]))
    setup.net.train()
    if not found:
        raise RunError("found no activation after the last layer that could be removed")


# Changes that no override can make, in words and as code; and overrides that remove a suspected cause.
_PREPARED: Mapping[Kind, tuple[str, Prepare]] = {
    "standardised inputs": ("inputs standardised", _standardise),
    "no last activation": ("without the activation after the last layer", _remove_last_activation),
    "no batch norm": ("without the batch norm", _remove_narrow_norms),
}
_WITHOUT: Mapping[Kind, str] = {
    "strength": "reg=none",
    "weight decay": "optimizer.weight_decay=0",
    "dropout rate": "reg.rate=0",
}
