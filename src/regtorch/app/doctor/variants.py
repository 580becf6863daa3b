"""What to train to prove a cause: the set-up without the suspect, and with the cure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from regtorch.doctor.measure.norms import is_narrow
from regtorch.doctor.remedy import Kind
from regtorch.doctor.watch.last_activation import leave_last_activation_out

__all__ = ["Change", "Proposal", "proposal"]

_SAMPLES, _BATCHES = 2000, 64  # that mean and deviation are taken of


@dataclass(frozen=True)
class Change:
    """Of a set-up.

    Attributes:
        label: in words, or the overrides.
        overrides: of train.py.
        prepares: changes that no override makes.
    """

    label: str
    overrides: tuple[str, ...] = ()
    prepares: tuple[Prepare, ...] = ()

    @staticmethod
    def by(override: str) -> Change:
        """A change by one override."""
        return Change(override, (override,))

    def prepare(self, made: SetUp) -> None:
        """Make the changes that no override makes."""
        for change in self.prepares:
            change(made)

    def touches(self, other: Change) -> bool:
        """Whether both change the same thing."""
        keys, others = ({text.partition("=")[0] for text in one.overrides} for one in (self, other))
        return bool(keys & others or {*self.prepares} & {*other.prepares})


@dataclass(frozen=True)
class Proposal:
    """What to try for a cause.

    Attributes:
        cause: the finding's.
        without: leaves the suspect out; None where that is the cure, or makes no sense.
        cured: what the finding advises; None where it advises nothing that can be tried.
        horizon: the steps after which the suspect has shown what it does.
    """

    cause: str
    without: Change | None
    cured: Change | None
    horizon: float = field(default=0.0, kw_only=True)

    def changes(self) -> Sequence[Change]:
        """Those there are, each once."""
        return list(dict.fromkeys(change for change in (self.without, self.cured) if change is not None))


def proposal(finding: Finding, cfg: DictConfig) -> Proposal:
    """What to try for a finding in a config; no changes where no short training could tell."""
    remedy = finding.remedy
    parts = () if remedy is None else remedy.parts()
    overrides = overrides_of(remedy, cfg)
    prepared = [_PREPARED[part.what] for part in parts if part.what in _PREPARED]
    label = ", ".join([*([" ".join(overrides)] if overrides else []), *(words for words, _ in prepared)])
    cured = Change(label, overrides, tuple(prepare for _, prepare in prepared)) if label else None
    without = next((Change.by(_WITHOUT[part.what]) for part in parts if part.what in _WITHOUT), None)
    half_life = finding.numbers.get("half_life_in_steps", 0.0)
    return Proposal(finding.cause, without, cured, horizon=1.5 * half_life if math.isfinite(half_life) else 0.0)


# Inputs


def _standardise(made: SetUp) -> None:
    """Mean 0 and deviation 1 of each feature, or of each channel of images, in front of the net."""
    x = _training_inputs(made)
    dims = [0, *range(2, x.ndim)] if x.ndim > 2 else [0]
    spread, mean = torch.std_mean(x.double(), dims, keepdim=True)
    spread = torch.where(spread > 0, spread, 1.0).float()[0]
    mean = mean.float()[0]

    def standardised(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        given = arguments[0]
        return (given - mean.to(given.device)) / spread.to(given.device), *arguments[1:]

    made.net.register_forward_pre_hook(standardised)


def _training_inputs(made: SetUp) -> Tensor:
    if isinstance(made.data, ArraysDataModule):  # a pass of its loader would count as an epoch
        part = made.data.splits.train
        return part.batch(torch.arange(min(len(part), _SAMPLES)))[0]
    return torch.cat([x for x, _ in islice(made.data.train_dataloader(), _BATCHES)])


# Layers


def _leave_narrow_norms_out(made: SetUp) -> None:
    for name, module in list(made.net.named_modules()):
        if is_narrow(module):
            above, _, own = name.rpartition(".")
            setattr(made.net.get_submodule(above), own, nn.Identity())


# Heads


def _leave_last_activation_out(made: SetUp) -> None:
    """What a sigmoid, tanh or softmax that ends the net takes in becomes the net's output.

    Raises:
        RunError: none ends it.
    """
    leave_last_activation_out(made.net)
    x, _ = next(iter(made.data.val_dataloader()))
    made.net.eval()
    with torch.no_grad():
        found = not torch.equal(made.net(x[:2]), made.net.forward(x[:2]))
    made.net.train()
    if not found:
        raise RunError("no activation behind the last layer was found that could be left out")


# What no override changes, in words and as a change of the set-up; and what leaves a suspect out.
_PREPARED: Mapping[Kind, tuple[str, Prepare]] = {
    "standardised inputs": ("inputs standardised", _standardise),
    "no last activation": ("without the activation behind the last layer", _leave_last_activation_out),
    "no batch norm": ("without the batch norm", _leave_narrow_norms_out),
}
_WITHOUT: Mapping[Kind, str] = {
    "strength": "reg=none",
    "weight decay": "optimizer.weight_decay=0",
    "dropout rate": "reg.rate=0",
}
