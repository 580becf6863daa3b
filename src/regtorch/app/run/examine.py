"""The doctor's examination of a setup: findings and watched steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import inf
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
from regtorch.app.run.settling import SETTLE_ALL, could_settle
from regtorch.app.run.setup import SetUp
from regtorch.bound.activity import Activity
from regtorch.doctor.diagnose import findings_of
from regtorch.doctor.finding import Finding, in_order
from regtorch.doctor.measure import validation
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.steps import WatchedSteps
from regtorch.doctor.observe.subject import Rule, Subject
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty

__all__ = ["Examination", "examine", "penalties_of", "refuse_schedule"]

_BATCHES, _BYTES = 32, 2**29  # at most


@dataclass(frozen=True)
class Examination:
    """Results of an examination."""

    cfg: DictConfig
    findings: Sequence[Finding]  # most severe first
    with_rules: WatchedSteps | None  # None if no step could be made
    without_penalties: WatchedSteps | None  # None without penalties
    batches: int  # how many were read
    seconds: float
    could_settle: bool = False  # whether batch norms would follow faster with settle_batch_norm=true

    def overrides(self, finding: Finding) -> tuple[str, ...]:
        """A finding's remedy as overrides of the config."""
        if finding.cause == "batch_norm_lag" and finding.remedy is None and self.could_settle:
            return (SETTLE_ALL,)
        return overrides_of(finding.remedy, self.cfg)


def examine(
    setup: SetUp,
    cfg: DictConfig,
    rules: Sequence[Rule],
    device: torch.device | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Examine a setup on `device` (default CPU); weights, random numbers and data order are unchanged.

    `tell` is called with the name of each measurement.
    """
    refuse_schedule(cfg)
    started = perf_counter()
    penalties_of(setup)
    net, data = setup.net, setup.data
    device = torch.device("cpu") if device is None else device
    with isolate_rng(), _restored(data):
        tell("reading batches")
        batches = _batches(data, device)
        net.to(device)
        try:
            optimizer = instantiate(cfg.optimizer)(net.parameters())
            obs = Observed(Subject.admit(net, setup.train_loss, batches, optimizer, rules))
            findings = findings_of(obs, tell)
        finally:
            net.to("cpu")
        tell("validation")
        classes = setup.checked.task.score == "accuracy"
        findings += validation.find(data.train_dataloader(), data.val_dataloader(), classes=classes)
    # Cached properties exist only if a measurement used them, which it did not if no step could be made.
    watched = {name: vars(obs).get(name) for name in ("with_rules", "without_penalties")}
    if not obs.subject.penalised and not obs.subject.activities:
        watched["without_penalties"] = None
    lags = any(finding.cause == "batch_norm_lag" for finding in findings)
    return Examination(
        cfg,
        in_order(findings),
        **watched,
        batches=len(batches),
        seconds=perf_counter() - started,
        could_settle=lags and could_settle(cfg, net, lambda: _steps(data, cfg.trainer.get("limit_train_batches"))),
    )


def penalties_of(setup: SetUp) -> list[Penalty | Activity]:
    """The penalties of a setup; refuses what the doctor's steps do not reproduce."""
    for rule in setup.rules.penalties:
        if isinstance(rule, OutputRule) and rule.active:
            raise RunError(
                f"reg: the doctor watches penalties of weights and of activations, received {rule!r}, which acts in "
                "the loss; examine the setup without it (reg=none)"
            )
    mixing = getattr(setup.data, "mixing", None)
    if mixing is not None:
        raise RunError(
            f"data: the doctor does not mix samples, received {mixing!r}; examine the setup without it "
            "(data.mixup=0 data.cutmix=0)"
        )
    return [rule for rule in setup.rules.penalties if not isinstance(rule, OutputRule)]


def refuse_schedule(cfg: DictConfig) -> None:
    """Refuse a schedule: measurements at one step do not apply to the others."""
    if cfg.reg.schedule is not None:
        raise RunError(
            f"reg.schedule={cfg.reg.schedule}: the doctor examines a constant strength; set reg.schedule=null "
            "to examine reg.lam, the strength at a factor of 1"
        )


@contextmanager
def _restored(data: LightningDataModule) -> Iterator[None]:
    """Restore the data's shuffling afterwards."""
    state = data.state_dict()
    try:
        yield
    finally:
        data.load_state_dict(state)


def _steps(data: LightningDataModule, limit: float | None) -> float:
    """The number of training batches of an epoch; infinite if unknown."""
    with isolate_rng(), _restored(data):
        try:
            count = len(data.train_dataloader())
        except TypeError:
            return inf
    if isinstance(limit, float):
        return int(count * limit)
    return count if limit is None else min(count, limit)


def _batches(data: LightningDataModule, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """The first training batches as the net gets them, limited by count and memory."""
    batches, size = [], 0
    for x, y in islice(training_batches(data, device), _BATCHES):
        batches.append((x, y))
        size += x.nbytes
        if size >= _BYTES:
            break
    return batches
