"""The doctor's cheap part on what a run is set up with: findings, and the steps that were watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig
from torch import Tensor

from regtorch.app.config.instantiate import instantiate
from regtorch.app.data.datamodule import training_batches
from regtorch.app.ground.errors import RunError
from regtorch.app.run.remedies import overrides_of
from regtorch.app.run.setup import SetUp
from regtorch.bound.activity import Activity
from regtorch.doctor.diagnose import findings_of
from regtorch.doctor.finding import Finding, in_order
from regtorch.doctor.measure import validation
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.steps import WatchedSteps
from regtorch.doctor.watch.subject import Rule, Subject
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty

__all__ = ["Examination", "check_still", "examine", "penalties_of"]

_BATCHES, _BYTES = 32, 2**29  # that are looked at


@dataclass(frozen=True)
class Examination:
    """What the cheap part found."""

    cfg: DictConfig
    findings: Sequence[Finding]  # most severe first
    with_rules: WatchedSteps | None  # None if no step could be made
    without_penalties: WatchedSteps | None  # None without penalties
    batches: int  # how many were read
    seconds: float

    def overrides(self, finding: Finding) -> tuple[str, ...]:
        """What a finding advises, as overrides of the config."""
        return overrides_of(finding.remedy, self.cfg)


def examine(
    made: SetUp,
    cfg: DictConfig,
    rules: Sequence[Rule],
    device: torch.device | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Examine a set-up and leave everything as it was: weights, random numbers, and the data's order."""
    check_still(cfg)
    started = perf_counter()
    penalties_of(made)
    net, data = made.net, made.data
    device = torch.device("cpu") if device is None else device
    with isolate_rng(), _undisturbed(data):
        tell("reading batches")
        batches = _batches(data, device)
        net.to(device)
        try:
            optimizer = instantiate(cfg.optimizer)(net.parameters())
            obs = Observed(Subject.admit(net, made.train_loss, batches, optimizer, rules))
            findings = findings_of(obs, tell)
        finally:
            net.to("cpu")
        tell("validation")
        classes = made.checked.task.score == "accuracy"
        findings += validation.find(data.train_dataloader(), data.val_dataloader(), classes=classes)
    # A cached property is there once a measurement has asked for it; where no step can be made none has.
    watched = {name: vars(obs).get(name) for name in ("with_rules", "without_penalties")}
    if not obs.subject.penalised and not obs.subject.activities:
        watched["without_penalties"] = None
    return Examination(cfg, in_order(findings), **watched, batches=len(batches), seconds=perf_counter() - started)


def penalties_of(made: SetUp) -> list[Penalty | Activity]:
    """The penalties of a set-up that the doctor can watch."""
    for rule in made.rules.penalties:
        if isinstance(rule, OutputRule) and rule.active:
            raise RunError(
                f"reg: the doctor watches penalties of weights and of activations, received {rule!r}, which acts in "
                "the loss; examine the set-up without it (reg=none)"
            )
    mixing = getattr(made.data, "mixing", None)
    if mixing is not None:
        raise RunError(
            f"data: the doctor takes samples as they are, received {mixing!r}; examine the set-up without it "
            "(data.mixup=0 data.cutmix=0)"
        )
    return [rule for rule in made.rules.penalties if not isinstance(rule, OutputRule)]


def check_still(cfg: DictConfig) -> None:
    """Refuse a strength that moves: what is measured of it at one step says nothing of the others."""
    if cfg.reg.schedule is not None:
        raise RunError(
            f"reg.schedule={cfg.reg.schedule}: the doctor examines one strength, not one that moves; set "
            "reg.schedule=null to have reg.lam examined, the strength of a factor of 1"
        )


@contextmanager
def _undisturbed(data: LightningDataModule) -> Iterator[None]:
    """Bring the data's shuffling back."""
    state = data.state_dict()
    try:
        yield
    finally:
        data.load_state_dict(state)


def _batches(data: LightningDataModule, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """The first training batches as the net gets them, as many as memory takes well."""
    batches, size = [], 0
    for x, y in islice(training_batches(data, device), _BATCHES):
        batches.append((x, y))
        size += x.nbytes
        if size >= _BYTES:
            break
    return batches
